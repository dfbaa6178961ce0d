#pragma once
// UTF-8: where characters end, and what stands for bytes that are none.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace rill {

inline constexpr std::string_view kReplacementCharacter = "\xef\xbf\xbd";  // U+FFFD

/// What stands at the front of some bytes.
struct Utf8Character {
  enum class Kind : std::uint8_t { kWhole, kInvalid, kUnfinished };
  Kind kind = Kind::kWhole;
  std::size_t bytes = 0;  ///< of the character; of the maximal invalid part, which counts as one U+FFFD; all there is
};

/// @param bytes  not empty. kUnfinished: a valid beginning that more bytes could finish.
/// Source: Unicode 15, section 3.9, table 3-7 and "Substitution of Maximal Subparts".
Utf8Character first_character(std::string_view bytes);

/// Moves text into a buffer, invalid parts as U+FFFD, whole characters only.
/// @param text  the front that was moved is taken off
/// @returns bytes written; the text is empty then, or the buffer has no room for the next character
std::size_t move_as_utf8(std::string_view& text, std::span<char> buffer);

}  // namespace rill
