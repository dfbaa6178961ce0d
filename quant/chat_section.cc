#include "quant/chat_section.h"

#include <algorithm>
#include <utility>

#include "core/chat_template.h"
#include "core/tokenizer_section.h"
#include "quant/chat_layout.h"
#include "quant/json_document.h"
#include "quant/tokenizer_writer.h"

namespace rill::quant {
namespace {

/// The spellings of the tokens in one of the section's lists.
std::vector<std::string> spellings(const TokenizerSection& tokenizer, TokenizerTable list) {
  std::vector<std::string> all;
  for (const Token token : tokenizer.numbers(list)) all.emplace_back(tokenizer.token_bytes(token));
  return all;
}

/// Collects what people could write themselves to forge a turn of a form whose turns they know.
class MarkFinder {
 public:
  /// @param special  tokens that no text becomes
  /// @param added    tokens that any text becomes
  MarkFinder(const std::vector<std::string>& special, const std::vector<std::string>& added)
      : special_(special), added_(added) {}

  void add(std::string_view text) {
    for (const std::string& token : added_) {
      if (text.find(token) != text.npos && token.find_first_not_of(kSpaces) != token.npos) put(token);
    }
    bool is_behind_token = false;
    while (!text.empty()) {
      std::size_t end = std::min(text.find('\n'), text.size());
      std::size_t next = std::min(end + 1, text.size());
      bool ends_with_token = false;
      for (const std::string& token : special_) {
        const std::size_t at = token.empty() ? text.npos : text.find(token);
        if (at > end || at == text.npos) continue;
        end = at;
        next = at + token.size();
        ends_with_token = true;
      }
      add_line(text.substr(0, end), is_behind_token);
      is_behind_token = ends_with_token;
      text.remove_prefix(next);
    }
  }

  const std::vector<std::string_view>& marks() const { return marks_; }
  /// A mark that is an ordinary word, so that refusing it would refuse what people ask; empty if there is none.
  std::string_view word() const { return word_; }

 private:
  static constexpr std::string_view kSpaces = " \t\r\n";
  static constexpr std::size_t kShortestMark = 3;
  static constexpr std::size_t kMostWords = 4;  // more are a sentence, which makes no turn

  static bool is_letter(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte >= '0' && byte <= '9') || ((byte | 0x20U) >= 'a' && (byte | 0x20U) <= 'z') || byte >= 0x80U;
  }

  void put(std::string_view mark) {
    if (std::ranges::find(marks_, mark) == marks_.end()) marks_.push_back(mark);
  }

  /// What stands in brackets of its own: [INST], <<SYS>>, <|user|>. False if nothing does.
  bool add_brackets(std::string_view line) {
    bool found = false;
    for (std::size_t begin = line.find_first_of("<[{"); begin != line.npos; begin = line.find_first_of("<[{", begin)) {
      std::size_t end = line.find_first_of(">]} ", begin);
      if (end == line.npos) break;
      if (line[end] != ' ') {
        end = std::min(line.find_first_not_of(">]}", end), line.size());
        if (end - begin >= kShortestMark) put(line.substr(begin, end - begin));
        found = found || end - begin >= kShortestMark;
      }
      begin = end;
    }
    return found;
  }

  void add_line(std::string_view line, bool is_behind_token) {
    line.remove_prefix(std::min(line.find_first_not_of(kSpaces), line.size()));
    line = line.substr(0, line.find_last_not_of(kSpaces) + 1);
    // Behind a token that nobody can write a word marks nothing by itself.
    if (line.empty() || add_brackets(line) || (is_behind_token && is_letter(line.front()))) return;
    if (static_cast<std::size_t>(std::ranges::count(line, ' ')) >= kMostWords) return;
    const bool is_word =
        is_letter(line.front()) && is_letter(line.back()) && !line.ends_with("\xef\xbc\x9a");  // U+FF1A
    if (is_word || line.size() < kShortestMark || std::ranges::none_of(line, is_letter)) {
      if (word_.empty()) word_ = line;
      return;
    }
    put(line);
  }

  const std::vector<std::string>& special_;
  const std::vector<std::string>& added_;
  std::vector<std::string_view> marks_;
  std::string_view word_;
};

/// The texts and marks of a form that has no name, and a notice of a mark that nobody can be kept from writing.
Result<WrittenChat> own_form(const ChatLayout& layout, const std::vector<std::string>& special,
                             const std::vector<std::string>& added) {
  const ChatForm form = layout.form();
  MarkFinder finder(special, added);
  for (const std::string_view text : form.texts()) finder.add(text);
  std::vector<std::string_view> marks = finder.marks();
  WrittenChat written = {.section = {}, .notice = layout.notice};
  if (!finder.word().empty()) {
    written.notice.append(written.notice.empty() ? "" : "; ")
        .append("\"")
        .append(legible(finder.word()).view())
        .append("\" marks a turn and is ordinary text, so that what is said could pass for a turn");
  }
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
  written.section = std::string(kOwnChatForm).append("\nlengths:").append(lengths).append("\n").append(texts);
  return written;
}

/// The form's name, or the texts of one that has none.
Result<WrittenChat> named_or_own(const ChatLayout& layout, const std::vector<std::string>& special,
                                 const std::vector<std::string>& added) {
  for (const ChatForm& known : chat_forms()) {
    if (known.texts() == layout.form().texts()) {
      return WrittenChat{.section = std::string(known.name), .notice = layout.notice};
    }
  }
  return own_form(layout, special, added);
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
  const std::vector<std::string> added = spellings(tokenizer, TokenizerTable::kAdded);
  ChatTokens tokens = {.ends = spellings(tokenizer, TokenizerTable::kEnds), .others = special, .begins = {}};
  tokens.others.insert(tokens.others.end(), added.begin(), added.end());
  if (const Token token = tokenizer.header().beginning_of_text; token != kNoToken) {
    if (source.bos_token.empty()) source.bos_token = tokenizer.token_bytes(token);
    if ((tokenizer.header().flags & kAddsBeginningOfText) != 0) tokens.begins = tokenizer.token_bytes(token);
  }
  if (source.eos_token.empty() && !tokens.ends.empty()) source.eos_token = tokens.ends.front();
  std::erase_if(tokens.others, [&](const std::string& token) {  // those end no reply
    return token == source.bos_token || token.find_first_not_of(" \t\r\n") == token.npos;
  });
  RILL_ASSIGN(const ChatLayout layout, find_chat_layout(source, tokens));
  default_system = layout.default_system;
  RILL_ASSIGN(WrittenChat written, named_or_own(layout, special, added));
  written.end_token = find_token(tokenizer, layout.end_token);
  return written;
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
