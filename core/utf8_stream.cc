#include <cstring>

#include "core/tokenizer.h"
#include "core/utf8.h"

namespace rill {

std::string_view Utf8Stream::add(std::string_view bytes, std::span<char> out) {
  if (strip_first_space_ && !bytes.empty()) {
    strip_first_space_ = false;
    if (bytes.front() == ' ') bytes.remove_prefix(1);
  }
  std::size_t written = 0;
  const auto put = [&](std::string_view part) {
    const std::size_t size = part.size() < out.size() - written ? part.size() : out.size() - written;
    std::memcpy(out.data() + written, part.data(), size);
    written += size;
  };
  while (!bytes.empty()) {
    // At most four bytes are looked at: those that wait, and as many new ones as complete a character.
    char candidate[4];
    std::size_t size = pending_size_;
    std::memcpy(candidate, pending_, size);
    while (size < sizeof candidate && size - pending_size_ < bytes.size()) {
      candidate[size] = bytes[size - pending_size_];
      ++size;
    }
    const std::string_view front(candidate, size);
    const Utf8Character next = first_character(front);
    if (next.kind == Utf8Character::Kind::kUnfinished) {
      std::memcpy(pending_, candidate, size);
      bytes.remove_prefix(size - pending_size_);
      pending_size_ = static_cast<std::uint8_t>(size);
      break;
    }
    put(next.kind == Utf8Character::Kind::kWhole ? front.substr(0, next.bytes) : kReplacementCharacter);
    // What waits is always the valid beginning of a character, so the front is never shorter than it.
    bytes.remove_prefix(next.bytes - pending_size_);
    pending_size_ = 0;
  }
  return {out.data(), written};
}

std::string_view Utf8Stream::finish(std::span<char> out) {
  if (pending_size_ == 0 || out.size() < kReplacementCharacter.size()) return {};
  pending_size_ = 0;
  std::memcpy(out.data(), kReplacementCharacter.data(), kReplacementCharacter.size());
  return {out.data(), kReplacementCharacter.size()};
}

}  // namespace rill
