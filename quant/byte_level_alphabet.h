#pragma once
// How GPT-2's kind of vocabulary file spells bytes: each of the 256 as one printable character.

#include <optional>
#include <string>
#include <string_view>

namespace rill::quant {

/// The bytes that a token spelt in that alphabet stands for ("Ġthe" is " the"); nothing if a character is not in it.
/// Source: bytes_to_unicode() of GPT-2's encoder: printable Latin-1 bytes are themselves, the others follow from
/// U+0100.
std::optional<std::string> bytes_of_byte_level_token(std::string_view token);

}  // namespace rill::quant
