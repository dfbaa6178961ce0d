#include "apps/chat_output.h"

#include <stdio_ext.h>

#include <array>

#include "apps/interrupt.h"
#include "core/utf8.h"

namespace rill::apps {
namespace {

/// Bytes that are gathered before they are written: with what a reply ends in, less than a page.
constexpr std::size_t kMostPending = 2048;

std::string_view name_of(ReplyEnd end) {
  switch (end) {
    case ReplyEnd::kFinished:
      return "finished";
    case ReplyEnd::kLimit:
      return "limit";
    case ReplyEnd::kStopped:
      return "stopped";
    case ReplyEnd::kFull:
      return "full";
  }
  return "";
}

}  // namespace

/// A JSON string's inside. The text is whole UTF-8 characters, which JSON takes as they are; terminals may not.
void ReplyPrinter::print_escaped(std::string_view text) {
  for (; !text.empty(); text.remove_prefix(1)) {
    if (__fpending(stdout) > kMostPending) write_for_reader(stdout, is_read_);
    if (const std::size_t control = control_bytes(text); control > 0) {
      text.remove_prefix(control - 1);  // to its last byte, which is its number
      std::printf("\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(text[0])));
    } else if (text[0] == '\n' || text[0] == '\t') {
      std::fputs(text[0] == '\n' ? "\\n" : "\\t", stdout);
    } else {
      if (text[0] == '"' || text[0] == '\\') std::fputc('\\', stdout);
      std::fputc(text[0], stdout);
    }
  }
}

void ReplyPrinter::begin() {
  is_read_ = true;
  if (json_) std::fputs("{\"reply\":\"", stdout);
}

void ReplyPrinter::add(std::string_view text) {
  if (json_) {
    print_escaped(text);
  } else {
    text_.write(text);
    write_for_reader(stdout, is_read_);
  }
}

void ReplyPrinter::end(const Result<Reply>& reply) {
  if (json_ && reply.ok()) {
    std::printf(
        "\",\"prompt_tokens\":%llu,\"reply_tokens\":%llu,\"passes\":%llu,\"seconds_to_first\":%.6f,\"tokens_per_s\":%."
        "2f,"
        "\"end\":\"%s\"}"
        "\n",
        static_cast<unsigned long long>(reply->prompt_tokens), static_cast<unsigned long long>(reply->reply_tokens),
        static_cast<unsigned long long>(reply->passes), reply->seconds_to_first, reply->tokens_per_second(),
        name_of(reply->end).data());
  } else if (json_) {
    std::fputs(
        "\",\"prompt_tokens\":0,\"reply_tokens\":0,\"passes\":0,\"seconds_to_first\":0,\"tokens_per_s\":0,\"error\":\"",
        stdout);
    print_escaped(reply.status().message());
    std::fputs("\"}\n", stdout);
  } else {
    std::fputc('\n', stdout);
  }
  write_for_reader(stdout, is_read_);
}

void print_restored(bool restored, const Conversation& conversation) {
  const ConversationNote* note = conversation.note();
  std::printf("{\"restored\":%s,\"turns\":%llu,\"reply_cut\":%s}\n", restored ? "true" : "false",
              static_cast<unsigned long long>(conversation.turns()),
              restored && note != nullptr && note->is_mid_reply != 0 ? "true" : "false");
  std::fflush(stdout);
}

void print_recent_text(const ConversationNote& note) {
  std::string_view rest(note.text, note.text_bytes);
  if (rest.size() == ConversationNote::kTextBytes) {  // its beginning is cut: from the next line on
    const std::size_t line = rest.find('\n');
    if (line != std::string_view::npos) rest.remove_prefix(line + 1);
  }
  const ShownText shown(stderr);
  std::array<char, 1024> buffer{};
  while (!rest.empty()) {
    const std::size_t size = move_as_utf8(rest, buffer);
    if (size == 0) break;
    shown.write({buffer.data(), size});
  }
}

void print_notes(const Reply& reply, const CachePolicy& policy) {
  if (reply.prompt_left_window) {
    std::fprintf(stderr,
                 "rill: this turn has %llu tokens and the window %u: its beginning is out of the model's sight\n",
                 static_cast<unsigned long long>(reply.prompt_tokens), policy.window);
  }
  if (reply.end == ReplyEnd::kLimit)
    std::fprintf(stderr, "rill: the reply was cut at %llu tokens (-n)\n",
                 static_cast<unsigned long long>(reply.reply_tokens));
  if (reply.end == ReplyEnd::kFull) {
    std::fprintf(stderr, "rill: the cache of %u tokens is full; --policy stream never is\n", policy.window);
  }
}

}  // namespace rill::apps
