#include "core/conversation.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <new>

#include "core/checksum.h"

namespace rill {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::uint32_t crc32_of(std::string_view text) { return crc32(std::as_bytes(std::span(text))); }

/// What begin() feeds after the beginning-of-text token.
std::array<TextPart, 3> system_parts(const ChatForm& form, std::string_view system) {
  if (system.empty()) return {};
  return {{{form.system_begin, SpecialTokens::kControl},
           {system, SpecialTokens::kText},
           {form.system_end, SpecialTokens::kControl}}};
}

/// Whether the model reads `mark` in a text, of which the tokenizer may leave some bytes out, and in which
/// SentencePiece has a character of its own for a space.
bool reads_as_holding(const Tokenizer& tokenizer, std::string_view text, std::string_view mark) {
  constexpr std::string_view kSpace = "\xe2\x96\x81";  // U+2581
  for (; !text.empty(); text.remove_prefix(1)) {
    std::size_t matched = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] != mark[matched] && mark[matched] == ' ' && text.substr(i).starts_with(kSpace)) {
        i += kSpace.size() - 1;
      } else if (text[i] != mark[matched]) {
        if (matched == 0 || !tokenizer.leaves_out(text[i])) break;
        continue;
      }
      if (++matched == mark.size()) return true;
    }
  }
  return false;
}

}  // namespace

double Reply::tokens_per_second() const {
  const double after_first = seconds - seconds_to_first;
  return reply_tokens > 1 && after_first > 0 ? static_cast<double>(reply_tokens - 1) / after_first : 0;
}

Conversation::Conversation(Engine& engine, Session& session, const ChatForm& form)
    : engine_(&engine), session_(&session), form_(&form) {}

Result<Conversation> Conversation::open(Engine& engine, std::size_t session, const ChatForm& form) {
  if (engine.tokenizer() == nullptr) {
    return bad_usage({.where = text(engine.model().name()),
                      .what = text("the model has no tokenizer"),
                      .expected = {},
                      .remedy = text("import it with one: `rill quantize --tokenizer FILE`")});
  }
  RILL_TRY(engine.check_session(session));
  return Conversation(engine, engine.session(session), form);
}

Status Conversation::begin(std::string_view system) {
  session_->reset();
  pending_ = 0;
  turns_ = 0;
  owes_reply_end_ = false;
  is_torn_ = false;
  has_system_ = !system.empty();
  if (engine_->tokenizer()->adds_beginning_of_text()) RILL_TRY(feed_token(engine_->tokenizer()->beginning_of_text()));
  RILL_TRY(feed_text(system_parts(*form_, system), /*goes_on=*/false));
  RILL_TRY(flush());
  if (note_ == nullptr) return {};
  *note_ = {};
  note_->system_crc32 = crc32_of(system);
  if (system.size() <= ConversationNote::kSystemBytes) {
    note_->system_bytes = static_cast<std::uint32_t>(system.copy(note_->system, system.size()));
  }
  save(/*is_mid_reply=*/false);
  return {};
}

void Conversation::keep_in(SessionKeeper& keeper, std::uint64_t every) {
  if (!keeper.is_open()) return;
  keeper_ = &keeper;
  note_ = std::launder(reinterpret_cast<ConversationNote*>(keeper.note().data()));
  save_every_ = every;
}

Status Conversation::resume(const std::string_view* system) {
  if (note_ == nullptr) {
    return bad_usage({.where = text("conversation"),
                      .what = text("nothing keeps it"),
                      .expected = text("keep_in() before resume()"),
                      .remedy = {}});
  }
  const ConversationNote& note = *note_;
  Status status;
  if (note.system_bytes > ConversationNote::kSystemBytes || note.text_bytes > ConversationNote::kTextBytes ||
      note.has_system > 1 || note.owes_reply_end > 1 || note.is_mid_reply > 1) {
    status = bad_input({.where = text("saved conversation"),
                        .what = text("counts that no conversation has"),
                        .expected = {},
                        .remedy = text("the state was altered; begin anew without it")});
  } else if (system != nullptr && note.system_crc32 != crc32_of(*system)) {
    status = bad_input({.where = text("saved conversation"),
                        .what = text("it was begun with another system prompt"),
                        .expected = text("the same"),
                        .remedy = text("give that one, or name another file; this one is left as it is")});
  }
  if (!status.ok()) {
    session_->reset();
    return status;
  }
  turns_ = note.turns;
  has_system_ = note.has_system != 0;
  owes_reply_end_ = note.owes_reply_end != 0;
  pending_ = 0;
  return {};
}

void Conversation::save(bool is_mid_reply) {
  if (keeper_ == nullptr) return;
  note_->turns = turns_;
  note_->has_system = has_system_ ? 1 : 0;
  note_->owes_reply_end = owes_reply_end_ ? 1 : 0;
  note_->is_mid_reply = is_mid_reply ? 1 : 0;
  keeper_->save();
}

