// Chat templates become the texts between what is said. The templates are small ones of the forms that published models
// have; what they must come to is written out by hand after their models' cards.

#include "quant/chat_layout.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "core/chat_template.h"

namespace rill::quant {
namespace {

using Texts = std::array<std::string_view, ChatForm::kTexts>;

Result<ChatLayout> layout_of(std::string_view jinja, std::string_view begins = {}) {
  return find_chat_layout({.jinja = std::string(jinja), .bos_token = "<s>", .eos_token = "</s>"},
                          {.ends = {"</s>", "<|im_end|>", "<|eot_id|>", "<end_of_turn>"},
                           .others = {"<|end|>", "<|user|>"},
                           .begins = std::string(begins)});
}

/// Expects a form of this name, and no more.
void expect_form(std::string_view name, std::string_view jinja, std::string_view begins = {},
                 std::string_view system = {}) {
  const Result<ChatLayout> layout = layout_of(jinja, begins);
  ASSERT_TRUE(layout.ok()) << name << ": " << layout.status().message();
  EXPECT_EQ(layout->form().texts(), find_chat_form(name)->texts()) << name;
  EXPECT_EQ(layout->default_system, system) << name;
  EXPECT_EQ(layout->notice, "") << name;
}

constexpr std::string_view kChatml =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
    "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

TEST(ChatLayout, OfKnownFormsIsTheirs) {
  expect_form("chatml", kChatml);
  expect_form("zephyr",
              "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] "
              "+ eos_token }}\n{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + "
              "eos_token }}\n{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + "
              "eos_token }}\n{% endif %}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n"
              "{% endif %}\n{% endfor %}");
  expect_form("llama3",
              "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + "
              "m['content'] | trim + '<|eot_id|>' }}{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>"
              "\n\n' }}",
              /*begins=*/"<s>");
  expect_form("tulu2",
              "{% for message in messages %}\n{% if message['role'] == 'system' %}\n{{ '<|system|>\n' + "
              "message['content'] }}\n{% elif message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] }}\n"
              "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n"
              "{% endif %}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n"
              "{% endfor %}");
}

TEST(ChatLayout, FindsTheMakersSystemText) {
  constexpr std::string_view kLoop = "{% for message in messages %}";
  const std::string smollm =
      std::string(kLoop)
          .append(
              "{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are kind.\nAnd "
              "brief.<|im_end|>\n' }}{% endif %}")
          .append(kChatml.substr(kLoop.size()));
  expect_form("chatml", smollm, {}, "You are kind.\nAnd brief.");
}

TEST(ChatLayout, LeavesWhatIsInFrontOfTheEndTokenToTheModel) {
  // Llama 2's: a space, which the model writes itself.
  expect_form("llama2",
              "{% for m in messages %}{% if m.role == 'system' %}{{ '[INST] <<SYS>>\n' + m.content + "
              "'\n<</SYS>>\n\n' }}{% elif m.role == 'user' %}{{ ('' if loop.previtem and loop.previtem.role == "
              "'system' else bos_token + '[INST] ') + m.content + ' [/INST]' }}{% else %}{{ ' ' + m.content + ' ' + "
              "eos_token }}{% endif %}{% endfor %}",
              /*begins=*/"<s>");
}

TEST(ChatLayout, OfNoSystemTextBeginsAsATextDoes) {
  constexpr std::string_view kDefault =
      "{{ '<s>' }}{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}";
  Result<ChatLayout> layout = layout_of(std::string(kDefault).append(kChatml));
  ASSERT_TRUE(layout.ok()) << layout.status().message();
  EXPECT_EQ(layout->default_system, "Be kind.");
  EXPECT_EQ(layout->system_begin, "<s><|im_start|>system\n");
  EXPECT_EQ(layout->first_user_begin, "<s><|im_start|>user\n") << "nothing puts it there by itself";
  layout = layout_of(std::string(kDefault).append(kChatml), "<s>");
  ASSERT_TRUE(layout.ok()) << layout.status().message();
  EXPECT_EQ(layout->system_begin, "<|im_start|>system\n");
  EXPECT_EQ(layout->first_user_begin, "<|im_start|>user\n");

  // What spells tokens is no text of the makers' that could be fed as one.
  layout = layout_of(std::string("{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nKind.<|im_end|>\n"
                                 "<|im_start|>tool\nnone<|im_end|>\n' }}{% endif %}")
                         .append(kChatml));
  ASSERT_TRUE(layout.ok()) << layout.status().message();
  EXPECT_EQ(layout->default_system, "");
  EXPECT_EQ(layout->first_user_begin,
            "<|im_start|>system\nKind.<|im_end|>\n<|im_start|>tool\nnone<|im_end|>\n<|im_start|>user\n");
}

TEST(ChatLayout, KeepsWhatATemplateAlwaysWrites) {
  const Result<ChatLayout> layout = layout_of(
      "{{ bos_token }}{% set m0 = messages[0] %}{{ '<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge "
      "Date: December 2023\n\n' }}{% if m0.role == 'system' %}{{ m0.content }}{% set messages = messages[1:] %}"
      "{% endif %}{{ '<|eot_id|>' }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' "
      "+ m.content + '<|eot_id|>' }}{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}",
      "<s>");
  ASSERT_TRUE(layout.ok()) << layout.status().message();
  constexpr std::string_view kUser = "<|start_header_id|>user<|end_header_id|>\n\n";
  constexpr std::string_view kAlways =
      "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n\n";
  const std::string first = std::string(kAlways).append("<|eot_id|>").append(kUser);
  EXPECT_EQ(layout->form().texts(),
            (Texts{kAlways, "<|eot_id|>", first, kUser, kUser,
                   "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"}));
  EXPECT_EQ(layout->default_system, "");
  EXPECT_EQ(layout->notice, "");
}

TEST(ChatLayout, OfAFormWithoutANameIsItsTexts) {
  // Vicuna's.
  const Result<ChatLayout> layout = layout_of(
      "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content + '\n\n' }}{% elif m.role == "
      "'user' %}{{ 'USER: ' + m.content + ' ' }}{% else %}{{ 'ASSISTANT: ' + m.content + eos_token }}{% endif %}"
      "{% endfor %}{{ 'ASSISTANT: ' }}");
  ASSERT_TRUE(layout.ok()) << layout.status().message();
  EXPECT_EQ(layout->form().texts(), (Texts{"<s>", "\n\n", "<s>USER: ", "USER: ", "USER: ", " ASSISTANT: ", "</s>"}));
  EXPECT_EQ(layout->notice, "");
}

TEST(ChatLayout, FindsTheTokenThatEndsAReply) {
  // Phi-3's: its configuration names the end of a text alone.
  Result<ChatLayout> layout = layout_of(
      "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}<|assistant|>\n");
  ASSERT_TRUE(layout.ok()) << layout.status().message();
  EXPECT_EQ(layout->end_token, "<|end|>");
  EXPECT_EQ(layout->reply_end, "<|end|>\n");
  EXPECT_EQ(layout->user_begin, "<|user|>\n");

  // One that does not repeat it, and whose replies begin with a space.
  layout = layout_of("{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}assistant:");
  ASSERT_TRUE(layout.ok()) << layout.status().message();
  EXPECT_EQ(layout->end_token, "");
  EXPECT_EQ(layout->form().texts(), (Texts{"system: ", "", "user: ", "\nuser: ", "\nuser: ", "\nassistant:", ""}));
}

TEST(ChatLayout, SaysWhereTheTemplateTakesBackWhatWasRead) {
  // Qwen3's: a thought stands only where a reply begins.
  Result<ChatLayout> layout = layout_of(std::string(kChatml).append(
      "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>"
      "\n\n' }}{% endif %}"));
  ASSERT_TRUE(layout.ok()) << layout.status().message();
  EXPECT_EQ(layout->form().texts(), find_chat_form("chatml-no-think")->texts());
  EXPECT_NE(layout->notice.find("out of earlier replies"), std::string::npos) << layout->notice;

  // A notice is for a terminal.
  layout = layout_of(std::string(kChatml).append("{{ '\x1b]0;x\x07' }}"));
  ASSERT_TRUE(layout.ok()) << layout.status().message();
  EXPECT_EQ(layout->notice.find_first_of("\x1b\x07"), std::string::npos) << layout->notice;

  // Mistral's: the system text goes with the last user's turn.
  layout = layout_of(
      "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set turns = messages[1:] %}"
      "{% else %}{% set turns = messages %}{% endif %}{% for m in turns %}{% if m.role == 'user' %}{{ '[INST] ' }}"
      "{% if loop.last and system is defined %}{{ system + '\n\n' }}{% endif %}{{ m.content + ' [/INST]' }}{% else %}"
      "{{ m.content + eos_token }}{% endif %}{% endfor %}");
  ASSERT_TRUE(layout.ok()) << layout.status().message();
  EXPECT_EQ(layout->form().texts(), find_chat_form("mistral")->texts());
  EXPECT_NE(layout->notice.find("in another way later on"), std::string::npos) << layout->notice;

  // Llama 3.2's; and one that does not ask whether there is a clock.
  for (const std::string_view date :
       {"'26 Jul 2024' if strftime_now is not defined else strftime_now('%d %b %Y')", "strftime_now('%d %b %Y')"}) {
    layout = layout_of(std::string("{{ 'Today: ' + (").append(date).append(") + '\n' }}").append(kChatml));
    ASSERT_TRUE(layout.ok()) << layout.status().message();
    EXPECT_EQ(layout->user_begin, "<|im_start|>user\n");
    EXPECT_NE(layout->notice.find("writes the date"), std::string::npos) << layout->notice;
  }

  // Gemma 2's.
  layout = layout_of(
      "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
      "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + "
      "m.content | trim + '<end_of_turn>\n' }}{% endfor %}{{ '<start_of_turn>model\n' }}");
  ASSERT_TRUE(layout.ok()) << layout.status().message();
  EXPECT_EQ(layout->form().texts(), find_chat_form("gemma")->texts());
  EXPECT_NE(layout->notice.find("no place for a system text"), std::string::npos) << layout->notice;
}

TEST(ChatLayout, OfATemplateThatIsNoConversationIsRefused) {
  const auto expect_refused = [](std::string_view jinja, std::string_view why) {
    const Result<ChatLayout> layout = layout_of(jinja);
    ASSERT_FALSE(layout.ok()) << jinja;
    EXPECT_EQ(layout.status().code(), Code::kBadInput);
    EXPECT_NE(layout.status().message().find(why), std::string_view::npos) << layout.status().message();
  };
  expect_refused("", "left out");
  expect_refused("{{ messages[-1].content }}", "not in its turn");
  expect_refused("{% for m in messages %}{{ m.content + m.content }}{% endfor %}", "stands twice");
  expect_refused("{% for m in messages %}{{ loop.index ~ m.content + eos_token }}{% endfor %}", "as the first one is");
  expect_refused("{% for m in messages %}", "chat template");
  expect_refused("{{ raise_exception('never') }}", "never");
}

}  // namespace
}  // namespace rill::quant
