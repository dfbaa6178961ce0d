// Chat forms: known by the marks of their Jinja templates, and read from a section that may hold anything.

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

/// @param token  the one of all forms' tokens that the vocabulary has; empty: it has them all
std::string_view recognised(std::string_view jinja, std::string_view token = {}) {
  const ChatForm* const form =
      recognise_chat_form(jinja, [&](std::string_view asked) { return token.empty() || asked == token; });
  return form == nullptr ? "none" : form->name;
}

// Templates written after the layouts that the models' cards document.
TEST(ChatForms, AreRecognisedByTheMarksOfTheirJinjaTemplates) {
  EXPECT_EQ(recognised("{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' }}"
                       "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"),
            "chatml");
  EXPECT_EQ(recognised("{% for m in messages %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + m['content'] + "
                       "' [/INST]' }}{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}"),
            "mistral-v3");
  constexpr std::string_view kInstructions = "{{ bos_token + '[INST] ' + m['content'] + ' [/INST]' }}";
  EXPECT_EQ(recognised(kInstructions, "</s>"), "mistral");
  EXPECT_EQ(recognised(kInstructions, "[INST]"), "mistral-v3");
  EXPECT_EQ(recognised("{{ '<<SYS>>\n' + system + '\n<</SYS>>\n\n' }}{{ '[INST] ' + m['content'] + ' [/INST]' }}"),
            "llama2");
  constexpr std::string_view kSpeakers =
      "{% for m in messages %}{% if m['role'] == 'user' %}{{ '<|user|>\n' + m['content'] + eos_token }}"
      "{% elif m['role'] == 'system' %}{{ '<|system|>\n' + m['content'] + eos_token }}{% endif %}";
  EXPECT_EQ(recognised(kSpeakers, "</s>"), "zephyr");
  EXPECT_EQ(recognised(kSpeakers, "<|endoftext|>"), "zephyr-endoftext");
  EXPECT_EQ(recognised(kSpeakers, "<|im_end|>"), "none") << "the tokens of its turns' ends are not there";
  constexpr std::string_view kTulu =
      "{{ '<|user|>\n' + m['content'] + '\n' }}{{ '<|assistant|>\n' + m['content'] + eos_token + '\n' }}";
  EXPECT_EQ(recognised(kTulu, "</s>"), "tulu2");
  EXPECT_EQ(recognised(kTulu, "<|end_of_text|>"), "tulu");
  EXPECT_EQ(recognised(kTulu, "<|endoftext|>"), "olmo2");
  EXPECT_EQ(recognised("{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + "
                       "'<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}{% endfor %}"),
            "llama3");
  EXPECT_EQ(
      recognised("{{ bos_token }}{% for m in messages %}{{ '<start_of_turn>' + role + '\n' + m['content'] | trim + "
                 "'<end_of_turn>\n' }}{% endfor %}"),
      "gemma");
  EXPECT_EQ(
      recognised("{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
                 "{% endfor %}{{ '<|im_start|>assistant\n' }}{% if enable_thinking is defined and enable_thinking "
                 "is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"),
      "chatml-no-think");
  EXPECT_EQ(recognised("{% if enable_thinking %}{{ '<|start_header_id|>\n\n' }}{% endif %}"), "llama3");
  EXPECT_EQ(recognised("{% if enable_thinking %}{{ '[|assistant|]' }}{% endif %}"), "none");
}

TEST(ChatForms, OfTheSameMarksAreToldApartByHowAUsersTurnEnds) {
  // unsloth's way to write Zephyr's template: the line's end is a literal of its own there, as it is in Tulu's.
  constexpr std::string_view kZephyr =
      "{% if m['role'] == 'user' %}{{ '<|user|>\n' + m['content'] + eos_token + '\n' }}"
      "{% else %}{{ '<|assistant|>\n' + m['content'] + eos_token + '\n' }}{% endif %}";
  EXPECT_EQ(recognised(kZephyr, "</s>"), "zephyr");
  EXPECT_EQ(recognised(kZephyr, "<|endoftext|>"), "zephyr-endoftext");
  EXPECT_EQ(recognised(kZephyr, "<|end_of_text|>"), "none");
  // Phi-4's, as microsoft/phi-4 has it.
  EXPECT_EQ(recognised("{{'<|im_start|>user<|im_sep|>' + m['content'] + '<|im_end|>'}}"
                       "{{ '<|im_start|>assistant<|im_sep|>' }}"),
            "phi4");
}

// Each has a mark of a form that Rill knows, and would be laid out wrongly by it.
TEST(ChatForms, OfOthersAreNotTakenForThoseThatShareAMark) {
  for (const std::string_view jinja :
       {"{{'<|user|>\n' + m['content'] + '<|end|>\n' + '<|assistant|>\n'}}"sv,                           // Phi-3
        "{{'[SYSTEM_PROMPT]' + system + '[/SYSTEM_PROMPT]'}}{{'[INST]' + m['content'] + '[/INST]'}}"sv,  // Mistral, 7
        "{{'<|start_header_id|>GPT4 Correct User<|end_header_id|>\n\n' + m['content'] + '<|eot_id|>'}}"sv,  // OpenChat
        "{{'<|start_header_id|>user<|end_header_id|>\n' + m['content'] + '<|eot_id|>\n'}}"sv,               // RLHFlow
        "{{'[gMASK]<sop>'}}{{'<|user|>\n' + m['content']}}"sv,                                              // GLM
        "{{'<|user|>: ' + m['content'] + '\n<|assistant|>:'}}"sv}) {                                        // Vigogne
    EXPECT_EQ(recognised(jinja), "none") << jinja;
  }
}

TEST(ChatForms, AreNotRecognisedInTextsWithoutAMark) {
  for (const std::string_view jinja : {""sv, "<|im_start"sv, "im_start|>"sv, "[inst]"sv, "<|User|>"sv, "\0\xff{{"sv,
                                       "{% for m in messages %}{{ m['content'] }}{% endfor %}"sv}) {
    EXPECT_EQ(recognised(jinja), "none") << jinja;
  }
}

TEST(ChatForms, AreFoundByTheirWholeNameOnly) {
  std::set<std::string_view> names;
  std::string listed;
  for (const ChatForm& form : chat_forms()) {
    EXPECT_TRUE(names.insert(form.name).second) << form.name << " stands twice";
    EXPECT_EQ(find_chat_form(form.name), &form);
    const bool token_ends_user = form.user_end_kind == ChatForm::UserEnd::kToken;
    EXPECT_EQ(recognised(std::string(form.recognised_by[0])
                             .append(form.recognised_by[1])
                             .append(token_ends_user ? "eos_token }}" : "}}"),
                         form.token),
              form.name);
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
  EXPECT_EQ(chat->form, find_chat_form("zephyr"));
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
