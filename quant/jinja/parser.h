#pragma once
// A template's text to tokens, and those to a tree: Jinja2's grammar with its precedence. What the subset leaves out is
// parsed all the same where published templates have it, and becomes a node that is refused when it is evaluated.

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "quant/jinja/syntax.h"

namespace rill::quant::jinja {

struct Token {
  enum class Kind : std::uint8_t {
    kText,
    kOutputBegin,
    kOutputEnd,
    kBlockBegin,
    kBlockEnd,
    kName,
    kString,  ///< without its quotes, its escapes replaced
    kNumber,
    kOperator,
    kEnd,
  };
  Kind kind = Kind::kEnd;
  std::string_view text;
  int line = 0;
};

/// @param tree  its source is what is cut; it keeps the texts of strings with escapes. The tokens lie in both.
std::vector<Token> cut_into_tokens(Tree& tree);

class Parser {
 public:
  /// @param tree  with its source; gets the nodes. @param depth  of the tree, and of what is open meanwhile
  Parser(Tree& tree, int depth) : tree_(tree), tokens_(cut_into_tokens(tree)), depth_(depth) {}

  NodeId parse();

 private:
  using Words = std::initializer_list<std::string_view>;
  using Operand = NodeId (Parser::*)();
  struct Statement;

  // Tokens. Names and operators are never the same, so both go by their text.
  const Token& current() const { return tokens_[at_]; }
  const Token& take() { return at_ + 1 < tokens_.size() ? tokens_[at_++] : tokens_[at_]; }
  bool is_at(std::size_t at, std::string_view text) const {
    return at < tokens_.size() && tokens_[at].text == text &&
           (tokens_[at].kind == Token::Kind::kName || tokens_[at].kind == Token::Kind::kOperator);
  }
  bool is(std::string_view text) const { return is_at(at_, text); }
  bool is_any(Words words) const;
  bool is_end_of_tuple() const;
  bool skip(std::string_view text);
  void expect(std::string_view text);
  const Token& expect(Token::Kind kind, std::string_view what);
  [[noreturn]] void unexpected(std::string_view expected) const;
  /// Counts one more of what is open, as long as it lives.
  Level open() { return Level(open_, depth_, "blocks and brackets", current().line); }

  NodeId add(Node node);
  NodeId add(Form form, int line, std::vector<NodeId> children) {
    return add(Node{.form = form, .line = line, .children = std::move(children)});
  }
  /// What is outside the subset, and what it stands for.
  NodeId add_unsupported(std::string_view what, int line, std::vector<NodeId> children = {}) {
    return add(Node{.form = Form::kUnsupported, .line = line, .name = what, .children = std::move(children)});
  }

  // Expressions: expressions.cc.
  NodeId expression();
  /// One, or a tuple without brackets.
  NodeId tuple(Operand item = &Parser::expression);
  NodeId target();
  NodeId filters(NodeId subject);
  NodeId chain(Form form, Words operators, Operand operand);
  NodeId any_of();
  NodeId all_of();
  NodeId negation();
  NodeId comparison();
  NodeId sum();
  NodeId concatenation();
  NodeId product();
  NodeId filtered();
  NodeId unary();
  NodeId assignable();
  NodeId primary();
  NodeId number();
  NodeId string();
  NodeId name_or_constant();
  NodeId items(Form form, std::string_view close);
  NodeId postfix(NodeId node);
  NodeId subscript(NodeId object);
  NodeId call(NodeId function);
  NodeId filter(NodeId subject);
  NodeId test(NodeId subject);
  void arguments(Node& node);

  // Statements: statements.cc.
  NodeId statements(Words ends);
  NodeId statement();
  NodeId body(Words ends);
  NodeId closed_body(Words ends);
  std::vector<NodeId> parameters(Node& macro);
  NodeId read_if(int line);
  NodeId read_for(int line);
  NodeId read_set(int line);
  NodeId read_filter(int line);
  NodeId read_generation(int line);
  NodeId read_macro(int line);
  NodeId read_call(int line);
  NodeId read_break(int line) { return leave_loop(Form::kBreak, line); }
  NodeId read_continue(int line) { return leave_loop(Form::kContinue, line); }
  NodeId leave_loop(Form form, int line);

  Tree& tree_;
  std::vector<Token> tokens_;  // the last is kEnd
  int depth_;
  std::size_t at_ = 0;
  int open_ = 0;
  int loops_ = 0;  // around the current statement
};

}  // namespace rill::quant::jinja
