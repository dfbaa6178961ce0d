#pragma once
// How a conversation is laid out in tokens. Forms are data; the model file names its own.

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "platform/status.h"

namespace rill {

/// One way to write turns. Texts here may spell special tokens, which count as such; what people say goes between them
/// as plain text.
struct ChatForm {
  static constexpr std::size_t kTexts = 7;
  static constexpr std::size_t kMostMarks = 12;

  std::string_view name;  ///< "chatml", "llama2"; "template" if a model file brings the texts
  std::string_view system_begin;
  std::string_view system_end;
  std::string_view first_user_begin;         ///< before a user's turn that begins the stream
  std::string_view user_begin_after_system;  ///< before the one that follows the system text
  std::string_view user_begin;               ///< before every later one
  std::string_view user_end;                 ///< up to where the reply begins
  std::string_view reply_end;                ///< after a reply, the token with which the model ends it included
  /// What of the above a text could hold to look like another turn. Empty ones are none.
  std::array<std::string_view, kMostMarks> marks;

  /// All but the name and the marks, in this order.
  std::array<std::string_view, kTexts> texts() const {
    return {system_begin, system_end, first_user_begin, user_begin_after_system, user_begin, user_end, reply_end};
  }
};

/// The name of a form that stands in the model file itself.
inline constexpr std::string_view kOwnChatForm = "template";

/// Every form there is.
std::span<const ChatForm> chat_forms();
/// By name; nullptr if there is none.
const ChatForm* find_chat_form(std::string_view name);
/// The names of all forms, for messages: "chatml, llama2".
Text chat_form_names();

/// The "chat" section as stored: "form: NAME\nsystem: TEXT", TEXT to the section's end with any line ends; or
/// "form: template\nlengths: N ... N\n", as many bytes of each of the form's texts and marks, "\nsystem: TEXT".
struct ChatSection {
  ChatForm form;                    ///< its texts are the program's own or borrowed from the section
  std::string_view default_system;  ///< borrowed from the section
};
/// kBadInput with the list of forms for one that is not known.
Result<ChatSection> parse_chat_section(std::string_view section, const Text& where);

}  // namespace rill
