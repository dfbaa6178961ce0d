#pragma once
// What a chat template makes of a conversation, found by rendering it.

#include <string>
#include <string_view>
#include <vector>

#include "core/chat_template.h"
#include "platform/function_ref.h"
#include "platform/status.h"
#include "quant/source_model.h"

namespace rill::quant {

/// A chat form that owns its texts.
struct ChatLayout {
  std::string system_begin;
  std::string system_end;
  std::string first_user_begin;
  std::string user_begin_after_system;
  std::string user_begin;
  std::string user_end;
  std::string reply_end;
  std::string end_token;       ///< behind a reply, if it is none of those that were known to end one
  std::string default_system;  ///< what the template says where a conversation brings no system text
  std::string notice;          ///< where the template goes another way than a stream can; mostly empty

  /// Borrows the texts; has neither name nor marks.
  ChatForm form() const;
};

/// Spellings of a tokenizer's tokens.
struct ChatTokens {
  std::vector<std::string> ends;    ///< those that end a reply
  std::vector<std::string> others;  ///< special or added ones
  std::string begins;               ///< what it puts in front of a text by itself; empty: nothing
};

/// Finds the texts between what is said.
/// @returns kBadInput for a template that cannot be rendered, or that does not lay turns out one behind the other.
Result<ChatLayout> find_chat_layout(const ChatTemplate& source, const ChatTokens& tokens);

}  // namespace rill::quant
