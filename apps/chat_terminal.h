#pragma once
// The assistant on a terminal: line editing with history, commands, Ctrl-C for the reply and Ctrl-D for the end.

#include <cstdint>
#include <string>

#include "apps/state_options.h"
#include "core/conversation.h"

namespace rill::apps {

/// What the conversation is held with.
struct ChatSetting {
  Engine* engine = nullptr;
  Conversation* conversation = nullptr;
  StateWatch* state = nullptr;
  bool restored = false;  ///< the conversation goes on with a saved one
  std::string system;
  std::uint64_t most_tokens = 0;
};

/// Talks until Ctrl-D, /quit or SIGTERM. Line editing allocates; the model does not.
/// @param sandbox  --sandbox was given: it is closed once line editing has read what it needs
Status chat_on_terminal(ChatSetting& setting, bool sandbox);

}  // namespace rill::apps
