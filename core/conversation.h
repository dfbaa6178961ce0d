#pragma once
// Chat over a session: turns in the model's own form, replies as text while they are made.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/chat_template.h"
#include "core/engine.h"
#include "core/session_keeper.h"
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

/// What a conversation is besides its session, as it lies in a keeper's note.
struct ConversationNote {
  static constexpr std::size_t kTextBytes = 4096;
  static constexpr std::size_t kSystemBytes = 2048;

  std::uint64_t turns = 0;
  std::uint32_t has_system = 0;      ///< 0 or 1, like the two after it
  std::uint32_t owes_reply_end = 0;  ///< the last reply's end has not been fed yet
  std::uint32_t is_mid_reply = 0;    ///< saved while the last reply was being made
  std::uint32_t system_crc32 = 0;    ///< of the whole system text
  std::uint32_t system_bytes = 0;    ///< of it in `system`; 0 if it is longer than that
  std::uint32_t text_bytes = 0;      ///< in `text`
  char system[kSystemBytes] = {};
  char text[kTextBytes] = {};  ///< the end of what was said, turns after "> "
};
static_assert(sizeof(ConversationNote) <= kStateNoteBytes);

/// What one turn took.
struct Reply {
  std::uint64_t prompt_tokens = 0;
  std::uint64_t reply_tokens = 0;
  std::uint64_t passes = 0;     ///< over the weights, after the first token's: fewer than tokens if guesses were right
  double seconds_to_first = 0;  ///< from say() to the first token
  double seconds = 0;           ///< the whole turn
  bool prompt_left_window = false;  ///< the turn was longer than the window: its beginning is out of sight
  ReplyEnd end = ReplyEnd::kFinished;

  /// Tokens a second after the first.
  double tokens_per_second() const;
};

/// One conversation. Uses its engine's tokenizer and chunk buffer: one caller at a time for an engine, which must stay
/// where it is: a conversation of an engine that was moved is of no use.
class Conversation {
 public:
  /// Hears the reply as it is made, whole UTF-8 characters only; false stops it.
  using Listener = FunctionRef<bool(std::string_view text)>;

  /// @param engine  borrowed, with a tokenizer; @param session  of that engine.
  /// kUsage if the model has no tokenizer, or the engine no such session.
  static Result<Conversation> open(Engine& engine, std::size_t session, const ChatForm& form);

  /// From now on keeps the conversation: saves after begin(), at each turn's end and, with `every` > 0, on the way
  /// through a reply whenever that many tokens were made since the last save and the disk has taken that.
  /// @param keeper  borrowed for the conversation's life; of one that is not open nothing is taken
  void keep_in(SessionKeeper& keeper, std::uint64_t every);
  /// Goes on with what the keeper restored, instead of begin(). A reply that it was saved in the middle of counts as
  /// stopped there.
  /// @param system  what the conversation must have been begun with; nullptr: whatever it was
  /// kUsage if nothing keeps it. kBadInput if that differs, or the note is no conversation's; the session is then
  /// empty.
  Status resume(const std::string_view* system);
  /// Ends a turn as soon as it says true, even before the reply: say() then fails and nothing is saved. Asked before
  /// every chunk of the turn, and before its reply. @param context  passed on to it
  void set_stop(bool (*is_asked_for)(void* context), void* context = nullptr) {
    is_stop_asked_ = is_asked_for;
    stop_context_ = context;
  }

  /// Empties the session and feeds the system text, if there is any. Under a policy whose sinks cover it
  /// (count_system_tokens()), it stays in sight for ever.
  Status begin(std::string_view system);
  /// One turn: feeds what the user said and makes the reply. Special tokens in it are text.
  /// @param most_tokens  of the reply; 0: the turn is fed, and no token made
  /// kBadInput, and nothing fed, if `user` holds a mark of the chat form that is no special token of this model: it
  /// would be read as the end of the turn. Llama-2's marks are such, and Meta's own program refuses them, too. kFailed,
  /// and nothing fed, if a policy without eviction has no room for the turn. After an error the conversation can go on
  /// with the next turn.
  Result<Reply> say(std::string_view user, std::uint64_t most_tokens, Listener listener);

  /// Notes where the conversation stands before a turn, so that the turn can be taken anew.
  /// @param state  [Session::state_bytes()], borrowed until retell(). Cost: one copy of the cache.
  /// kUsage for room of another size.
  Status mark(std::span<std::byte> state);
  /// The turn since mark() with `said`, as a text of its own, in the place of the reply, which had then been stopped;
  /// with nothing said, as if there had been no turn. What a listener did not hear is no part of a conversation. Not
  /// for one that a keeper keeps.
  Status retell(std::string_view user, std::string_view said);

  std::uint64_t turns() const { return turns_; }
  /// A turn was stopped when a part of it was fed already: only begin() gives a whole conversation again.
  bool is_torn() const { return is_torn_; }
  const ChatForm& form() const { return *form_; }
  /// What a keeper has of it; nullptr without one.
  const ConversationNote* note() const { return note_; }

 private:
  Conversation(Engine& engine, Session& session, const ChatForm& form);

  bool is_stop_asked() const { return is_stop_asked_ != nullptr && is_stop_asked_(stop_context_); }
  Status check_stop() const;
  Status check_marks(std::string_view user) const;
  Status feed_user(std::string_view user);
  Status feed_or_forget(std::string_view user);
  Result<Reply> reply_to(std::string_view user, std::uint64_t most_tokens, Listener listener);
  void save(bool is_mid_reply);
  void note_text(std::string_view text);
  /// @param goes_on  with the text that was fed before, as the first turn does with the system text
  Status encode(std::span<const TextPart> parts, bool goes_on, TokenSink sink);
  Status feed_text(std::span<const TextPart> parts, bool goes_on);
  Status feed_token(Token token);
  Status flush();

  Engine* engine_;
  Session* session_;
  const ChatForm* form_;
  std::uint64_t turns_ = 0;
  bool has_system_ = false;
  bool owes_reply_end_ = false;  ///< the last reply's end has not been fed yet
  bool is_torn_ = false;
  std::size_t pending_ = 0;  ///< tokens that wait in the engine's chunk buffer
  std::uint64_t fed_ = 0;    ///< tokens of this turn
  struct Mark {
    std::span<std::byte> state;
    std::uint64_t turns = 0;
    bool owes_reply_end = false;
    bool is_torn = false;
  } mark_;
  bool (*is_stop_asked_)(void*) = nullptr;
  void* stop_context_ = nullptr;
  SessionKeeper* keeper_ = nullptr;
  ConversationNote* note_ = nullptr;  ///< in the keeper's note
  std::uint64_t save_every_ = 0;      ///< tokens of a reply; 0: at its end only
};

/// Tokens that begin() feeds for this system text: the sinks that pin it. Loads the model's tokenizer for the while.
/// @param budget_bytes  0: no limit. kOverBudget if the tokenizer alone takes more; nothing was taken then.
Result<std::uint32_t> count_system_tokens(const ModelFile& model, const ChatForm& form, std::string_view system,
                                          std::uint64_t budget_bytes);

}  // namespace rill
