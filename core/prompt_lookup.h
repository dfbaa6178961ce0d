#pragma once
// Guesses at what comes next in a stream: what followed the last time that its latest tokens stood in it. Cheap enough
// to ask before every token, and right surprisingly often, since conversations repeat names, phrases and questions.
// Source: prompt lookup decoding (Saxena, 2023), after speculative decoding (arXiv 2211.17192), of which it has the
// first half; the second, verifying a guess in one pass, is Session::advance().

#include <cstddef>
#include <span>

#include "core/model_config.h"

namespace rill {

/// One stream's latest tokens. Copies are of the view: the memory is borrowed.
class PromptLookup {
 public:
  /// Tokens that it looks back at, at most: further back, looking would cost more than a guess is worth.
  static constexpr std::size_t kMostLookback = 4096;
  /// Fewer tokens that agree are no reason for a guess.
  static constexpr std::size_t kLeastMatch = 2;
  static constexpr std::size_t kMostMatch = 8;

  PromptLookup() = default;
  /// @param room  [2 n], to look back at n tokens at least; empty: it never guesses
  explicit PromptLookup(std::span<Token> room) : room_(room) {}

  void observe(std::span<const Token> tokens);
  void forget() { size_ = 0; }

  /// Guesses what follows. As many tokens as agree, at most: the longer the match, the further it can be trusted.
  /// @param guess  room for the guess
  /// @returns how many tokens were guessed. Cost: O(n) comparisons
  std::size_t propose(std::span<Token> guess) const;

 private:
  std::size_t match_length(std::size_t end) const;

  std::span<Token> room_;  // the tokens, oldest first; when it is full, the later half moves to the front
  std::size_t size_ = 0;
};

}  // namespace rill
