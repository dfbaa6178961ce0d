#include "core/chat_template.h"

#include <algorithm>
#include <array>

#include "core/section_table.h"

namespace rill {
namespace {

constexpr ChatForm kForms[] = {
    {.name = "chatml",
     .recognised_by = "<|im_start|>",
     .system_begin = "<|im_start|>system\n",
     .system_end = "<|im_end|>\n",
     .first_user_begin = "<|im_start|>user\n",
     .user_begin_after_system = "<|im_start|>user\n",
     .user_begin = "<|im_start|>user\n",
     .user_end = "<|im_end|>\n<|im_start|>assistant\n",
     .reply_end = "<|im_end|>\n",
     .marks = {"<|im_start|>", "<|im_end|>"}},
    {.name = "llama2",
     .recognised_by = "[INST]",
     .system_begin = "[INST] <<SYS>>\n",
     .system_end = "\n<</SYS>>\n\n",
     .first_user_begin = "[INST] ",
     .user_begin_after_system = "",
     .user_begin = "<s>[INST] ",
     .user_end = " [/INST]",
     .reply_end = "</s>",
     .marks = {"[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "</s>"}},
    {.name = "zephyr",
     .recognised_by = "<|user|>",
     .system_begin = "<|system|>\n",
     .system_end = "</s>\n",
     .first_user_begin = "<|user|>\n",
     .user_begin_after_system = "<|user|>\n",
     .user_begin = "<|user|>\n",
     .user_end = "</s>\n<|assistant|>\n",
     .reply_end = "</s>\n",
     .marks = {"<|system|>", "<|user|>", "<|assistant|>", "</s>"}},
};

}  // namespace

std::span<const ChatForm> chat_forms() { return kForms; }

const ChatForm* find_chat_form(std::string_view name) {
  const auto* const found =
      std::find_if(std::begin(kForms), std::end(kForms), [&](const ChatForm& f) { return f.name == name; });
  return found == std::end(kForms) ? nullptr : found;
}

const ChatForm* recognise_chat_form(std::string_view jinja) {
  const auto* const found = std::find_if(std::begin(kForms), std::end(kForms), [&](const ChatForm& form) {
    return jinja.find(form.recognised_by) != std::string_view::npos;
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
