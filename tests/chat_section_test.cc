// The "chat" section of a model file: a form by its name where it has one, else its texts and what nobody may say.

#include "quant/chat_section.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "core/chat_template.h"
#include "core/tokenizer_section.h"
#include "quant/tokenizer_writer.h"

namespace rill::quant {
namespace {

/// A byte-level vocabulary of the 256 bytes, and the beginning and end of text behind them, then others.
SourceTokenizer tokenizer_with(const std::vector<std::string>& special) {
  SourceTokenizer tokenizer;
  tokenizer.kind = SourceTokenizer::Kind::kByteLevelBpe;
  tokenizer.pattern = "(?s).";
  for (int byte = 0; byte < 256; ++byte) tokenizer.tokens.emplace_back(1, static_cast<char>(byte));
  for (const std::string& token : special) {
    tokenizer.special.push_back(static_cast<Token>(tokenizer.tokens.size()));
    tokenizer.tokens.push_back(token);
  }
  return tokenizer;
}

class Chat {
 public:
  Chat(const std::vector<std::string>& special, std::string_view jinja, const ChatSectionOptions& options = {}) {
    SourceTokenizer tokenizer = tokenizer_with(special);
    tokenizer.end_tokens = {256};  // the first of them
    const auto tokens = write_tokenizer_section(tokenizer, static_cast<std::uint32_t>(tokenizer.tokens.size()));
    EXPECT_TRUE(tokens.ok()) << tokens.status().message();
    if (!tokens.ok()) return;
    written = write_chat_section({.jinja = std::string(jinja), .bos_token = {}, .eos_token = {}}, *tokens, options);
    if (!written.ok() || written->section.empty()) return;
    const auto section = parse_chat_section(written->section, text("m.rill"));
    EXPECT_TRUE(section.ok()) << section.status().message();
    if (section.ok()) parsed = *section;
  }

  std::vector<std::string_view> marks() const {
    std::vector<std::string_view> found;
    std::ranges::copy_if(parsed.form.marks, std::back_inserter(found), [](std::string_view m) { return !m.empty(); });
    return found;
  }

  Result<WrittenChat> written = WrittenChat();
  ChatSection parsed;
};

constexpr std::string_view kSpeakers =
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}{% endfor %}{{ "
    "'<|assistant|>\n' }}";
using Marks = std::vector<std::string_view>;

TEST(ChatSectionWriter, NamesAFormThatHasAName) {
  const Chat chat({"</s>"}, kSpeakers);
  ASSERT_TRUE(chat.written.ok()) << chat.written.status().message();
  EXPECT_EQ(chat.written->section, "form: zephyr\nsystem: ");
  EXPECT_EQ(chat.written->end_token, std::nullopt);
  const std::string system = "Be kind.";
  EXPECT_EQ(Chat({"</s>"}, kSpeakers, {.form = {}, .system = &system}).written->section,
            "form: zephyr\nsystem: Be kind.");
  EXPECT_EQ(Chat({"</s>"}, kSpeakers, {.form = "llama3"}).written->section, "form: llama3\nsystem: ");
  EXPECT_EQ(Chat({"</s>"}, kSpeakers, {.form = "none"}).written->section, "");
  EXPECT_EQ(Chat({"</s>"}, "").written->section, "");
  EXPECT_EQ(Chat({"</s>"}, kSpeakers, {.form = "alpaca"}).written.status().code(), Code::kUsage);
  EXPECT_EQ(Chat({"</s>"}, "{{ messages }}", {.form = "llama3"}).written->section, "form: llama3\nsystem: ")
      << "a template that nobody asks for";
}

TEST(ChatSectionWriter, KeepsTheTextsOfOneThatHasNone) {
  const Chat chat({"<eos>"}, kSpeakers);
  ASSERT_TRUE(chat.written.ok()) << chat.written.status().message();
  EXPECT_EQ(chat.parsed.form.name, "template");
  EXPECT_EQ(chat.parsed.form.user_end, "<eos>\n<|assistant|>\n");
  EXPECT_EQ(chat.parsed.form.reply_end, "<eos>\n");
  EXPECT_EQ(chat.marks(), (Marks{"<|system|>", "<|user|>", "<|assistant|>"}));
}

TEST(ChatSectionWriter, MarksWhatATextCouldForge) {
  // Marks that are tokens cannot be said, nor what only means something behind one.
  EXPECT_EQ(Chat({"<eos>", "<|system|>", "<|user|>", "<|assistant|>"}, kSpeakers).marks(), Marks{});
  EXPECT_EQ(Chat({"<eos>", "<|"},
                 "{% for m in messages %}{{ '<|' + m.role + ':' + m.content + '\n' + eos_token }}"
                 "{% endfor %}<|assistant:")
                .marks(),
            (Marks{"system:", "user:", "assistant:"}));
  EXPECT_EQ(Chat({"<eos>"},
                 "{{ 'Talk.\n' }}{% for m in messages %}{{ '### ' + m.role + ': ' + m.content + '\n' }}"
                 "{% endfor %}### assistant:")
                .marks(),
            (Marks{"Talk.", "### system:", "### user:", "### assistant:"}));
  std::string many = "{{ '";
  for (char c = 'a'; c < 'a' + 14; ++c) many.append("[").append(3, c).append("]\\n");
  EXPECT_NE(Chat({"<eos>"}, many.append("' }}").append(kSpeakers))
                .written.status()
                .message()
                .find("marks that are no special tokens, expected at most 12"),
            std::string_view::npos);
}

TEST(ChatSectionWriter, FindsTheTokenThatEndsAReply) {
  const Chat chat({"<eos>", "<|end|>"},
                  "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
                  "<|assistant|>\n");
  ASSERT_TRUE(chat.written.ok()) << chat.written.status().message();
  EXPECT_EQ(chat.written->end_token, Token{257});
  EXPECT_EQ(chat.parsed.form.reply_end, "<|end|>\n");
}

}  // namespace
}  // namespace rill::quant
