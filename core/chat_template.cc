#include "core/chat_template.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/section_table.h"

namespace rill {
namespace {

constexpr ChatForm chatml(std::string_view name, std::string_view user_end) {
  return {.name = name,
          .system_begin = "<|im_start|>system\n",
          .system_end = "<|im_end|>\n",
          .first_user_begin = "<|im_start|>user\n",
          .user_begin_after_system = "<|im_start|>user\n",
          .user_begin = "<|im_start|>user\n",
          .user_end = user_end,
          .reply_end = "<|im_end|>\n",
          .marks = {"<|im_start|>", "<|im_end|>"}};
}

/// Turns that begin with the speaker's name between marks, and end with the token that ends a reply.
constexpr ChatForm named_speakers(std::string_view name, std::string_view end_token, std::string_view system_end,
                                  std::string_view user_end, std::string_view reply_end) {
  return {.name = name,
          .system_begin = "<|system|>\n",
          .system_end = system_end,
          .first_user_begin = "<|user|>\n",
          .user_begin_after_system = "<|user|>\n",
          .user_begin = "<|user|>\n",
          .user_end = user_end,
          .reply_end = reply_end,
          .marks = {"<|system|>", "<|user|>", "<|assistant|>", end_token}};
}
/// Of them those whose users' turns end without a token.
constexpr ChatForm tulu(std::string_view name, std::string_view end_token, std::string_view reply_end) {
  return named_speakers(name, end_token, "\n", "\n<|assistant|>\n", reply_end);
}
/// Mistral's: a system text begins the first user's turn.
constexpr ChatForm mistral(std::string_view name, std::string_view begin, std::string_view end) {
  return {.name = name,
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
    chatml("chatml-no-think", "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"),
    {.name = "phi4",
     .system_begin = "<|im_start|>system<|im_sep|>",
     .system_end = "<|im_end|>",
     .first_user_begin = "<|im_start|>user<|im_sep|>",
     .user_begin_after_system = "<|im_start|>user<|im_sep|>",
     .user_begin = "<|im_start|>user<|im_sep|>",
     .user_end = "<|im_end|><|im_start|>assistant<|im_sep|>",
     .reply_end = "<|im_end|>",
     .marks = {"<|im_start|>", "<|im_sep|>", "<|im_end|>"}},
    chatml("chatml", "<|im_end|>\n<|im_start|>assistant\n"),
    {.name = "llama2",
     .system_begin = "[INST] <<SYS>>\n",
     .system_end = "\n<</SYS>>\n\n",
     .first_user_begin = "[INST] ",
     .user_begin_after_system = "",
     .user_begin = "<s>[INST] ",
     .user_end = " [/INST]",
     .reply_end = "</s>",
     .marks = {"[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "</s>"}},
    mistral("mistral-v3", "[INST]", "[/INST]"),  // since whose tokenizer the marks are tokens
    mistral("mistral", "[INST] ", " [/INST]"),
    tulu("tulu2", "</s>", "</s>\n"),
    tulu("tulu", "<|end_of_text|>", "<|end_of_text|>\n"),  // Tulu 3
    tulu("olmo2", "<|endoftext|>", "<|endoftext|>\n"),
    named_speakers("zephyr", "</s>", "</s>\n", "</s>\n<|assistant|>\n", "</s>\n"),
    // StableLM's Zephyr.
    named_speakers("zephyr-endoftext", "<|endoftext|>", "<|endoftext|>\n", "<|endoftext|>\n<|assistant|>\n",
                   "<|endoftext|>\n"),
    {.name = "llama3",
     .system_begin = "<|start_header_id|>system<|end_header_id|>\n\n",
     .system_end = "<|eot_id|>",
     .first_user_begin = "<|start_header_id|>user<|end_header_id|>\n\n",
     .user_begin_after_system = "<|start_header_id|>user<|end_header_id|>\n\n",
     .user_begin = "<|start_header_id|>user<|end_header_id|>\n\n",
     .user_end = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
     .reply_end = "<|eot_id|>",
     .marks = {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}},
    {.name = "gemma",  // there is no system turn: its text begins the first user's
     .system_begin = "<start_of_turn>user\n",
     .system_end = "\n\n",
     .first_user_begin = "<start_of_turn>user\n",
     .user_begin_after_system = "",
     .user_begin = "<start_of_turn>user\n",
     .user_end = "<end_of_turn>\n<start_of_turn>model\n",
     .reply_end = "<end_of_turn>\n",
     .marks = {"<start_of_turn>", "<end_of_turn>"}},
};

constexpr std::string_view kFormKey = "form: ";
constexpr std::string_view kLengthsKey = "lengths:";
constexpr std::string_view kSystemKey = "\nsystem: ";

Status bad_section(const Text& where, const Text& what) {
  return bad_input({.where = text(where, ", chat section"),
                    .what = what,
                    .expected = text("one of ", chat_form_names(), ", or the template's own texts"),
                    .remedy = text("make the model file anew with `rill quantize`")});
}

/// Takes what is in front of the first `end` off a text, and `end` too. False if there is none.
bool take_until(std::string_view& rest, std::string_view end, std::string_view& taken) {
  const std::size_t at = rest.find(end);
  if (at == std::string_view::npos) return false;
  taken = rest.substr(0, at);
  rest.remove_prefix(at + end.size());
  return true;
}

/// The form whose texts and marks stand in the section, behind its name. Takes them off `rest`.
bool take_own_form(std::string_view& rest, ChatForm& form) {
  std::string_view lengths;
  if (!rest.starts_with(kLengthsKey) || !take_until(rest, "\n", lengths)) return false;
  lengths.remove_prefix(kLengthsKey.size());
  const auto take = [&](std::string_view& text) {
    std::size_t length = 0;
    if (!lengths.starts_with(' ')) return false;
    lengths.remove_prefix(1);
    const auto [end, error] = std::from_chars(lengths.data(), lengths.data() + lengths.size(), length);
    if (error != std::errc() || length > rest.size()) return false;
    lengths.remove_prefix(static_cast<std::size_t>(end - lengths.data()));
    text = rest.substr(0, length);
    rest.remove_prefix(length);
    return true;
  };
  form.name = kOwnChatForm;
  for (std::string_view* const text :
       {&form.system_begin, &form.system_end, &form.first_user_begin, &form.user_begin_after_system, &form.user_begin,
        &form.user_end, &form.reply_end}) {
    if (!take(*text)) return false;
  }
  return std::ranges::all_of(form.marks, take) && lengths.empty();
}

}  // namespace

std::span<const ChatForm> chat_forms() { return kForms; }

const ChatForm* find_chat_form(std::string_view name) {
  const auto* const found =
      std::find_if(std::begin(kForms), std::end(kForms), [&](const ChatForm& f) { return f.name == name; });
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
  std::string_view rest = section;
  std::string_view name;
  ChatSection chat;
  const bool is_own = rest.starts_with(kFormKey) && rest.substr(kFormKey.size()).starts_with(kOwnChatForm) &&
                      rest.substr(kFormKey.size() + kOwnChatForm.size()).starts_with('\n');
  if (is_own) {
    rest.remove_prefix(kFormKey.size() + kOwnChatForm.size() + 1);
    if (!take_own_form(rest, chat.form) || !rest.starts_with(kSystemKey)) {
      return bad_section(where, text("texts of a form that do not have the lengths that are given"));
    }
    chat.default_system = rest.substr(kSystemKey.size());
    return chat;
  }
  if (!rest.starts_with(kFormKey) || !take_until(rest, kSystemKey, name)) {
    return bad_section(where, text("not \"form: NAME\" and \"system: TEXT\""));
  }
  name.remove_prefix(kFormKey.size());
  const ChatForm* const form = find_chat_form(name);
  if (form == nullptr) return bad_section(where, text("chat form ", printable(name.substr(0, 40))));
  return ChatSection{.form = *form, .default_system = rest};
}

}  // namespace rill
