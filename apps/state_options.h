#pragma once
// --state, --state-every and --state-required: what a command does with a file that keeps its session.

#include <cstdint>
#include <string>

#include "core/session_keeper.h"

namespace CLI {
class App;
}

namespace rill::apps {

struct StateArguments {
  std::string file;         ///< empty: nothing is kept
  std::uint64_t every = 0;  ///< tokens
  bool required = false;

  bool is_asked_for() const { return !file.empty(); }
};

/// Adds the three options. @param every_help  what --state-every means for the command
void add_state_arguments(CLI::App& command, StateArguments& arguments, const std::string& every_help);

/// Opens the keeper if a state is asked for. Where the file cannot be had, says so on standard error and goes on
/// without one, unless it is required.
/// @returns true if a state was restored.
Result<bool> open_state(const StateArguments& arguments, SessionKeeper& keeper, Engine& engine,
                        std::string_view purpose);

/// Where a program tells of saves that fail: once, and not at all while they do not.
class StateWatch {
 public:
  StateWatch(const StateArguments& arguments, SessionKeeper& keeper) : arguments_(&arguments), keeper_(&keeper) {}

  /// Waits until the last save is on the disk. Fails if that cannot be and the state is required.
  Status settle();
  /// The same without waiting: a save that is still on its way is looked at the next time.
  Status look();
  /// True once a state could not be kept.
  bool has_failed() const { return was_told_; }
  /// True once a required state could not be kept.
  bool must_stop() const { return was_told_ && arguments_->required; }

 private:
  const StateArguments* arguments_;
  SessionKeeper* keeper_;
  bool was_told_ = false;
};

}  // namespace rill::apps
