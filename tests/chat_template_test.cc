// Chat forms: known by their names, and read from a section that may hold anything.

#include "core/chat_template.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace rill {
namespace {

using namespace std::string_view_literals;

TEST(ChatForms, AreFoundByTheirWholeNameOnly) {
  std::set<std::string_view> names;
  std::string listed;
  for (const ChatForm& form : chat_forms()) {
    EXPECT_TRUE(names.insert(form.name).second) << form.name << " stands twice";
    EXPECT_EQ(find_chat_form(form.name), &form);
    listed += (listed.empty() ? "" : ", ") + std::string(form.name);
  }
  EXPECT_EQ(names,
            (std::set<std::string_view>{"chatml-no-think", "phi4", "chatml", "llama2", "mistral-v3", "mistral", "tulu2",
                                        "tulu", "olmo2", "zephyr", "zephyr-endoftext", "llama3", "gemma"}));
  EXPECT_EQ(chat_form_names().view(), listed);
  for (const std::string_view name : {""sv, "chatm"sv, "chatml "sv, "ChatML"sv, "chatml\0"sv, "llama"sv}) {
    EXPECT_EQ(find_chat_form(name), nullptr) << name;
  }
}

/// Two turns with a system text, strung together as the conversation does it.
std::string two_turns(const ChatForm& f) {
  std::string all;
  for (const std::string_view part : {f.system_begin, "S"sv, f.system_end, f.user_begin_after_system, "A"sv, f.user_end,
                                      "B"sv, f.reply_end, f.user_begin, "C"sv, f.user_end}) {
    all += part;
  }
  return all;
}

TEST(ChatForms, LayOutTurnsAsTheirModelsCardsDo) {
  EXPECT_EQ(two_turns(*find_chat_form("chatml")),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nA<|im_end|>\n<|im_start|>assistant\nB<|im_end|>\n"
            "<|im_start|>user\nC<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(two_turns(*find_chat_form("llama2")), "[INST] <<SYS>>\nS\n<</SYS>>\n\nA [/INST]B</s><s>[INST] C [/INST]");
  EXPECT_EQ(two_turns(*find_chat_form("zephyr")),
            "<|system|>\nS</s>\n<|user|>\nA</s>\n<|assistant|>\nB</s>\n<|user|>\nC</s>\n<|assistant|>\n");
  EXPECT_EQ(two_turns(*find_chat_form("zephyr-endoftext")),
            "<|system|>\nS<|endoftext|>\n<|user|>\nA<|endoftext|>\n<|assistant|>\nB<|endoftext|>\n<|user|>\n"
            "C<|endoftext|>\n<|assistant|>\n");
  EXPECT_EQ(two_turns(*find_chat_form("olmo2")),
            "<|system|>\nS\n<|user|>\nA\n<|assistant|>\nB<|endoftext|>\n<|user|>\nC\n<|assistant|>\n");
  EXPECT_EQ(two_turns(*find_chat_form("tulu2")),
            "<|system|>\nS\n<|user|>\nA\n<|assistant|>\nB</s>\n<|user|>\nC\n<|assistant|>\n");
  EXPECT_EQ(
      two_turns(*find_chat_form("phi4")),
      "<|im_start|>system<|im_sep|>S<|im_end|><|im_start|>user<|im_sep|>A<|im_end|><|im_start|>assistant<|im_sep|>"
      "B<|im_end|><|im_start|>user<|im_sep|>C<|im_end|><|im_start|>assistant<|im_sep|>");
  EXPECT_EQ(two_turns(*find_chat_form("tulu")),
            "<|system|>\nS\n<|user|>\nA\n<|assistant|>\nB<|end_of_text|>\n<|user|>\nC\n<|assistant|>\n");
  EXPECT_EQ(two_turns(*find_chat_form("mistral")), "[INST] S\n\nA [/INST]B</s>[INST] C [/INST]");
  EXPECT_EQ(two_turns(*find_chat_form("mistral-v3")), "[INST]S\n\nA[/INST]B</s>[INST]C[/INST]");
  EXPECT_EQ(two_turns(*find_chat_form("llama3")),
            "<|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
            "A<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nB<|eot_id|><|start_header_id|>user"
            "<|end_header_id|>\n\nC<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n");
  EXPECT_EQ(two_turns(*find_chat_form("gemma")),
            "<start_of_turn>user\nS\n\nA<end_of_turn>\n<start_of_turn>model\nB<end_of_turn>\n"
            "<start_of_turn>user\nC<end_of_turn>\n<start_of_turn>model\n");
  EXPECT_EQ(two_turns(*find_chat_form("chatml-no-think")),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nA<|im_end|>\n<|im_start|>assistant\n<think>\n\n"
            "</think>\n\nB<|im_end|>\n<|im_start|>user\nC<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n");
}

TEST(ChatSection, GivesTheFormAndTheSystemTextToItsEnd) {
  const Text where = text("m.rill");
  const std::string_view section = "form: zephyr\nsystem: Be kind.\nsystem: twice\n\nform: chatml\0x\xff"sv;
  const Result<ChatSection> chat = parse_chat_section(section, where);
  ASSERT_TRUE(chat.ok()) << chat.status().message();
  EXPECT_EQ(chat->form.texts(), find_chat_form("zephyr")->texts());
  EXPECT_EQ(chat->form.name, "zephyr");
  EXPECT_EQ(chat->default_system, "Be kind.\nsystem: twice\n\nform: chatml\0x\xff"sv);
  EXPECT_EQ(chat->default_system.data() + chat->default_system.size(), section.data() + section.size()) << "borrowed";
  EXPECT_EQ(parse_chat_section("form: llama2\nsystem: ", where)->default_system, "");
}

TEST(ChatSection, WithoutItsTwoKeysIsRefused) {
  for (const std::string_view section :
       {""sv, "form: "sv, "form: chatml"sv, "form: chatml\n"sv, "form: chatml\nsystem:"sv, "form:chatml\nsystem: x"sv,
        "form:\nsystem: x"sv, " form: chatml\nsystem: x"sv, "system: x\nform: chatml"sv, "\nsystem: x"sv,
        "Form: chatml\nSystem: x"sv, "form: chatml system: x"sv, "\0form: chatml\nsystem: x"sv}) {
    const Result<ChatSection> chat = parse_chat_section(section, text("m.rill"));
    ASSERT_FALSE(chat.ok()) << section;
    EXPECT_EQ(chat.status().code(), Code::kBadInput);
    EXPECT_TRUE(chat.status().message().starts_with("m.rill")) << chat.status().message();
  }
}

TEST(ChatSection, MayHoldTheTextsOfAFormOfItsOwn) {
  // Seven texts, a mark, and eleven marks that are none.
  const std::string lengths = "lengths: 4 1 3 0 4 6 2 3 0 0 0 0 0 0 0 0 0 0 0\n";
  const std::string texts =
      "SYS:\nUS:"
      "\nUS:"
      "\nBOT: "
      "</"
      "US:";
  const std::string section = "form: template\n" + lengths + texts + "\nsystem: Be\nkind.";
  const Result<ChatSection> chat = parse_chat_section(section, text("m.rill"));
  ASSERT_TRUE(chat.ok()) << chat.status().message();
  EXPECT_EQ(chat->form.name, "template");
  EXPECT_EQ(chat->form.texts(), (std::array<std::string_view, 7>{"SYS:", "\n", "US:", "", "\nUS:", "\nBOT: ", "</"}));
  EXPECT_EQ(chat->form.marks[0], "US:");
  EXPECT_EQ(chat->form.marks[1], "");
  EXPECT_EQ(chat->default_system, "Be\nkind.");
  // Every way to cut it, and lengths that lie.
  for (std::size_t length = 0; length < section.size() - std::string_view("Be\nkind.").size(); ++length) {
    EXPECT_FALSE(parse_chat_section(section.substr(0, length), text("m.rill")).ok()) << length;
  }
  for (const std::string_view lie :
       {"lengths: 4 1 3 0 4 6 2 3 0 0 0 0 0 0 0 0 0 0\n"sv, "lengths: 4 1 3\n"sv,
        "lengths: 5 1 3 0 4 6 2 3 0 0 0 0 0 0 0 0 0 0 0\n"sv, "lengths: 4 1 3 0 4 6 2 3 0 0 0 0 0 0 0 0 0 0 0 0\n"sv,
        "lengths: 4 1 3 0 4 6 2 -3 0 0 0 0 0 0 0 0 0 0 0\n"sv,
        "lengths: 18446744073709551615 1 3 0 4 6 2 3 0 0 0 0 0 0 0 0 0 0 0\n"sv,
        "lengths: 99999999999999999999 1 3 0 4 6 2 3 0 0 0 0 0 0 0 0 0 0 0\n"sv,
        "lengths: 4 1 3 0 4 6 2 3 0 0 0 0 0 0 0 0 0 0 0 \n"sv, "\n"sv, ""sv}) {
    const std::string forged = "form: template\n" + std::string(lie) + texts + "\nsystem: Be kind.";
    const Result<ChatSection> refused = parse_chat_section(forged, text("m.rill"));
    ASSERT_FALSE(refused.ok()) << lie;
    EXPECT_EQ(refused.status().code(), Code::kBadInput);
    EXPECT_NE(refused.status().message().find("the lengths that are given"), std::string_view::npos);
  }
}

TEST(ChatSection, OfAFormThatIsNotKnownListsThoseThatAre) {
  const std::string endless(100000, 'x');
  for (const std::string_view name : {""sv, "alpaca"sv, "chatml\n"sv, "chatml\r"sv, "CHATML"sv, "chatml\0"sv,
                                      "\xff\xfe"sv, std::string_view(endless)}) {
    const Result<ChatSection> chat = parse_chat_section("form: " + std::string(name) + "\nsystem: x", text("m.rill"));
    ASSERT_FALSE(chat.ok()) << name;
    EXPECT_EQ(chat.status().code(), Code::kBadInput);
    EXPECT_NE(chat.status().message().find("zephyr, zephyr-endoftext, llama3, gemma"), std::string_view::npos)
        << chat.status().message();
  }
}

TEST(ChatSection, OfAnyBytesIsAFormOrASentence) {
  const std::vector<std::string_view> pieces = {"form: ", "\nsystem: ", "chatml", "llama2", "\n", " ", "\0"sv, "\xff"};
  std::mt19937 generator(7);
  int good = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string section;
    for (auto left = generator() % 6; left > 0; --left) section += pieces[generator() % pieces.size()];
    const Result<ChatSection> chat = parse_chat_section(section, text("m.rill"));
    // By the definition: the key, a known name, the key, and then anything.
    const bool expected =
        section.starts_with("form: chatml\nsystem: ") || section.starts_with("form: llama2\nsystem: ");
    ASSERT_EQ(chat.ok(), expected) << section;
    EXPECT_EQ(chat.status().message().empty(), expected);
    good += chat.ok() ? 1 : 0;
  }
  EXPECT_GT(good, 10) << "the test is too easy";
}

}  // namespace
}  // namespace rill
