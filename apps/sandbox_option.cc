#include "apps/sandbox_option.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <vector>

#include "platform/folder.h"
#include "platform/process_memory.h"

namespace rill::apps {

void add_sandbox_argument(CLI::App& command, bool& is_asked_for) {
  command.add_flag("--sandbox", is_asked_for,
                   "Give up, once started, every system call but those that reading, writing and waiting take; before "
                   "that, writing outside the state's folder (Linux)");
}

Status prepare_sandbox(bool is_asked_for, const std::string& state_file) {
  if (!is_asked_for) return {};
  return forbid_writing_outside(state_file.empty() ? "" : folder_of(state_file));
}

Status close_sandbox(bool is_asked_for, const SandboxNeeds& needs) {
  if (!is_asked_for) return {};
  // A buffer of its own, so that the first write neither asks for one nor looks at what kind of file it is.
  static std::vector<char> output(1U << 16U);
  std::setvbuf(stdout, output.data(), _IOFBF, output.size());
  static_cast<void>(peak_resident_bytes());  // opens what later calls read
  return enter_sandbox(needs);
}

}  // namespace rill::apps
