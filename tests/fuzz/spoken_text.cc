// What a model writes, on its way to a voice: cut into sentences as it comes, cleaned, and cut at what was said.

#include <algorithm>
#include <string>

#include "apps/voice/speech_text.h"
#include "tests/fuzz/target.h"

namespace {

using rill::fuzz::require;

/// Bytes that the longest word for a symbol has.
constexpr std::size_t kLongestWord = 25;

void speak(std::string_view piece) {
  require(rill::apps::spoken_form(piece).size() <= piece.size() * kLongestWord, "what is said has a limit");
  std::size_t before = 0;
  for (const double share : {0.0, 0.3, 0.99, 1.0}) {
    const std::string_view said = rill::apps::first_words(piece, share);
    require(piece.starts_with(said) && said.size() >= before, "of more of a text more was said");
    before = said.size();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text = rill::fuzz::text_of(data + 1, size - 1);
  const std::size_t step = 1 + data[0] % 32;
  rill::apps::SentenceCutter cutter;
  std::string heard;
  for (std::size_t begin = 0; begin < text.size(); begin += step) {
    cutter.add(text.substr(begin, step));
    while (const auto piece = cutter.next()) {
      require(!piece->empty(), "a piece is not empty");
      heard += *piece;
      speak(*piece);
    }
  }
  const std::string rest = cutter.rest();
  speak(rest);
  require(heard + rest == text, "the pieces are the text");
  return 0;
}
