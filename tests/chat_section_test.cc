// The "chat" section of a model file: a form by its name where it has one, else its texts and what nobody may say.

#include "quant/chat_section.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "core/chat_template.h"
#include "core/tokenizer_section.h"
#include "quant/tokenizer_writer.h"

namespace rill::quant {
namespace {

/// A byte-level vocabulary of the 256 bytes and tokens that no text becomes, then tokens that every text becomes.
SourceTokenizer tokenizer_with(const std::vector<std::string>& special, const std::vector<std::string>& added) {
  SourceTokenizer tokenizer;
  tokenizer.kind = SourceTokenizer::Kind::kByteLevelBpe;
  tokenizer.pattern = "(?s).";
  for (int byte = 0; byte < 256; ++byte) tokenizer.tokens.emplace_back(1, static_cast<char>(byte));
  for (const std::string& token : special) {
    tokenizer.special.push_back(static_cast<Token>(tokenizer.tokens.size()));
    tokenizer.tokens.push_back(token);
  }
  for (const std::string& token : added) {
    tokenizer.added.push_back(static_cast<Token>(tokenizer.tokens.size()));
    tokenizer.tokens.push_back(token);
  }
  return tokenizer;
}

class Chat {
 public:
  Chat(const std::vector<std::string>& special, std::string_view jinja, const ChatSectionOptions& options = {},
       const std::vector<std::string>& added = {}) {
    SourceTokenizer tokenizer = tokenizer_with(special, added);
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

/// Turns that begin with a text around the role's name.
std::string turns(std::string_view before, std::string_view behind) {
  std::string jinja = "{% for m in messages %}{{ '";
  jinja.append(before).append("' + m.role + '").append(behind).append("' + m.content + eos_token }}{% endfor %}{{ '");
  return jinja.append(before).append("assistant").append(behind).append("' }}");
}

TEST(ChatSectionWriter, MarksWhatATextCouldForge) {
  EXPECT_EQ(Chat({"<eos>"}, turns("### ", ": ")).marks(), (Marks{"### system:", "### user:", "### assistant:"}));
  EXPECT_EQ(Chat({"<eos>"}, turns("[A] <<", ">>\n")).marks(), (Marks{"[A]", "<<system>>", "<<user>>", "<<assistant>>"}))
      << "each that stands in brackets, not the line";
  EXPECT_EQ(Chat({"<eos>"}, turns("</t><", ">")).marks(), (Marks{"</t>", "<system>", "<user>", "<assistant>"}));
  // What can be said, as it only means something behind a token that cannot; and what makes no turn.
  EXPECT_EQ(Chat({"<eos>", "<|"}, turns("<|", ": ")).marks(), Marks{});
  EXPECT_EQ(Chat({"<eos>", "<|system|>", "<|user|>", "<|assistant|>"}, kSpeakers).marks(), Marks{});
  EXPECT_EQ(Chat({"<eos>", "<|user|>", "<|assistant|>"},
                 "{{ 'What follows is a kind talk of two.\n' }}{% for m in messages %}{{ '<|' + m.role + '|>' + "
                 "m.content + eos_token }}{% endfor %}{{ '<|assistant|>' }}")
                .marks(),
            Marks{"<|system|>"});
  // Tokens that a text becomes wherever it spells them.
  const Chat added({"<eos>"}, turns("<|", "|><t>"), {}, {"<|user|>", "<|assistant|>", "<t>", "\n\n"});
  for (const std::string_view mark : {"<|user|>", "<|assistant|>", "<t>"}) {
    EXPECT_EQ(std::ranges::count(added.marks(), mark), 1) << mark;
  }
}

TEST(ChatSectionWriter, SaysWhichMarksAreOrdinaryText) {
  for (const auto& [before, behind, mark] :
       {std::array<std::string_view, 3>{"", "\n", "system"}, {"## ", "\n###\n", "###"}}) {
    const Chat chat({"<eos>"}, turns(before, behind));
    ASSERT_TRUE(chat.written.ok()) << chat.written.status().message();
    EXPECT_NE(chat.written->notice.find(std::string("\"").append(mark).append("\" marks a turn")), std::string::npos)
        << chat.written->notice;
  }
  const Chat chat({"<eos>"},
                  "{% for m in messages %}{{ ('A: ' if m.role == 'assistant' else 'Q: ') + m.content + eos_token }}"
                  "{% endfor %}{{ 'A: ' }}");
  ASSERT_TRUE(chat.written.ok()) << chat.written.status().message();
  EXPECT_NE(chat.written->notice.find("\"Q:\" marks a turn"), std::string::npos) << chat.written->notice;
}

TEST(ChatSectionWriter, RefusesMoreMarksThanThereIsRoomFor) {
  std::string many = "{{ '";
  for (char c = 'a'; c < 'a' + 14; ++c) many.append("[").append(3, c).append("]\\n");
  const Chat chat({"<eos>"}, many.append("' }}").append(kSpeakers));
  EXPECT_NE(chat.written.status().message().find("marks that are no special tokens, expected at most 12"),
            std::string_view::npos)
      << chat.written.status().message();
}

TEST(ChatSectionWriter, FindsTheTokenThatEndsAReply) {
  const Chat chat({"<eos>", "<|end|>"},
                  "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
                  "<|assistant|>\n");
  ASSERT_TRUE(chat.written.ok()) << chat.written.status().message();
  EXPECT_EQ(chat.written->end_token, Token{257});
  EXPECT_EQ(chat.parsed.form.reply_end, "<|end|>\n");

  // White space that happens to be a token does not, nor does the beginning of a text.
  const Chat spaced({"<eos>"},
                    "{% for m in messages %}{{ m.role + ': ' + m.content + '\n\n' }}{% endfor %}assistant: ", {},
                    {"\n\n"});
  ASSERT_TRUE(spaced.written.ok()) << spaced.written.status().message();
  EXPECT_EQ(spaced.written->end_token, std::nullopt);
  EXPECT_EQ(spaced.parsed.form.reply_end, "");
  EXPECT_EQ(spaced.parsed.form.user_begin, "\n\nuser: ");
}

}  // namespace
}  // namespace rill::quant
