#pragma once
// A process that gives up, for good, what it does not need any more: should a bug in it be used against its owner,
// there is no file left to open, no socket to make and no program to start.

#include <string_view>

#include "platform/status.h"

namespace rill {

/// Early, before any file of a stranger's is read: from now on this thread and those that it starts can write only what
/// lies in one folder, and make no TCP connection. Reading stays as it is.
/// @param folder  where a state is kept; empty: nothing may be written
/// Does nothing, and says Ok, where the kernel has no Landlock (Linux before 5.13): enter_sandbox() does the rest.
Status forbid_writing_outside(std::string_view folder);

/// What a program needs after its start beside reading, writing and synchronising files that are open, clocks, waiting,
/// and ending.
struct SandboxNeeds {
  bool memory = false;    ///< more of it from the system, never executable
  bool terminal = false;  ///< line editing on the files 0, 1 and 2
  bool clients = false;   ///< to be had at sockets that listen already: taken in, read, answered, hung up on
};

/// From now on, in every thread: a system call that is not needed ends the process at once (SIGSYS). No path can be
/// opened, only looked at (stat). Call once, with all threads started and all files open.
/// kFailed where this build or this kernel cannot: a sandbox that was asked for is never silently left out.
Status enter_sandbox(const SandboxNeeds& needs);

}  // namespace rill
