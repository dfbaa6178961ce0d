// Examples of Unicode Standard Annex #15, figures 3 to 6, and of the Unicode Standard, section 3.12 (Hangul).

#include "core/unicode_composer.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace rill {
namespace {

/// Composes a text that comes in pieces of so many bytes, cut between characters.
std::string compose(std::string_view text, std::size_t piece_bytes = SIZE_MAX) {
  UnicodeComposer composer;
  std::string all;
  std::vector<char> out(2 * UnicodeComposer::kLeastRoom);
  while (!text.empty()) {
    std::size_t cut = std::min(piece_bytes, text.size());
    while (cut < text.size() && (static_cast<unsigned char>(text[cut]) & 0xc0U) == 0x80U) ++cut;
    std::string_view piece = text.substr(0, cut);
    text.remove_prefix(cut);
    while (!piece.empty()) all.append(out.data(), composer.add(piece, out));
  }
  return all.append(out.data(), composer.finish(out));
}

TEST(UnicodeComposer, GivesFormC) {
  struct Example {
    std::string_view text;
    std::string_view composed;
  };
  for (const Example& example :
       std::vector<Example>{{"\u212b\u2126", "\u00c5\u03a9"},    // singletons: Angstrom and Ohm signs
                            {"A\u030ao\u0302", "\u00c5\u00f4"},  // canonical composites
                            {"s\u0307\u0323", "\u1e69"},         // marks in the other order
                            {"\u1e0b\u0323", "\u1e0d\u0307"},    // a composite whose mark must move
                            {"q\u0307\u0323", "q\u0323\u0307"},  // nothing to compose with, but an order
                            {"\ufb01", "\ufb01"},                // compatibility characters stay
                            {"\u0958", "\u0915\u093c"},          // excluded from composition
                            {"\u1111\u1171\u11b6", "\ud4db"},    // Hangul
                            {"\u0bc6\u0bbe", "\u0bca"},          // a mark that composes and has class 0
                            {"plain text, caf\u00e9 \u4e2d\u6587", "plain text, caf\u00e9 \u4e2d\u6587"}}) {
    EXPECT_EQ(compose(example.text), example.composed);
  }
}

TEST(UnicodeComposer, DoesNotMindWhereTheTextIsCut) {
  std::string text;
  std::string composed;
  for (int i = 0; i < 1000; ++i) {
    text += std::string(static_cast<std::size_t>(i % 7), 'a') + "s\u0307\u0323 \u1111\u1171\u11b6\u4e2d\u0bc6\u0bbe";
    composed += std::string(static_cast<std::size_t>(i % 7), 'a') + "\u1e69 \ud4db\u4e2d\u0bca";
  }
  for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{17}, SIZE_MAX}) {
    EXPECT_EQ(compose(text, piece), composed) << piece;
  }
}

TEST(UnicodeComposer, TakesAnyNumberOfMarks) {
  std::string marks = "e";
  for (int i = 0; i < 10000; ++i) marks += "\u0301";
  const std::string composed = compose(marks);
  EXPECT_TRUE(composed.starts_with("\u00e9\u0301"));
  EXPECT_EQ(composed.size(), marks.size() - 1);  // the first mark went into the letter: three bytes became two
}

}  // namespace
}  // namespace rill
