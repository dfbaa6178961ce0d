// UTF-8 by the letter of Unicode, and a stream of it that never shows half a character.

#include "core/utf8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include "core/tokenizer.h"

namespace rill {
namespace {

const std::string kBad(kReplacementCharacter);

std::string moved(std::string_view text) {
  std::vector<char> buffer(text.size() * 3 + 8);
  const std::size_t size = move_as_utf8(text, buffer);
  EXPECT_TRUE(text.empty());
  return {buffer.data(), size};
}

TEST(Utf8, EachMaximalPartOfWhatIsInvalidBecomesOneReplacement) {
  // Unicode 15, table 3-8, 3-9, 3-10 and 3-11: the examples of the standard.
  EXPECT_EQ(moved("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41"), kBad + kBad + kBad + kBad + kBad + kBad + kBad + kBad + "A");
  EXPECT_EQ(moved("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41"), kBad + kBad + kBad + kBad + kBad + kBad + kBad + kBad + "A");
  EXPECT_EQ(moved("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42"), kBad + kBad + kBad + kBad + kBad + "A" + kBad + kBad + "B");
  EXPECT_EQ(moved("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41"), kBad + kBad + kBad + kBad + "A");
  EXPECT_EQ(moved("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82"), "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82");
}

TEST(Utf8Stream, GivesWholeCharactersHoweverTheBytesArrive) {
  const std::string text = "a\xc3\xa9 \xe2\x82\xac\xf0\x9f\x99\x82z";
  for (std::size_t step = 1; step <= text.size(); ++step) {
    Utf8Stream stream;
    std::string heard;
    std::vector<char> buffer(64);
    for (std::size_t i = 0; i < text.size(); i += step) {
      const std::string part(stream.add(std::string_view(text).substr(i, step), buffer));
      EXPECT_EQ(moved(part), part) << "half a character";
      heard += part;
    }
    EXPECT_EQ(heard, text);
    EXPECT_TRUE(stream.finish(buffer).empty());
  }
}

TEST(Utf8Stream, ReplacesWhatCanNeverBecomeACharacter) {
  Utf8Stream stream;
  std::vector<char> buffer(64);
  EXPECT_EQ(stream.add("\xe2\x82", buffer), "");
  EXPECT_EQ(stream.add("A", buffer), kBad + "A");
  EXPECT_EQ(stream.add("\xf0\x9f", buffer), "");
  EXPECT_EQ(stream.finish(buffer), kBad);
  EXPECT_EQ(stream.finish(buffer), "");
}

TEST(Utf8Stream, StripsOneSpaceAtTheBeginningWhereTheTokenizerPutOne) {
  Utf8Stream stream(/*strip_first_space=*/true);
  std::vector<char> buffer(64);
  EXPECT_EQ(stream.add("  a", buffer), " a");
  EXPECT_EQ(stream.add(" b", buffer), " b");
}

/// Every well-formed character as a number of four bytes, zeros behind it. Ascending, as UTF-8 sorts like code points.
const std::vector<std::uint32_t>& all_characters() {
  static const std::vector<std::uint32_t> characters = [] {
    std::vector<std::uint32_t> all;
    for (std::uint32_t point = 0; point <= 0x10ffff; ++point) {
      if (point >= 0xd800 && point <= 0xdfff) continue;  // surrogates are no characters
      const auto tail = [&](unsigned shift) { return 0x80U | ((point >> shift) & 0x3fU); };
      if (point < 0x80) {
        all.push_back(point << 24U);
      } else if (point < 0x800) {
        all.push_back((0xc0U | (point >> 6U)) << 24U | tail(0) << 16U);
      } else if (point < 0x10000) {
        all.push_back((0xe0U | (point >> 12U)) << 24U | tail(6) << 16U | tail(0) << 8U);
      } else {
        all.push_back((0xf0U | (point >> 18U)) << 24U | tail(12) << 16U | tail(6) << 8U | tail(0));
      }
    }
    return all;
  }();
  return characters;
}

/// By the definition of a maximal subpart: the longest beginning that some character has; at least one byte.
Utf8Character by_definition(std::string_view bytes) {
  using Kind = Utf8Character::Kind;
  std::uint32_t number = 0;
  std::size_t longest = 0;
  for (std::size_t i = 0; i < 4 && i < bytes.size(); ++i) {
    number |= std::uint32_t{static_cast<std::uint8_t>(bytes[i])} << (24 - 8 * i);
    const auto next = std::lower_bound(all_characters().begin(), all_characters().end(), number);
    const std::uint32_t mask = ~std::uint32_t{0} << (24 - 8 * i);
    if (next == all_characters().end() || (*next & mask) != number) return {Kind::kInvalid, longest == 0 ? 1 : longest};
    longest = i + 1;
    // Whole once it has the bytes that its lead announces: nothing longer begins so.
    const auto lead = static_cast<std::uint8_t>(bytes[0]);
    const std::size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (longest == size) return {Kind::kWhole, size};
  }
  return {Kind::kUnfinished, longest};
}

TEST(Utf8, AgreesWithTheDefinitionOnAllStringsOfBytesAtTheBorders) {
  constexpr std::uint8_t kBorders[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf,
                                       0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
  constexpr std::size_t kCount = std::size(kBorders);
  for (std::size_t size = 1; size <= 4; ++size) {
    std::size_t strings = 1;
    for (std::size_t i = 0; i < size; ++i) strings *= kCount;
    for (std::size_t s = 0; s < strings; ++s) {
      std::string bytes;
      for (std::size_t i = 0, rest = s; i < size; ++i, rest /= kCount) {
        bytes += static_cast<char>(kBorders[rest % kCount]);
      }
      const Utf8Character expected = by_definition(bytes);
      const Utf8Character actual = first_character(bytes);
      ASSERT_EQ(actual.kind, expected.kind) << testing::PrintToString(bytes);
      ASSERT_EQ(actual.bytes, expected.bytes) << testing::PrintToString(bytes);
    }
  }
}

/// Texts whose every cut matters: characters of all sizes, and what is none.
const std::vector<std::string>& awkward_texts() {
  static const std::vector<std::string> texts = {
      "a\xc3\xa9 \xe2\x82\xac\xf0\x9f\x99\x82z", "\xf0\x9f\x99\x82\xf4\x8f\xbf\xbf\xef\xbf\xbd",
      "\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41",    "\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41",
      "\xf4\x91\x92\x93\xff\x41\x80\xbf\x42",    "\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41",
      "\xf0\x9f\xf0\x9f\x99\xe2\x82\xc3",        std::string("\0\xc3\0\xe2\x82\0", 6),
  };
  return texts;
}

TEST(Utf8Stream, SaysTheSameHoweverATextIsCutIntoThree) {
  std::vector<char> buffer(64);
  for (const std::string& text : awkward_texts()) {
    for (std::size_t first = 0; first <= text.size(); ++first) {
      for (std::size_t second = first; second <= text.size(); ++second) {
        Utf8Stream stream;
        std::string heard;
        for (const std::string& part :
             {text.substr(0, first), text.substr(first, second - first), text.substr(second)}) {
          const std::string said(stream.add(part, buffer));
          EXPECT_LE(said.size(), part.size() * 3 + 12);
          for (std::string_view left = said; !left.empty(); left.remove_prefix(by_definition(left).bytes)) {
            ASSERT_EQ(by_definition(left).kind, Utf8Character::Kind::kWhole) << "half a character";
          }
          heard += said;
        }
        heard += stream.finish(buffer);
        ASSERT_EQ(heard, moved(text)) << testing::PrintToString(text) << " cut at " << first << " and " << second;
      }
    }
  }
}

TEST(Utf8, IsMovedInWholeCharactersIntoAnyBuffer) {
  for (const std::string& text : awkward_texts()) {
    const std::string expected = moved(text);
    for (std::size_t room = 0; room <= expected.size(); ++room) {
      std::vector<char> buffer(room);
      std::string_view left = text;
      const std::string front(buffer.data(), move_as_utf8(left, buffer));
      EXPECT_EQ(front + moved(left), expected) << room;
      if (room < 4) continue;
      EXPECT_TRUE(left.empty() || front.size() + 4 > room) << "room for another";
    }
  }
}

}  // namespace
}  // namespace rill
