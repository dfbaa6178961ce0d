#pragma once
// A perplexity run that can be gone on with: the session in a state file, and beside it, in FILE.nll, the NLL of each
// token scored so far as float64, only ever appended to. The state says how many of them are its own and their
// checksum, and is written after them: what is behind them in the file is of a run that got further and was lost.

#include <cstdint>
#include <span>
#include <vector>

#include "apps/state_options.h"
#include "core/model_config.h"
#include "platform/locked_file.h"

namespace rill::apps {

class KeptScores {
 public:
  /// @param every  tokens between two saves unless the arguments say
  KeptScores(const StateArguments& arguments, SessionKeeper& keeper, std::uint64_t every)
      : arguments_(&arguments),
        keeper_(&keeper),
        watch_(arguments, keeper),
        every_(arguments.every > 0 ? arguments.every : every) {}

  /// Opens both files, if a state is asked for. Afterwards `nll` is what has been scored before.
  /// @param tokens  the whole run's
  /// @param blocks  0, or tokens of an independent block
  /// kBadInput for the state of another text, and for a FILE.nll that is not its own: it is left as it is.
  Status open(Engine& engine, std::span<const Token> tokens, std::uint32_t blocks, std::vector<double>& nll);

  /// False from when something could not be kept: nothing is, then.
  bool is_open() const { return keeper_->is_open() && !has_failed_ && !watch_.has_failed(); }
  std::uint64_t done() const { return done_; }  ///< tokens fed, at the last save

  /// To be called between two calls of the session: saves if it is time, or `now`.
  /// @param done  tokens fed so far
  /// Fails if that cannot be and the state is required.
  Status reach(std::uint64_t done, std::span<const double> nll, bool now);
  /// Waits until the last save is on the disk.
  Status settle() { return watch_.settle(); }

 private:
  struct Note;
  Status read_scores(const Note& note, std::vector<double>& nll);
  Status begin();
  void save(std::uint64_t done, std::uint64_t scored);
  Status append(std::span<const double> nll);
  Status give_up(const Status& status);

  const StateArguments* arguments_;
  SessionKeeper* keeper_;
  StateWatch watch_;
  std::uint64_t every_;
  LockedFile file_;
  bool has_failed_ = false;
  std::uint64_t total_ = 0;
  std::uint32_t tokens_crc32_ = 0;
  std::uint32_t blocks_ = 0;
  std::uint64_t done_ = 0;
  std::size_t appended_ = 0;     // values in FILE.nll that are this run's
  std::uint32_t nll_crc32_ = 0;  // of them
};

}  // namespace rill::apps
