// What people say: turns and system prompts through both kinds of tokenizer and every chat form. No text may become a
// special token, so nobody can forge a turn.

#include <map>
#include <memory>
#include <vector>

#include "core/conversation.h"
#include "tests/fuzz/small_models.h"
#include "tests/fuzz/target.h"

namespace {

using rill::SpecialTokens;
using rill::TextPart;
using rill::Token;
using rill::fuzz::require;

struct Setting {
  Setting(const rill::quant::SourceTokenizer& tokenizer, std::string_view form_name)
      : form(*rill::find_chat_form(form_name)),
        file(rill::fuzz::small_rill_file(tokenizer, form_name)),
        model(rill::ModelFile::view(file.span(), "model")),
        engine(rill::Engine::start(*model, rill::fuzz::small_options())) {}

  const rill::ChatForm& form;
  rill::fuzz::AlignedBytes file;
  rill::Result<rill::ModelFile> model;
  rill::Result<rill::Engine> engine;
};

/// How often each special token is there.
std::map<Token, int> special_tokens(rill::Tokenizer& tokenizer, std::span<const TextPart> parts) {
  std::map<Token, int> found;
  const rill::Status status = tokenizer.encode(parts, [&](std::span<const Token> tokens) -> rill::Status {
    for (const Token token : tokens) {
      require(token < tokenizer.vocabulary(), "a token of a text is one of the vocabulary");
      if (!tokenizer.special_spelling(token).empty()) ++found[token];
    }
    return {};
  });
  if (!status.ok()) found[rill::kNoToken] = 1;  // a word that is too long is refused
  return found;
}

std::string text_of(rill::Tokenizer& tokenizer, std::string_view text) {
  rill::Utf8Stream characters(tokenizer.strips_first_space());
  std::string decoded;
  std::vector<char> out;
  const rill::Status status =
      tokenizer.encode(text, SpecialTokens::kText, [&](std::span<const Token> tokens) -> rill::Status {
        for (const Token token : tokens) {
          const std::string_view part = tokenizer.bytes_of(token);
          out.resize(part.size() * 3 + 12);
          decoded += characters.add(part, out);
        }
        return {};
      });
  out.resize(12);
  decoded += characters.finish(out);
  return status.ok() ? decoded : std::string(text);
}

/// Does the model read one of the form's marks in it, and not as a special token?
bool holds_a_mark(Setting& setting, std::string_view decoded) {
  for (const std::string_view mark : setting.form.marks) {
    if (mark.empty() || setting.engine->tokenizer()->find_special(mark) != rill::kNoToken) continue;
    if (decoded.find(mark) != std::string_view::npos) return true;
  }
  return false;
}

void talk(Setting& setting, std::string_view system, std::string_view user) {
  require(setting.engine.ok(), "the small model runs");
  rill::Tokenizer& tokenizer = *setting.engine->tokenizer();
  for (const rill::ChatForm& form : rill::chat_forms()) {
    const TextPart turn[] = {{form.first_user_begin, SpecialTokens::kControl},
                             {user, SpecialTokens::kText},
                             {form.user_end, SpecialTokens::kControl}};
    const TextPart empty[] = {turn[0], {"x", SpecialTokens::kText}, turn[2]};
    std::map<Token, int> said = special_tokens(tokenizer, turn);
    const bool was_refused = said.contains(rill::kNoToken);
    require(was_refused || said == special_tokens(tokenizer, empty), "what a user says forges no special token");
  }
  // A text comes back as it was, but for what is no UTF-8; so a second time it comes back whole.
  const std::string once = text_of(tokenizer, user);
  if (tokenizer.kind() == "byte-level bpe") require(text_of(tokenizer, once) == once, "a text comes back as it was");

  // Of a long text the model need not see all: its passes would take nearly all of the fuzzer's time.
  constexpr std::size_t kMostSaid = 512;
  auto conversation = rill::Conversation::open(*setting.engine, 0, setting.form);
  require(conversation.ok(), "a conversation can be opened");
  if (!conversation->begin(system.substr(0, kMostSaid)).ok()) return;
  user = user.substr(0, kMostSaid);
  const bool is_forged = holds_a_mark(setting, text_of(tokenizer, user));
  for (int turn = 0; turn < 2; ++turn) {
    std::string heard;
    const auto reply = conversation->say(user, 3, [&](std::string_view text) {
      heard += text;
      return true;
    });
    if (!reply.ok()) return;
    require(!is_forged, "a turn that the model reads as several is refused");
    require(reply->reply_tokens <= 3, "a reply is no longer than was asked for");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Setting bpe(rill::fuzz::small_byte_level_bpe(), "chatml");
  static Setting sentencepiece(rill::fuzz::small_sentencepiece(), "llama2");
  // Its vocabulary leaves some bytes out, as SmolLM2's does, and its form's marks are text.
  static Setting lacking = [] {
    rill::quant::SourceTokenizer tokenizer = rill::fuzz::small_byte_level_bpe();
    for (const std::size_t byte : {0x04U, 0x06U, 0x13U, 0xf5U}) tokenizer.tokens[byte] += " is no token alone";
    return Setting(tokenizer, "llama2");
  }();
  const std::string_view input = rill::fuzz::text_of(data, size);
  // The first zero byte ends the system prompt.
  const std::size_t zero = input.find('\0');
  const std::string_view system = zero == std::string_view::npos ? std::string_view() : input.substr(0, zero);
  const std::string_view user = zero == std::string_view::npos ? input : input.substr(zero + 1);
  talk(bpe, system, user);
  talk(sentencepiece, system, user);
  talk(lacking, system, user);
  return 0;
}
