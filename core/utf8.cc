#include "core/utf8.h"

#include <cstring>

namespace rill {

Utf8Character first_character(std::string_view bytes) {
  using Kind = Utf8Character::Kind;
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return {Kind::kWhole, 1};
  if (lead < 0xc2 || lead > 0xf4) return {Kind::kInvalid, 1};
  const std::size_t size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  // The second byte's range keeps out overlong forms, surrogates and what lies beyond U+10FFFF.
  std::uint8_t least = 0x80;
  std::uint8_t most = 0xbf;
  if (lead == 0xe0) least = 0xa0;
  if (lead == 0xed) most = 0x9f;
  if (lead == 0xf0) least = 0x90;
  if (lead == 0xf4) most = 0x8f;
  for (std::size_t i = 1; i < size; ++i) {
    if (i == bytes.size()) return {Kind::kUnfinished, i};
    if (byte(i) < least || byte(i) > most) return {Kind::kInvalid, i};
    least = 0x80;
    most = 0xbf;
  }
  return {Kind::kWhole, size};
}

std::size_t move_as_utf8(std::string_view& text, std::span<char> buffer) {
  std::size_t written = 0;
  while (!text.empty()) {
    const Utf8Character next = first_character(text);
    const std::string_view out =
        next.kind == Utf8Character::Kind::kWhole ? text.substr(0, next.bytes) : kReplacementCharacter;
    if (buffer.size() - written < out.size()) break;
    std::memcpy(buffer.data() + written, out.data(), out.size());
    written += out.size();
    text.remove_prefix(next.bytes);
  }
  return written;
}

}  // namespace rill