/// Appends to the note's text; what is oldest makes room.
void Conversation::note_text(std::string_view text) {
  if (note_ == nullptr) return;
  text = text.substr(text.size() - std::min(text.size(), ConversationNote::kTextBytes));
  const std::size_t kept = std::min<std::size_t>(note_->text_bytes, ConversationNote::kTextBytes - text.size());
  std::memmove(note_->text, note_->text + (note_->text_bytes - kept), kept);
  text.copy(note_->text + kept, text.size());
  note_->text_bytes = static_cast<std::uint32_t>(kept + text.size());
}

Status Conversation::check_marks(std::string_view user) const {
  const Tokenizer& tokenizer = *engine_->tokenizer();
  for (const std::string_view mark : form_->marks) {
    if (mark.empty() || tokenizer.find_special(mark) != kNoToken) continue;  // which no text becomes
    if (!reads_as_holding(tokenizer, user, mark)) continue;
    return bad_input(
        {.where = text("what was said"),
         .what = text("\"", mark, "\", which this model would take for the end or the beginning of a turn"),
         .expected = text("text without the marks of the chat form ", form_->name),
         .remedy = text("write it with a space inside")});
  }
  return {};
}

Result<Reply> Conversation::say(std::string_view user, std::uint64_t most_tokens, Listener listener) {
  RILL_TRY(check_marks(user));
  note_text("> ");
  note_text(user);
  note_text("\n");
  const auto noting = [&](std::string_view text) {
    note_text(text);
    return listener(text);
  };
  Result<Reply> reply = reply_to(user, most_tokens, noting);
  note_text("\n");
  if (keeper_ == nullptr) return reply;
  if (reply.ok() || !is_stop_asked()) save(/*is_mid_reply=*/false);
  return reply;
}

Status Conversation::check_stop() const {
  if (!is_stop_asked()) return {};
  return failed({.where = {}, .what = text("stopped before the reply"), .expected = {}, .remedy = {}});
}

/// What a turn feeds before its reply.
Status Conversation::feed_user(std::string_view user) {
  const std::string_view begin = turns_ > 0    ? form_->user_begin
                                 : has_system_ ? form_->user_begin_after_system
                                               : form_->first_user_begin;
  const std::array<TextPart, 4> parts = {{{owes_reply_end_ ? form_->reply_end : "", SpecialTokens::kControl},
                                          {begin, SpecialTokens::kControl},
                                          {user, SpecialTokens::kText},
                                          {form_->user_end, SpecialTokens::kControl}}};
  // Later turns begin with the token that ends a reply, if the form repeats one.
  const bool goes_on = turns_ == 0 ? has_system_ : form_->reply_end.empty();
  // Where a cache ends, a turn is in it whole or not at all, however it is cut into chunks.
  if (!session_->policy().is_endless()) {
    std::size_t tokens = 0;
    RILL_TRY(encode(parts, goes_on, [&](std::span<const Token> run) -> Status {
      tokens += run.size();
      return {};
    }));
    RILL_TRY(session_->check_room(tokens));
  }
  const Status status = feed_text(parts, goes_on);
  ++turns_;
  owes_reply_end_ = false;
  return status;
}

/// A turn that is stopped before any of it is in the session has not been said; what is there of a longer one can be
/// neither taken back nor gone on with.
Status Conversation::feed_or_forget(std::string_view user) {
  const std::uint64_t before = session_->position();
  const bool owed_reply_end = owes_reply_end_;
  const Status fed = feed_user(user);
  const Status stopped = check_stop();
  if (stopped.ok()) return fed;
  pending_ = 0;
  const bool is_part_fed = session_->position() != before;
  is_torn_ = is_torn_ || is_part_fed;
  if (!is_part_fed) {
    --turns_;
    owes_reply_end_ = owed_reply_end;
  }
  return fed.ok() ? stopped : fed;
}

Status Conversation::mark(std::span<std::byte> state) {
  if (state.size() != session_->state_bytes()) {
    return bad_usage({.where = text("conversation"),
                      .what = text("room of ", state.size(), " bytes to mark a turn in"),
                      .expected = text(session_->state_bytes(), ", Session::state_bytes()"),
                      .remedy = {}});
  }
  session_->save(state);
  mark_ = {.state = state, .turns = turns_, .owes_reply_end = owes_reply_end_, .is_torn = is_torn_};
  return {};
}

Status Conversation::retell(std::string_view user, std::string_view said) {
  RILL_TRY(session_->restore(mark_.state));
  pending_ = 0;
  turns_ = mark_.turns;
  owes_reply_end_ = mark_.owes_reply_end;
  is_torn_ = mark_.is_torn;
  if (said.empty()) return {};
  RILL_TRY(feed_user(user));
  const TextPart reply[] = {{said, SpecialTokens::kText}};
  RILL_TRY(feed_text(reply, /*goes_on=*/false));
  owes_reply_end_ = true;
  return flush();
}

