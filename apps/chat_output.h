#pragma once
// What a turn of chat prints, without an allocation: the token loop's text goes straight to standard output.

#include <cstdio>
#include <string_view>

#include "apps/shown_text.h"
#include "core/conversation.h"

namespace rill::apps {

/// A turn's reply on standard output, as plain text or as one JSON object a turn. It waits for a reader that is slow;
/// after a signal only for half a second, and what is left of the reply is dropped then.
class ReplyPrinter {
 public:
  /// Before a sandbox is closed (ShownText).
  explicit ReplyPrinter(bool json) : json_(json) {}

  void begin();  ///< before each reply
  void add(std::string_view text);
  /// @param status  why there is no reply, if there is none.
  void end(const Result<Reply>& reply);

 private:
  void print_escaped(std::string_view text);

  bool json_;
  bool is_read_ = true;  // false from when nobody read what was left of this reply after a signal
  ShownText text_{stdout};
};

/// The first object of a chat that keeps its state: {"restored": ..., "turns": ..., "reply_cut": ...}.
/// @param conversation  as it was restored, or begun
void print_restored(bool restored, const Conversation& conversation);

/// What a person is shown of a conversation that goes on: its last words, on standard error.
void print_recent_text(const ConversationNote& note);

/// What to tell a person about a turn besides its reply, on standard error: nothing in most cases.
void print_notes(const Reply& reply, const CachePolicy& policy);

}  // namespace rill::apps
