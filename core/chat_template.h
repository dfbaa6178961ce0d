#pragma once
// How a conversation is laid out in tokens. Forms are data; the model file names its own.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/tokenizer.h"
#include "platform/function_ref.h"
#include "platform/status.h"

namespace rill {

/// One way to write turns. Texts here may spell special tokens, which count as such; what people say goes between them
/// as plain text.
struct ChatForm {
  std::string_view name;  ///< "chatml", "llama2"
  /// Parts of a Jinja template, with its line ends as such, that together tell this form from those below it in the
  /// table. An empty one is none.
  std::array<std::string_view, 2> recognised_by;
  std::string_view token;  ///< the vocabulary must have it as a whole: where templates are alike, this tells
  std::string_view system_begin;
  std::string_view system_end;
  std::string_view first_user_begin;         ///< before a user's turn that begins the stream
  std::string_view user_begin_after_system;  ///< before the one that follows the system text
  std::string_view user_begin;               ///< before every later one
  std::string_view user_end;                 ///< up to where the reply begins
  std::string_view reply_end;                ///< after a reply, the token with which the model ends it included
  /// Where a user's turn has a mark of its own in the template: whether a token ends it, too.
  enum class UserEnd : std::uint8_t { kAny, kText, kToken } user_end_kind = UserEnd::kAny;
  /// What of the above a text could hold to look like another turn. Empty ones are none.
  std::array<std::string_view, 5> marks;
};

/// Every form there is.
std::span<const ChatForm> chat_forms();
/// By name; nullptr if there is none.
const ChatForm* find_chat_form(std::string_view name);
/// The first form that a Jinja chat template is recognised by and the vocabulary is made for; nullptr if there is none.
/// @param has_token  whether the vocabulary has a special or added token of this spelling
const ChatForm* recognise_chat_form(std::string_view jinja, FunctionRef<bool(std::string_view spelling)> has_token);

/// The names of all forms, for messages: "chatml, llama2".
Text chat_form_names();

/// The "chat" section as stored: "form: NAME\nsystem: TEXT" (the text to the section's end, may hold newlines).
struct ChatSection {
  const ChatForm* form = nullptr;
  std::string_view default_system;  ///< borrowed from the section
};
/// kBadInput with the list of forms for one that is not known.
Result<ChatSection> parse_chat_section(std::string_view section, const Text& where);

}  // namespace rill
