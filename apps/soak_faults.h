#pragma once
// What goes wrong in a life of years, on purpose and at random: a soak with --faults.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/engine.h"
#include "core/random_generator.h"
#include "platform/status.h"

namespace rill::apps {

/// Does one fault after the other to a session. Takes all memory that it needs at the start.
class SoakFaults {
 public:
  enum class Kind : std::uint8_t { kRestore, kReset, kLongPrompt, kHostilePrompt, kSystemPrompt };
  static constexpr std::size_t kKinds = 5;
  static std::string_view name_of(std::size_t kind);  ///< "restores", for reports

  /// @param engine  borrowed
  SoakFaults(Engine& engine, std::uint64_t seed);

  /// Every kind in every form, so that a warm-up has run all of its code.
  Status do_all();
  /// Now and then, once in `kMeanDistance` tokens on the average: one of them. To be called between two tokens.
  /// @param token  the stream's last one, to go on with; changed where the stream begins anew
  /// kFailed if the session was not then as it must be.
  Status maybe(Token& token);

  /// What it holds for itself, beside the plan.
  std::uint64_t bytes() const;
  std::uint64_t count(std::size_t kind) const { return counts_[kind]; }

 private:
  static constexpr std::uint64_t kMeanDistance = 2000;

  Status do_one(Kind kind, std::uint32_t form);
  Status restore();
  Status make(std::span<Token> tokens);
  Status prompt_at_random(std::size_t tokens);
  Status say(std::string_view text);
  Status refuse_unknown_token();
  Status refuse_endless_word();
  Status refuse_broken_state();
  Token beginning() const;

  Engine& engine_;
  Session& session_;
  RandomGenerator random_;
  std::vector<std::byte> state_;
  std::vector<Token> prompt_;
  std::vector<Token> first_time_;
  std::vector<Token> second_time_;
  std::vector<char> endless_word_;
  Token token_ = 0;  // the stream's last one
  std::uint64_t counts_[kKinds] = {};
};

}  // namespace rill::apps
