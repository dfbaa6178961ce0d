#pragma once
// Chat over a session: turns in the model's own form, replies as text while they are made.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/chat_template.h"
#include "core/engine.h"
#include "platform/function_ref.h"
#include "platform/status.h"

namespace rill {

/// Why a reply is over.
enum class ReplyEnd : std::uint8_t {
  kFinished,  ///< the model ended its turn
  kLimit,     ///< the most tokens of a reply
  kStopped,   ///< the listener said so
  kFull,      ///< a cache that does not evict has no room left
};

/// What one turn took.
struct Reply {
  std::size_t prompt_tokens = 0;
  std::size_t reply_tokens = 0;
  double seconds_to_first = 0;      ///< from say() to the first token
  double seconds = 0;               ///< the whole turn
  bool prompt_left_window = false;  ///< the turn was longer than the window: its beginning is out of sight
  ReplyEnd end = ReplyEnd::kFinished;

  /// Tokens a second after the first.
  double tokens_per_second() const;
};

/// One conversation. Uses its engine's tokenizer and chunk buffer: one caller at a time for an engine.
class Conversation {
 public:
  /// Hears the reply as it is made, whole UTF-8 characters only; false stops it.
  using Listener = FunctionRef<bool(std::string_view text)>;

  /// @param engine  borrowed, with a tokenizer; @param session  of that engine.
  /// kUsage if the model has no tokenizer.
  static Result<Conversation> open(Engine& engine, std::size_t session, const ChatForm& form);

  /// Empties the session and feeds the system text, if there is any. Under a policy whose sinks cover it
  /// (count_system_tokens()), it stays in sight for ever.
  Status begin(std::string_view system);
  /// One turn: feeds what the user said and makes the reply. Special tokens in it are text.
  /// @param most_tokens  of the reply
  /// After an error the conversation can go on with the next turn.
  Result<Reply> say(std::string_view user, std::size_t most_tokens, Listener listener);

  std::uint64_t turns() const { return turns_; }
  const ChatForm& form() const { return *form_; }

 private:
  Conversation(Engine& engine, Session& session, const ChatForm& form);

  Status feed_text(std::span<const TextPart> parts);
  Status feed_token(Token token);
  Status flush();

  Engine* engine_;
  Session* session_;
  const ChatForm* form_;
  std::uint64_t turns_ = 0;
  bool has_system_ = false;
  bool owes_reply_end_ = false;  ///< the last reply's end has not been fed yet
  std::size_t pending_ = 0;      ///< tokens that wait in the engine's chunk buffer
  std::size_t fed_ = 0;          ///< tokens of this turn
};

/// Tokens that begin() feeds for this system text: the sinks that pin it. Loads the model's tokenizer for the while.
Result<std::uint32_t> count_system_tokens(const ModelFile& model, const ChatForm& form, std::string_view system);

}  // namespace rill
