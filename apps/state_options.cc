#include "apps/state_options.h"

#include <CLI/CLI.hpp>

#include "apps/command.h"
#include "apps/shown_text.h"

namespace rill::apps {

void add_state_arguments(CLI::App& command, StateArguments& a, const std::string& every_help) {
  auto* file = command.add_option(
      "--state", a.file, "Keep the session in this file, and go on from it: it survives kill -9 and power cuts");
  command.add_option("--state-every", a.every, every_help)->needs(file)->check(above_zero());
  command
      .add_flag("--state-required", a.required,
                "Stop where the state cannot be kept (full disk, read-only or locked file) instead of going on without")
      ->needs(file);
}

Result<bool> open_state(const StateArguments& a, SessionKeeper& keeper, Engine& engine, std::string_view purpose) {
  if (!a.is_asked_for()) return false;
  Result<bool> restored = keeper.open(engine, 0, a.file, purpose);
  if (restored.ok()) {
    if (!keeper.notice().empty()) print_failure(keeper.notice().view());
    return restored;
  }
  if (restored.status().code() != Code::kFailed || a.required) return restored;
  print_failure(restored.status().message(), "; going on without a state");
  return false;
}

Status StateWatch::settle() {
  if (!keeper_->is_open()) return {};
  const Status status = keeper_->settle();
  if (status.ok() || was_told_) return {};
  was_told_ = true;
  if (arguments_->required) return status;
  print_failure(status.message(), "; the state is no longer kept");
  return {};
}

Status StateWatch::look() { return keeper_->is_open() && !keeper_->is_busy() ? settle() : Status(); }

}  // namespace rill::apps
