#include "core/unicode_composer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

namespace rill {
namespace {

/// No character below U+0300 changes or composes with one before it; UTF-8 writes them with lead bytes below this one.
constexpr std::uint8_t kFirstLeadThatMatters = 0xcc;

constexpr auto kOptions = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);

/// Bytes at the front of a text that only hold characters below U+0300.
std::size_t plain_bytes(std::string_view text) {
  const auto* const found = std::find_if(text.begin(), text.end(),
                                         [](char c) { return static_cast<std::uint8_t>(c) >= kFirstLeadThatMatters; });
  return static_cast<std::size_t>(found - text.begin());
}

bool continues_character(char c) { return (static_cast<std::uint8_t>(c) & 0xc0U) == 0x80U; }

/// The character at the front of valid UTF-8.
struct Character {
  std::size_t bytes = 0;
  bool begins_anew = false;  ///< whatever stands before it, neither changes the other
};

Character front_character(std::string_view text) {
  utf8proc_int32_t code = 0;
  const utf8proc_ssize_t bytes = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                                  static_cast<utf8proc_ssize_t>(text.size()), &code);
  if (bytes <= 0) return {.bytes = 1, .begins_anew = true};
  const utf8proc_property_t* const property = utf8proc_get_property(code);
  // All that composes with what stands before it is a mark, or the vowel or end of a Hangul syllable.
  const bool is_mark = property->category == UTF8PROC_CATEGORY_MN || property->category == UTF8PROC_CATEGORY_MC ||
                       property->category == UTF8PROC_CATEGORY_ME || property->combining_class != 0;
  const bool is_hangul_part =
      property->boundclass == UTF8PROC_BOUNDCLASS_V || property->boundclass == UTF8PROC_BOUNDCLASS_T;
  return {.bytes = static_cast<std::size_t>(bytes), .begins_anew = !is_mark && !is_hangul_part};
}

}  // namespace

std::size_t UnicodeComposer::add(std::string_view& text, std::span<char> out) {
  std::size_t written = 0;
  while (!text.empty() && out.size() - written >= kLeastRoom) {
    const std::size_t plain = plain_bytes(text);
    if (plain > 0) {
      written += finish(out.subspan(written));
      std::size_t taken = std::min(plain, out.size() - written);
      while (taken < text.size() && continues_character(text[taken])) --taken;
      std::memcpy(out.data() + written, text.data(), taken);
      text.remove_prefix(taken);
      written += taken;
      // All of it is final but the last character, which may still get a mark.
      do {
        --written;
        ++held_bytes_;
      } while (continues_character(out[written]));
      std::memcpy(held_.data(), out.data() + written, held_bytes_);
      continue;
    }
    const Character next = front_character(text);
    if (next.begins_anew || held_bytes_ + next.bytes > held_.size()) written += finish(out.subspan(written));
    std::memcpy(held_.data() + held_bytes_, text.data(), next.bytes);
    held_bytes_ += next.bytes;
    text.remove_prefix(next.bytes);
  }
  return written;
}

std::size_t UnicodeComposer::finish(std::span<char> out) {
  const std::string_view held(held_.data(), std::exchange(held_bytes_, 0));
  if (plain_bytes(held) == held.size()) {
    std::memcpy(out.data(), held.data(), held.size());
    return held.size();
  }
  // A character decomposes into four at most, hence the room; it comes back as UTF-8 in the same memory.
  std::array<utf8proc_int32_t, 4 * sizeof held_ + 1> codes{};
  const utf8proc_ssize_t count =
      utf8proc_decompose(reinterpret_cast<const utf8proc_uint8_t*>(held.data()),
                         static_cast<utf8proc_ssize_t>(held.size()), codes.data(), codes.size() - 1, kOptions);
  const utf8proc_ssize_t bytes = count < 0 ? count : utf8proc_reencode(codes.data(), count, kOptions);
  if (bytes < 0 || static_cast<std::size_t>(bytes) > out.size()) {  // cannot be, of valid UTF-8: as it is, then
    std::memcpy(out.data(), held.data(), held.size());
    return held.size();
  }
  std::memcpy(out.data(), codes.data(), static_cast<std::size_t>(bytes));
  return static_cast<std::size_t>(bytes);
}

}  // namespace rill
