#pragma once
// Unicode's normalisation form C (UAX #15), for a text that comes in pieces and a buffer of fixed size: what some
// tokenizers do to a text before they look at it.

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

namespace rill {

/// Composes one text. It holds back the characters since the last place where nothing that follows can change them.
class UnicodeComposer {
 public:
  /// No buffer may be smaller: what is held back must fit when it is let go.
  static constexpr std::size_t kLeastRoom = 1024;

  /// Takes valid UTF-8 from the front of a text while at least kLeastRoom bytes of `out` are free.
  /// @returns bytes written
  std::size_t add(std::string_view& text, std::span<char> out);
  /// Lets go of what is held back. The next text begins anew.
  /// @param out  at least kLeastRoom bytes
  std::size_t finish(std::span<char> out);

 private:
  // A character and the marks on it. UAX #15's stream-safe format has at most 30 marks; more than fit here are composed
  // in parts.
  std::array<char, 256> held_{};
  std::size_t held_bytes_ = 0;
};

}  // namespace rill
