// Cuts a template into tokens, with Jinja2's rules of whitespace: "-" and "+" beside a tag, trim_blocks (no line break
// after a block), lstrip_blocks (no indentation before one), and no line break at the template's end.

#include <algorithm>

#include "quant/jinja/parser.h"
#include "quant/jinja/python_text.h"

namespace rill::quant::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

/// @param literal  between its quotes
std::string unescape(std::string_view literal, int line) {
  static constexpr std::string_view kLetters = "\\'\"nrt";
  static constexpr std::string_view kMeant = "\\'\"\n\r\t";
  std::string out;
  for (; !literal.empty(); literal.remove_prefix(1)) {
    if (literal[0] != '\\') {
      out += literal[0];
      continue;
    }
    literal.remove_prefix(1);  // never the last: the string would not have ended there
    const std::size_t known = kLetters.find(literal[0]);
    if (known == std::string_view::npos) unsupported(text("the escape \"\\", first_of(literal), "\""), line);
    out += kMeant[known];
  }
  return out;
}

class Lexer {
 public:
  explicit Lexer(Tree& tree) : tree_(tree), source_(tree.source) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const std::size_t tag = find_tag(at_);
      if (tag == source_.size()) {
        add(Token::Kind::kText, rest());
        at_ = tag;
        break;
      }
      read_tag(tag);
    }
    add(Token::Kind::kEnd, {});
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return source_.substr(at_); }

  void add(Token::Kind kind, std::string_view text) {
    if (kind == Token::Kind::kText && text.empty()) return;
    // Tokens come in the source's order, so lines are counted once.
    line_ += static_cast<int>(
        std::count(source_.begin() + counted_, source_.begin() + static_cast<std::ptrdiff_t>(at_), '\n'));
    counted_ = static_cast<std::ptrdiff_t>(at_);
    tokens_.push_back({kind, text, line_});
  }

  std::size_t find_tag(std::size_t from) const {
    for (std::size_t at = source_.find('{', from); at < source_.size() - 1; at = source_.find('{', at + 1)) {
      const char next = source_[at + 1];
      if (next == '{' || next == '%' || next == '#') return at;
    }
    return source_.size();
  }

  void read_tag(std::size_t tag) {
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    add(Token::Kind::kText, text_before(tag, sign, kind == '{'));
    at_ = tag + (sign == '-' || sign == '+' ? 3 : 2);
    if (kind == '#') {
      const std::size_t end = source_.find("#}", at_);
      if (end == std::string_view::npos) fail("a comment without an end");
      close(end, end > at_ ? source_[end - 1] : '\0', /*trims=*/true);
    } else {
      const bool is_block = kind == '%';
      add(is_block ? Token::Kind::kBlockBegin : Token::Kind::kOutputBegin, {});
      read_expression(is_block);
    }
  }

  /// The text up to a tag without what the tag takes of it.
  std::string_view text_before(std::size_t tag, char sign, bool is_output) const {
    const std::string_view before = source_.substr(at_, tag - at_);
    if (sign == '-') return strip_right(before);
    if (sign == '+' || is_output) return before;
    const std::size_t line_break = before.rfind('\n');
    if (line_break == std::string_view::npos && !line_begins_) return before;
    const std::size_t line = line_break == std::string_view::npos ? 0 : line_break + 1;
    return strip_left(before.substr(line)).empty() ? before.substr(0, line) : before;
  }

  /// Goes on behind a tag's end. @param end  of the last two characters. @param sign  before them
  void close(std::size_t end, char sign, bool trims) {
    at_ = end + 2;
    if (sign == '-') {
      at_ = source_.size() - strip_left(rest()).size();
    } else if (sign != '+' && trims && rest().starts_with('\n')) {
      ++at_;
    }
    line_begins_ = source_[at_ - 1] == '\n';
  }

  void read_expression(bool is_block) {
    std::string brackets;  // that are open: within them a tag does not end
    while (true) {
      if (brackets.empty() && at_end(is_block)) return;
      at_ = source_.size() - strip_left(rest()).size();
      if (brackets.empty() && at_end(is_block)) return;
      if (at_ == source_.size()) fail("a tag without an end");
      const char c = source_[at_];
      if (is_digit(c)) {
        read_number();
      } else if (is_name(c)) {
        const auto* end = std::find_if_not(rest().begin(), rest().end(), is_name);
        read(Token::Kind::kName, static_cast<std::size_t>(end - rest().begin()));
      } else if (c == '"' || c == '\'') {
        read_string(c);
      } else {
        read_operator(brackets);
      }
    }
  }

  bool at_end(bool is_block) {
    const std::string_view mark = is_block ? "%}" : "}}";
    const bool has_sign = rest().starts_with('-') || (is_block && rest().starts_with('+'));
    const std::size_t end = at_ + (has_sign ? 1 : 0);
    if (!source_.substr(end).starts_with(mark)) return false;
    add(is_block ? Token::Kind::kBlockEnd : Token::Kind::kOutputEnd, {});
    close(end, has_sign ? source_[at_] : '\0', /*trims=*/is_block);
    return true;
  }

  void read(Token::Kind kind, std::size_t bytes) {
    add(kind, rest().substr(0, bytes));
    at_ += bytes;
  }

  /// Whatever looks like a number; what it is, if it is one, the parser sees.
  void read_number() {
    const bool is_index = source_[at_ - 1] == '.';  // in "a.0.1" there are two
    const auto is_inside = [&](std::size_t i) {
      return is_name(source_[i]) ||
             (source_[i] == '.' && !is_index && i + 1 < source_.size() && is_digit(source_[i + 1]));
    };
    std::size_t end = at_;
    while (end < source_.size() && is_inside(end)) ++end;
    read(Token::Kind::kNumber, end - at_);
  }

  void read_string(char quote) {
    std::size_t end = at_ + 1;
    bool has_escapes = false;
    while (end < source_.size() && source_[end] != quote) {
      has_escapes = has_escapes || source_[end] == '\\';
      end += source_[end] == '\\' ? 2U : 1U;
    }
    if (end >= source_.size()) fail("a string without an end");
    std::string_view text = source_.substr(at_ + 1, end - at_ - 1);
    if (has_escapes) text = tree_.texts.emplace_back(unescape(text, line_));
    add(Token::Kind::kString, text);
    at_ = end + 1;
  }

  void read_operator(std::string& brackets) {
    static constexpr std::string_view kLong[] = {"//", "**", "==", "!=", ">=", "<="};
    static constexpr std::string_view kShort = "+-/*%~[](){}><=.:|,;";
    for (const std::string_view spelling : kLong) {
      if (rest().starts_with(spelling)) return read(Token::Kind::kOperator, spelling.size());
    }
    const char c = source_[at_];
    if (kShort.find(c) == std::string_view::npos) {
      add(Token::Kind::kEnd, {});  // counts the lines
      unsupported(text("\"", first_of(rest()), "\" in an expression"), line_);
    }
    if (c == '(' || c == '[' || c == '{') brackets += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == ')' || c == ']' || c == '}') {
      if (brackets.empty() || brackets.back() != c) fail("a bracket that closes nothing");
      brackets.pop_back();
    }
    read(Token::Kind::kOperator, 1);
  }

  [[noreturn]] void fail(std::string_view what) {
    add(Token::Kind::kEnd, {});  // counts the lines
    refuse(text(what), line_);
  }
  Tree& tree_;
  std::string_view source_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::ptrdiff_t counted_ = 0;
  int line_ = 1;
  bool line_begins_ = true;
};

}  // namespace

std::vector<Token> cut_into_tokens(Tree& tree) { return Lexer(tree).run(); }

}  // namespace rill::quant::jinja
