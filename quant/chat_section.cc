#include "quant/chat_section.h"

#include <algorithm>
#include <utility>

#include "core/chat_template.h"
#include "core/tokenizer_section.h"
#include "quant/chat_layout.h"
#include "quant/tokenizer_writer.h"

namespace rill::quant {
namespace {

/// The spellings of the tokens in one of the section's lists.
std::vector<std::string> spellings(const TokenizerSection& tokenizer, TokenizerTable list) {
  std::vector<std::string> all;
  for (const Token token : tokenizer.numbers(list)) all.emplace_back(tokenizer.token_bytes(token));
  return all;
}

/// Puts the parts of a form's text that people could write themselves into `marks`: its lines without their special
/// tokens, which no text becomes, and without those that are words only, which are all right where a token stands
/// before them.
void find_marks(std::string_view text, const std::vector<std::string>& special, std::vector<std::string_view>& marks) {
  constexpr std::string_view kSpaces = " \t\r\n";
  constexpr std::size_t kShortestMark = 3;  // a colon behind a token marks nothing
  while (!text.empty()) {
    std::size_t end = std::min(text.find('\n'), text.size());
    std::size_t next = std::min(end + 1, text.size());
    for (const std::string& token : special) {
      const std::size_t at = token.empty() ? text.npos : text.find(token);
      if (at < end || (at == end && token.starts_with('\n'))) {
        end = at;
        next = at + token.size();
      }
    }
    std::string_view line = text.substr(0, end);
    text.remove_prefix(next);
    line.remove_prefix(std::min(line.find_first_not_of(kSpaces), line.size()));
    line = line.substr(0, line.find_last_not_of(kSpaces) + 1);
    const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    const bool is_words = !line.empty() && is_letter(line.front()) && is_letter(line.back());
    if (line.size() < kShortestMark || is_words) continue;
    if (std::ranges::find(marks, line) == marks.end()) marks.push_back(line);
  }
}

Result<std::string> own_form(const ChatLayout& layout, const std::vector<std::string>& special) {
  const ChatForm form = layout.form();
  std::vector<std::string_view> marks;
  for (const std::string_view text : form.texts()) find_marks(text, special, marks);
  if (marks.size() > ChatForm::kMostMarks) {
    return bad_input({.where = text("chat template"),
                      .what = text(marks.size(), " marks that are no special tokens"),
                      .expected = text("at most ", ChatForm::kMostMarks),
                      .remedy = text("pick a form with --chat-form NAME")});
  }
  marks.resize(ChatForm::kMostMarks);
  std::string lengths;
  std::string texts;
  const auto add = [&](std::string_view text) {
    lengths.append(" ").append(std::to_string(text.size()));
    texts.append(text);
  };
  std::ranges::for_each(form.texts(), add);
  std::ranges::for_each(marks, add);
  return std::string(kOwnChatForm).append("\nlengths:").append(lengths).append("\n").append(texts);
}

/// The form's name, with the texts of one that has none of its own.
Result<std::string> named_or_own(const ChatLayout& layout, const std::vector<std::string>& special) {
  for (const ChatForm& known : chat_forms()) {
    if (known.texts() == layout.form().texts()) return std::string(known.name);
  }
  return own_form(layout, special);
}

std::optional<Token> find_token(const TokenizerSection& tokenizer, std::string_view spelling) {
  for (const TokenizerTable list : {TokenizerTable::kSpecial, TokenizerTable::kAdded}) {
    for (const Token token : tokenizer.numbers(list)) {
      if (!spelling.empty() && tokenizer.token_bytes(token) == spelling) return token;
    }
  }
  return std::nullopt;
}

/// What the template makes of a conversation: the form's name or texts, for now, and the makers' system text.
Result<WrittenChat> from_template(ChatTemplate source, std::span<const std::byte> tokenizer_section,
                                  std::string& default_system) {
  RILL_ASSIGN(const TokenizerSection tokenizer, TokenizerSection::parse(tokenizer_section));
  const std::vector<std::string> special = spellings(tokenizer, TokenizerTable::kSpecial);
  ChatTokens tokens = {.ends = spellings(tokenizer, TokenizerTable::kEnds),
                       .others = spellings(tokenizer, TokenizerTable::kAdded),
                       .begins = {}};
  tokens.others.insert(tokens.others.end(), special.begin(), special.end());
  if (const Token token = tokenizer.header().beginning_of_text; token != kNoToken) {
    if (source.bos_token.empty()) source.bos_token = tokenizer.token_bytes(token);
    if ((tokenizer.header().flags & kAddsBeginningOfText) != 0) tokens.begins = tokenizer.token_bytes(token);
  }
  if (source.eos_token.empty() && !tokens.ends.empty()) source.eos_token = tokens.ends.front();
  RILL_ASSIGN(const ChatLayout layout, find_chat_layout(source, tokens));
  default_system = layout.default_system;
  RILL_ASSIGN(const std::string form, named_or_own(layout, special));
  return WrittenChat{.section = form, .notice = layout.notice, .end_token = find_token(tokenizer, layout.end_token)};
}

}  // namespace

Result<WrittenChat> write_chat_section(const ChatTemplate& source, std::span<const std::byte> tokenizer_section,
                                       const ChatSectionOptions& options) {
  const bool is_named = !options.form.empty();
  if (options.form == "none" || (!is_named && source.jinja.empty())) return WrittenChat();
  if (is_named && find_chat_form(options.form) == nullptr) {
    return bad_usage({.where = text("--chat-form"),
                      .what = text(options.form),
                      .expected = text("none, ", chat_form_names()),
                      .remedy = {}});
  }
  std::string system;
  Result<WrittenChat> chat = WrittenChat();
  if (!source.jinja.empty()) chat = from_template(source, tokenizer_section, system);
  if (is_named) chat = WrittenChat{.section = std::string(options.form), .notice = {}};
  if (!chat.ok()) return chat.status();
  if (options.system != nullptr) system = *options.system;
  chat->section = "form: " + chat->section + "\nsystem: " + system;
  return chat;
}

Result<TextSections> write_text_sections(const SourceModel& source, std::uint32_t vocabulary,
                                         const ChatSectionOptions& options) {
  TextSections sections;
  RILL_ASSIGN(sections.tokenizer, write_tokenizer_section(source.tokenizer(), vocabulary));
  if (sections.tokenizer.empty()) return sections;
  RILL_ASSIGN(WrittenChat chat, write_chat_section(source.chat_template(), sections.tokenizer, options));
  if (chat.end_token) {
    SourceTokenizer tokenizer = source.tokenizer();
    tokenizer.end_tokens.push_back(*chat.end_token);
    RILL_ASSIGN(sections.tokenizer, write_tokenizer_section(tokenizer, vocabulary));
  }
  sections.chat = std::move(chat.section);
  sections.notice = std::move(chat.notice);
  return sections;
}

}  // namespace rill::quant