Result<Reply> Conversation::reply_to(std::string_view user, std::uint64_t most_tokens, Listener listener) {
  const auto start = std::chrono::steady_clock::now();
  Tokenizer& tokenizer = *engine_->tokenizer();
  Reply reply;
  fed_ = 0;
  RILL_TRY(feed_or_forget(user));
  reply.prompt_tokens = fed_;
  reply.prompt_left_window = fed_ > session_->policy().window;

  const std::span<const Token> waiting = engine_->pending().first(std::exchange(pending_, 0));
  Token token = kNoToken;
  Utf8Stream characters;
  std::array<char, 1024> buffer{};
  owes_reply_end_ = true;
  std::uint64_t unsaved = 0;
  std::uint64_t passes_before = session_->passes();
  if (most_tokens == 0) {
    reply.end = ReplyEnd::kLimit;
    RILL_TRY(session_->feed(waiting));
    reply.seconds = reply.seconds_to_first = seconds_since(start);
    return reply;
  }
  for (;;) {
    RILL_ASSIGN(const std::span<const float> logits,
                token == kNoToken ? session_->prefill(waiting) : session_->advance(token));
    if (save_every_ > 0 && unsaved >= save_every_ && !keeper_->is_busy()) {
      save(/*is_mid_reply=*/true);
      unsaved = 0;
    }
    ++unsaved;
    token = session_->sample(logits);
    if (reply.reply_tokens == 0) {
      reply.seconds_to_first = seconds_since(start);
      passes_before = session_->passes();
    }
    if (tokenizer.ends_text(token)) break;
    ++reply.reply_tokens;
    // A token's bytes are few; those of a hostile vocabulary are cut to what the buffer takes.
    const std::string_view text = characters.add(tokenizer.bytes_of(token).substr(0, 300), buffer);
    if (!text.empty() && !listener(text)) reply.end = ReplyEnd::kStopped;
    if (reply.end == ReplyEnd::kFinished && reply.reply_tokens >= most_tokens) reply.end = ReplyEnd::kLimit;
    if (session_->room() == 0) {  // not even what was said last can be fed
      reply.end = ReplyEnd::kFull;
      break;
    }
    if (reply.end != ReplyEnd::kFinished) {
      RILL_TRY(session_->feed({&token, 1}));  // so that the stream holds what was said
      break;
    }
  }
  reply.passes = session_->passes() - passes_before;
  if (const std::string_view rest = characters.finish(buffer); !rest.empty()) listener(rest);
  reply.seconds = seconds_since(start);
  return reply;
}

Status Conversation::encode(std::span<const TextPart> parts, bool goes_on, TokenSink sink) {
  Tokenizer& tokenizer = *engine_->tokenizer();
  return goes_on ? tokenizer.encode_further(parts, sink) : tokenizer.encode(parts, sink);
}

/// A text that fails has left tokens, too. They are fed, which changes no bit: the session is all there is of the
/// conversation, and the buffer that they waited in is every conversation's. Whoever asked to stop does not wait for
/// that.
Status Conversation::feed_text(std::span<const TextPart> parts, bool goes_on) {
  const Status status = encode(parts, goes_on, [&](std::span<const Token> tokens) -> Status {
    for (const Token token : tokens) RILL_TRY(feed_token(token));
    return {};
  });
  if (!status.ok() && is_stop_asked()) pending_ = 0;
  if (!status.ok()) static_cast<void>(flush().ok());
  return status;
}

Status Conversation::feed_token(Token token) {
  // A full buffer is fed only when one more comes, so that a turn's last tokens wait for say() to ask for logits.
  if (pending_ == engine_->pending().size()) {
    RILL_TRY(check_stop());
    RILL_TRY(flush());
  }
  engine_->pending()[pending_++] = token;
  ++fed_;
  return {};
}

Status Conversation::flush() {
  const std::size_t count = std::exchange(pending_, 0);
  return session_->feed(engine_->pending().first(count));
}

Result<std::uint32_t> count_system_tokens(const ModelFile& model, const ChatForm& form, std::string_view system,
                                          std::uint64_t budget_bytes) {
  if (model.tokenizer_section().empty()) return std::uint32_t{0};
  RILL_ASSIGN(const std::size_t bytes, Tokenizer::heap_bytes(model.tokenizer_section()));
  if (budget_bytes > 0 && bytes > budget_bytes) {
    return over_budget({.where = text(model.name()),
                        .what = text("its tokenizer needs ", bytes, " bytes"),
                        .expected = text("at most the budget's ", budget_bytes),
                        .remedy = text("give a number of --sinks, to see the whole plan")});
  }
  RILL_ASSIGN(const PageBlock block, PageBlock::take(bytes));
  FixedHeap heap(block.bytes());
  RILL_ASSIGN(Tokenizer* const tokenizer, Tokenizer::load(model.tokenizer_section(), heap));
  std::uint32_t count = model.config().sink_token != kNoToken ? 1 : 0;  // which every stream begins with
  if (tokenizer->adds_beginning_of_text()) ++count;
  const Status status = tokenizer->encode(system_parts(form, system), [&](std::span<const Token> tokens) -> Status {
    count += static_cast<std::uint32_t>(tokens.size());
    return {};
  });
  tokenizer->~Tokenizer();
  RILL_TRY(status);
  return count;
}

}  // namespace rill
