#include "quant/jinja/python_text.h"

#include <algorithm>
#include <cstring>

#include "core/utf8.h"
#include "quant/jinja/value.h"

namespace rill::quant::jinja {
namespace {

bool is_upper_letter(char c) { return c >= 'A' && c <= 'Z'; }
bool is_lower_letter(char c) { return c >= 'a' && c <= 'z'; }
char up(char c) { return is_lower_letter(c) ? static_cast<char>(c - 'a' + 'A') : c; }
char down(char c) { return is_upper_letter(c) ? static_cast<char>(c - 'A' + 'a') : c; }

void require_ascii(std::string_view text) {
  for (; !text.empty(); text.remove_prefix(1)) {
    if (static_cast<unsigned char>(text[0]) >= 0x80) {
      unsupported(rill::text("upper and lower case of \"", first_of(text), "\""));
    }
  }
}

/// str.isspace() of one character.
bool is_space(std::string_view character) {
  const char c = character[0];
  if (character.size() == 1) return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20);
  static constexpr std::string_view kOthers[] = {"\u0085", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003",
                                                 "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
                                                 "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};
  return std::ranges::find(kOthers, character) != std::end(kOthers);
}

/// The last character. @param text  not empty
std::string_view last_of(std::string_view text) {
  std::size_t begin = text.size() - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xc0U) == 0x80U) --begin;
  return text.substr(begin);
}

bool is_stripped(std::string_view character, const std::string_view* chars) {
  if (chars == nullptr) return is_space(character);
  return chars->find(character) != std::string_view::npos;  // valid UTF-8: a whole character is found as one
}

}  // namespace

std::string_view first_of(std::string_view text) { return text.substr(0, first_character(text).bytes); }

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Character character = first_character(text);
    if (character.kind != Utf8Character::Kind::kWhole) return false;
    text.remove_prefix(character.bytes);
  }
  return true;
}

std::int64_t count_characters(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; });
}

std::size_t offset_of(std::string_view text, std::int64_t index) {
  std::size_t offset = 0;
  for (; index > 0 && offset < text.size(); --index) offset += first_of(text.substr(offset)).size();
  return offset;
}

std::string_view strip_left(std::string_view text, const std::string_view* chars) {
  while (!text.empty()) {
    const std::string_view character = first_of(text);
    if (!is_stripped(character, chars)) break;
    text.remove_prefix(character.size());
  }
  return text;
}

std::string_view strip_right(std::string_view text, const std::string_view* chars) {
  while (!text.empty()) {
    const std::string_view character = last_of(text);
    if (!is_stripped(character, chars)) break;
    text.remove_suffix(character.size());
  }
  return text;
}

std::size_t find_part(std::string_view text, std::string_view part) {
  if (part.empty()) return 0;
  if (text.size() < part.size()) return std::string_view::npos;
  const void* found = ::memmem(text.data(), text.size(), part.data(), part.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

std::string upper(std::string_view text) {
  require_ascii(text);
  std::string out(text);
  std::ranges::transform(out, out.begin(), up);
  return out;
}

std::string lower(std::string_view text) {
  require_ascii(text);
  std::string out(text);
  std::ranges::transform(out, out.begin(), down);
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out = lower(text);
  if (!out.empty()) out[0] = up(out[0]);
  return out;
}

std::string title(std::string_view text) {
  require_ascii(text);
  std::string out(text);
  bool is_inside = false;
  for (char& c : out) {
    c = is_inside ? down(c) : up(c);
    is_inside = is_upper_letter(c) || is_lower_letter(c);
  }
  return out;
}

}  // namespace rill::quant::jinja
