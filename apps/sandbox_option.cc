#include "apps/sandbox_option.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <vector>

#include "platform/process_memory.h"

namespace rill::apps {

void add_sandbox_argument(CLI::App& command, bool& is_asked_for) {
  command.add_flag("--sandbox", is_asked_for,
                   "Give up, once started, every system call but those that reading, writing and waiting take; before "
                   "that, writing outside the state's folder (Linux)");
}

Status prepare_sandbox(bool is_asked_for, const std::string& state_file) {
  if (!is_asked_for) return {};
  if (state_file.empty()) return forbid_writing_outside({});
  const std::size_t slash = state_file.find_last_of('/');
  return forbid_writing_outside(slash == std::string::npos ? "." : state_file.substr(0, slash + 1));
}

Status close_sandbox(bool is_asked_for, const SandboxNeeds& needs) {
  if (!is_asked_for) return {};
  // A buffer of its own, so that the first write neither asks for one nor looks at what kind of file it is.
  static std::vector<char> output(1U << 16U);
  std::setvbuf(stdout, output.data(), _IOFBF, output.size());
  static_cast<void>(resident_bytes());  // opens what later calls read
  return enter_sandbox(needs);
}

}  // namespace rill::apps
