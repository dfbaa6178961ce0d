#include "quant/byte_level_alphabet.h"

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/utf8.h"

namespace rill::quant {
namespace {

constexpr bool is_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

constexpr std::size_t kCharacters = 256 + 68;  // 68 bytes are not themselves
constexpr std::int16_t kNone = -1;

// byte_of[c]: the byte that character U+c stands for.
constexpr std::array<std::int16_t, kCharacters> make_table() {
  std::array<std::int16_t, kCharacters> byte_of{};
  byte_of.fill(kNone);
  std::size_t next = 256;
  for (unsigned byte = 0; byte < 256; ++byte) {
    byte_of[is_itself(byte) ? byte : next++] = static_cast<std::int16_t>(byte);
  }
  return byte_of;
}

constexpr std::array<std::int16_t, kCharacters> kByteOf = make_table();

}  // namespace

std::optional<std::string> bytes_of_byte_level_token(std::string_view token) {
  std::string bytes;
  bytes.reserve(token.size());
  while (!token.empty()) {
    const Utf8Character front = first_character(token);
    if (front.kind != Utf8Character::Kind::kWhole || front.bytes > 2) return std::nullopt;
    const auto byte = [&](std::size_t i) { return static_cast<unsigned>(static_cast<std::uint8_t>(token[i])); };
    const unsigned character = front.bytes == 1 ? byte(0) : (byte(0) & 0x1fU) << 6U | (byte(1) & 0x3fU);
    if (character >= kCharacters || kByteOf[character] == kNone) return std::nullopt;
    bytes += static_cast<char>(kByteOf[character]);
    token.remove_prefix(front.bytes);
  }
  return bytes;
}

}  // namespace rill::quant
