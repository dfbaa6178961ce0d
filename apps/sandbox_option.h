#pragma once
// --sandbox: a command that gives up everything but its work before it answers.

#include <string>

#include "platform/sandbox.h"
#include "platform/status.h"

namespace CLI {
class App;
}

namespace rill::apps {

/// @param is_asked_for  set by the command line; borrowed as CLI11 does
void add_sandbox_argument(CLI::App& command, bool& is_asked_for);

/// Before the model is opened. @param state_file  may be empty
Status prepare_sandbox(bool is_asked_for, const std::string& state_file);

/// Once everything is open and all threads are there. @param needs  what is left to the command
Status close_sandbox(bool is_asked_for, const SandboxNeeds& needs);

}  // namespace rill::apps
