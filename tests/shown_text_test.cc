#include "apps/shown_text.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <utility>

namespace rill::apps {
namespace {

std::string shown(std::string_view text, bool is_terminal) {
  char* bytes = nullptr;
  std::size_t size = 0;
  std::FILE* const out = ::open_memstream(&bytes, &size);
  ShownText(out, is_terminal).write(text);
  std::fclose(out);
  std::string result(bytes, size);
  std::free(bytes);
  return result;
}

TEST(ShownText, LeavesATerminalNothingThatSteersIt) {
  using namespace std::string_view_literals;
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"plain\n\ttext", "plain\n\ttext"},
      {"\x1b]52;c;cm0gLXJm\x07", "\uFFFD]52;c;cm0gLXJm\uFFFD"},  // OSC 52 fills the clipboard
      {"\x1b[2J\x1b[H", "\uFFFD[2J\uFFFD[H"},
      {"a\u009B2Jb", "a\uFFFD2Jb"},  // CSI in one character
      {"\u00A0\u00C2\u0080", "\u00A0\u00C2\uFFFD"},
      {"safe\rrisk\r\n", "saferisk\n"},
      {"a\0b\bc\x7f"sv, "a\uFFFDb\uFFFDc\uFFFD"},
      {"\U0001F600\u3042", "\U0001F600\u3042"},
      {"", ""},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_EQ(shown(text, true), expected);
    EXPECT_EQ(shown(text, false), text) << "a pipe gets every byte";
  }
}

TEST(WithoutControls, EscapesWhatJsonNeedNot) {
  EXPECT_EQ(without_controls("[\"a\\n\u009B2J\u0080 \x7f\u00A0\u3042\"]\n"),
            "[\"a\\n\\u009b2J\\u0080 \\u007f\u00A0\u3042\"]\n");
}

}  // namespace
}  // namespace rill::apps
