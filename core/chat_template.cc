#include "core/chat_template.h"

#include <algorithm>
#include <array>

#include "core/section_table.h"

namespace rill {
namespace {

constexpr ChatForm chatml(std::string_view name, std::string_view also_recognised_by, std::string_view user_end) {
  return {.name = name,
          .recognised_by = {"<|im_start|>", also_recognised_by},
          .token = "<|im_end|>",
          .system_begin = "<|im_start|>system\n",
          .system_end = "<|im_end|>\n",
          .first_user_begin = "<|im_start|>user\n",
          .user_begin_after_system = "<|im_start|>user\n",
          .user_begin = "<|im_start|>user\n",
          .user_end = user_end,
          .reply_end = "<|im_end|>\n",
          .marks = {"<|im_start|>", "<|im_end|>"}};
}

constexpr std::string_view kNamedUser = "<|user|>\n";

/// Turns that begin with the speaker's name between marks, and end with the token that ends a reply.
constexpr ChatForm named_speakers(std::string_view name, std::string_view end_token, std::string_view system_end,
                                  std::string_view user_end, std::string_view reply_end) {
  return {.name = name,
          .recognised_by = {kNamedUser, ""},
          .token = end_token,
          .system_begin = "<|system|>\n",
          .system_end = system_end,
          .first_user_begin = "<|user|>\n",
          .user_begin_after_system = "<|user|>\n",
          .user_begin = "<|user|>\n",
          .user_end = user_end,
          .reply_end = reply_end,
          .user_end_kind = ChatForm::UserEnd::kToken,
          .marks = {"<|system|>", "<|user|>", "<|assistant|>", end_token}};
}
/// Of them those whose users' turns end without a token.
constexpr ChatForm tulu(std::string_view name, std::string_view end_token, std::string_view reply_end) {
  ChatForm form = named_speakers(name, end_token, "\n", "\n<|assistant|>\n", reply_end);
  form.user_end_kind = ChatForm::UserEnd::kText;
  return form;
}
/// Mistral's: a system text begins the first user's turn.
constexpr ChatForm mistral(std::string_view name, std::string_view token, std::string_view begin,
                           std::string_view end) {
  return {.name = name,
          .recognised_by = {"[INST]", ""},
          .token = token,
          .system_begin = begin,
          .system_end = "\n\n",
          .first_user_begin = begin,
          .user_begin_after_system = "",
          .user_begin = begin,
          .user_end = end,
          .reply_end = "</s>",
          .marks = {"[INST]", "[/INST]", "</s>"}};
}

constexpr ChatForm kForms[] = {
    // A reply begins behind an empty thought, as in Qwen3's template where it shall not think (SmolLM3's has one line's
    // end fewer). A thought would be read out and push the conversation out of the window.
    chatml("chatml-no-think", "enable_thinking", "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"),
    {.name = "phi4",
     .recognised_by = {"<|im_start|>", "<|im_sep|>"},
     .token = "<|im_sep|>",
     .system_begin = "<|im_start|>system<|im_sep|>",
     .system_end = "<|im_end|>",
     .first_user_begin = "<|im_start|>user<|im_sep|>",
     .user_begin_after_system = "<|im_start|>user<|im_sep|>",
     .user_begin = "<|im_start|>user<|im_sep|>",
     .user_end = "<|im_end|><|im_start|>assistant<|im_sep|>",
     .reply_end = "<|im_end|>",
     .marks = {"<|im_start|>", "<|im_sep|>", "<|im_end|>"}},
    chatml("chatml", "", "<|im_end|>\n<|im_start|>assistant\n"),
    {.name = "llama2",
     .recognised_by = {"[INST]", "<<SYS>>"},
     .token = "</s>",
     .system_begin = "[INST] <<SYS>>\n",
     .system_end = "\n<</SYS>>\n\n",
     .first_user_begin = "[INST] ",
     .user_begin_after_system = "",
     .user_begin = "<s>[INST] ",
     .user_end = " [/INST]",
     .reply_end = "</s>",
     .marks = {"[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "</s>"}},
    mistral("mistral-v3", "[INST]", "[INST]", "[/INST]"),  // since whose tokenizer the marks are tokens
    mistral("mistral", "</s>", "[INST] ", " [/INST]"),
    tulu("tulu2", "</s>", "</s>\n"),
    tulu("tulu", "<|end_of_text|>", "<|end_of_text|>\n"),  // Tulu 3
    tulu("olmo2", "<|endoftext|>", "<|endoftext|>\n"),
    named_speakers("zephyr", "</s>", "</s>\n", "</s>\n<|assistant|>\n", "</s>\n"),
    // StableLM's Zephyr.
    named_speakers("zephyr-endoftext", "<|endoftext|>", "<|endoftext|>\n", "<|endoftext|>\n<|assistant|>\n",
                   "<|endoftext|>\n"),
    {.name = "llama3",
     .recognised_by = {"<|start_header_id|>", "\n\n"},
     .token = "<|eot_id|>",
     .system_begin = "<|start_header_id|>system<|end_header_id|>\n\n",
     .system_end = "<|eot_id|>",
     .first_user_begin = "<|start_header_id|>user<|end_header_id|>\n\n",
     .user_begin_after_system = "<|start_header_id|>user<|end_header_id|>\n\n",
     .user_begin = "<|start_header_id|>user<|end_header_id|>\n\n",
     .user_end = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
     .reply_end = "<|eot_id|>",
     .marks = {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}},
    {.name = "gemma",  // there is no system turn: its text begins the first user's
     .recognised_by = {"<start_of_turn>"},
     .token = "<end_of_turn>",
     .system_begin = "<start_of_turn>user\n",
     .system_end = "\n\n",
     .first_user_begin = "<start_of_turn>user\n",
     .user_begin_after_system = "",
     .user_begin = "<start_of_turn>user\n",
     .user_end = "<end_of_turn>\n<start_of_turn>model\n",
     .reply_end = "<end_of_turn>\n",
     .marks = {"<start_of_turn>", "<end_of_turn>"}},
};

// Marks of forms that Rill has not, whose templates have one of its own as well. Phi-3's, Mistral's since version 7,
// OpenChat's, Metharme's, GLM's.
constexpr std::string_view kOfOthers[] = {"<|end|>", "[SYSTEM_PROMPT]", "GPT4 Correct", "<|model|>", "[gMASK]"};

/// Whether the expression that writes a user's turn, between its mark and the braces' end, has a token after the text.
ChatForm::UserEnd user_end_of(std::string_view jinja) {
  const std::size_t mark = jinja.find(kNamedUser);
  if (mark == jinja.npos) return ChatForm::UserEnd::kAny;
  const std::string_view rest = jinja.substr(mark + kNamedUser.size());
  const std::string_view turn = rest.substr(0, rest.find("<|assistant|>"));
  const std::string_view expression = turn.substr(0, turn.find("}}"));
  for (const std::string_view end : {"eos_token", "</s>", "<|endoftext|>", "<|end_of_text|>"}) {
    if (expression.find(end) != expression.npos) return ChatForm::UserEnd::kToken;
  }
  return ChatForm::UserEnd::kText;
}

}  // namespace

std::span<const ChatForm> chat_forms() { return kForms; }

const ChatForm* find_chat_form(std::string_view name) {
  const auto* const found =
      std::find_if(std::begin(kForms), std::end(kForms), [&](const ChatForm& f) { return f.name == name; });
  return found == std::end(kForms) ? nullptr : found;
}

const ChatForm* recognise_chat_form(std::string_view jinja, FunctionRef<bool(std::string_view spelling)> has_token) {
  const auto has = [&](std::string_view part) { return jinja.find(part) != jinja.npos; };
  if (std::ranges::any_of(kOfOthers, has)) return nullptr;
  const ChatForm::UserEnd user_end = user_end_of(jinja);
  const auto* const found = std::find_if(std::begin(kForms), std::end(kForms), [&](const ChatForm& form) {
    return std::ranges::all_of(form.recognised_by, has) &&
           (form.user_end_kind == ChatForm::UserEnd::kAny || form.user_end_kind == user_end) && has_token(form.token);
  });
  return found == std::end(kForms) ? nullptr : found;
}

Text chat_form_names() {
  Text names;
  for (const ChatForm& form : kForms) {
    if (!names.empty()) names.append(", ");
    names.append(form.name);
  }
  return names;
}

Result<ChatSection> parse_chat_section(std::string_view section, const Text& where) {
  constexpr std::string_view kFormKey = "form: ";
  constexpr std::string_view kSystemKey = "\nsystem: ";
  const std::size_t system = section.find(kSystemKey);
  if (!section.starts_with(kFormKey) || system == std::string_view::npos) {
    return bad_input({.where = where,
                      .what = text("the chat section is not \"form: NAME\" and \"system: TEXT\""),
                      .expected = {},
                      .remedy = text("make the model file anew with `rill quantize`")});
  }
  const std::string_view name = section.substr(kFormKey.size(), system - kFormKey.size());
  const ChatForm* const form = find_chat_form(name);
  if (form == nullptr) {
    return bad_input({.where = text(where, ", chat section"),
                      .what = text("chat form ", printable(name.substr(0, 40))),
                      .expected = text("one of ", chat_form_names()),
                      .remedy = text("make the model file anew with `rill quantize --chat-form`")});
  }
  return ChatSection{.form = form, .default_system = section.substr(system + kSystemKey.size())};
}

}  // namespace rill
