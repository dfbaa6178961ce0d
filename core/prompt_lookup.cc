#include "core/prompt_lookup.h"

#include <algorithm>

namespace rill {

void PromptLookup::observe(std::span<const Token> tokens) {
  const std::size_t lookback = room_.size() / 2;
  if (lookback == 0) return;
  tokens = tokens.last(std::min(tokens.size(), lookback));
  if (size_ + tokens.size() > room_.size()) {
    const std::size_t kept = std::min(size_, lookback);
    std::copy_n(room_.begin() + static_cast<std::ptrdiff_t>(size_ - kept), kept, room_.begin());
    size_ = kept;
  }
  std::copy(tokens.begin(), tokens.end(), room_.begin() + static_cast<std::ptrdiff_t>(size_));
  size_ += tokens.size();
}

/// How many tokens before `end` are those at the stream's end.
std::size_t PromptLookup::match_length(std::size_t end) const {
  std::size_t length = 0;
  while (length < kMostMatch && length < end && room_[end - 1 - length] == room_[size_ - 1 - length]) ++length;
  return length;
}

std::size_t PromptLookup::propose(std::span<Token> guess) const {
  std::size_t best = 0;
  std::size_t follows = 0;  // where the tokens that followed begin
  const std::size_t oldest = size_ - std::min(size_, room_.size() / 2);
  for (std::size_t end = size_; end > oldest + 1 && best < kMostMatch;) {
    const std::size_t length = match_length(--end);
    if (length <= best) continue;  // of equals the latest
    best = length;
    follows = end;
  }
  if (best < kLeastMatch) return 0;
  const std::size_t count = std::min(guess.size(), best);
  for (std::size_t i = 0; i < count; ++i) {
    // What follows may reach the stream's end: what repeats goes on to repeat.
    guess[i] = follows + i < size_ ? room_[follows + i] : guess[follows + i - size_];
  }
  return count;
}

}  // namespace rill
