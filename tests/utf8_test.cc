// UTF-8 by the letter of Unicode, and a stream of it that never shows half a character.

#include "core/utf8.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace rill
