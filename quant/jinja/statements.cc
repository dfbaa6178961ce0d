// Statements: what stands between {% and %}, and the text around them.

#include <algorithm>
#include <utility>

#include "quant/jinja/parser.h"

namespace rill::quant::jinja {
namespace {

/// With "\n" for every end of line and without the last one.
std::string normalized(std::string_view source) {
  std::string out;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else if (!source.substr(i + 1).starts_with('\n')) {
      out += '\n';
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

}  // namespace

struct Parser::Statement {
  std::string_view word;
  NodeId (Parser::*read)(int line);
};

NodeId Parser::parse() {
  const NodeId block = statements({});
  if (current().kind != Token::Kind::kEnd) unexpected("a statement");
  return block;
}

/// Statements up to a tag that begins with one of the words, which is current then; without words, to the end.
NodeId Parser::statements(Words ends) {
  const Level level = open();
  const int begin = current().line;
  std::vector<NodeId> block;
  while (current().kind != Token::Kind::kEnd) {
    const Token& token = take();
    if (token.kind == Token::Kind::kText) {
      block.push_back(add(Node{.form = Form::kText, .line = token.line, .name = token.text}));
    } else if (token.kind == Token::Kind::kOutputBegin) {
      block.push_back(add(Form::kOutput, token.line, {tuple()}));
      expect(Token::Kind::kOutputEnd, "the end of {{ }}");
    } else {  // kBlockBegin: others stand between a tag's begin and end
      if (is_any(ends)) return add(Form::kBlock, begin, std::move(block));
      block.push_back(statement());
      expect(Token::Kind::kBlockEnd, "the end of {% %}");
    }
  }
  if (ends.size() > 0) refuse(text("no ", *(ends.end() - 1)), begin);
  return add(Form::kBlock, begin, std::move(block));
}

/// What stands between the end of the current tag and the last of its words, which is taken.
NodeId Parser::body(Words ends) {
  skip(":");
  expect(Token::Kind::kBlockEnd, "the end of {% %}");
  const NodeId block = statements(ends);
  if (ends.size() == 1) take();
  return block;
}

NodeId Parser::statement() {
  const Token& word = expect(Token::Kind::kName, "a statement");
  static constexpr Statement kStatements[] = {{"if", &Parser::read_if},
                                              {"for", &Parser::read_for},
                                              {"set", &Parser::read_set},
                                              {"filter", &Parser::read_filter},
                                              {"generation", &Parser::read_generation},
                                              {"macro", &Parser::read_macro},
                                              {"call", &Parser::read_call},
                                              {"break", &Parser::read_break},
                                              {"continue", &Parser::read_continue}};
  const auto* found = std::ranges::find(kStatements, word.text, &Statement::word);
  if (found == std::end(kStatements)) unsupported(text("the statement \"", word.text, "\""), word.line);
  return (this->*found->read)(word.line);
}

NodeId Parser::read_if(int line) {
  std::vector<NodeId> parts;
  while (true) {
    parts.push_back(tuple(&Parser::any_of));
    parts.push_back(body({"elif", "else", "endif"}));
    if (skip("elif")) continue;
    if (skip("else")) {
      parts.push_back(body({"endif"}));
    } else {
      take();
    }
    return add(Form::kIf, line, std::move(parts));
  }
}

NodeId Parser::read_for(int line) {
  const NodeId assigned = target();
  if (!skip("in")) unexpected("in");
  const NodeId iterable = tuple(&Parser::any_of);
  const NodeId condition = skip("if") ? expression() : kNoNode;
  if (is("recursive")) unsupported(text("a recursive loop"), line);
  ++loops_;
  const NodeId block = body({"else", "endfor"});
  --loops_;
  NodeId otherwise = kNoNode;
  if (take().text == "else") otherwise = body({"endfor"});
  return add(Form::kFor, line, {assigned, iterable, condition, block, otherwise});
}

NodeId Parser::read_set(int line) {
  const NodeId assigned = target();
  if (skip("=")) return add(Form::kSet, line, {assigned, tuple()});
  const NodeId body = add(Form::kBody, line, {});
  const NodeId value = skip("|") ? filters(body) : body;
  return add(Form::kSet, line, {assigned, add(Form::kWritten, line, {value, closed_body({"endset"})})});
}

NodeId Parser::read_filter(int line) {
  const NodeId value = filters(add(Form::kBody, line, {}));
  return add(Form::kOutput, line, {add(Form::kWritten, line, {value, closed_body({"endfilter"})})});
}

NodeId Parser::read_generation(int line) {
  const NodeId body = add(Form::kBody, line, {});
  return add(Form::kOutput, line, {add(Form::kWritten, line, {body, closed_body({"endgeneration"})})});
}

NodeId Parser::read_macro(int line) {
  Node macro{.form = Form::kMacro, .line = line, .name = expect(Token::Kind::kName, "a macro's name").text};
  const std::vector<NodeId> defaults = parameters(macro);
  macro.children = {closed_body({"endmacro"})};
  macro.children.insert(macro.children.end(), defaults.begin(), defaults.end());
  return add(std::move(macro));
}

NodeId Parser::read_call(int line) {
  Node caller{.form = Form::kMacro, .line = line};
  if (is("(")) parameters(caller);
  const NodeId call = expression();
  if (tree_.nodes[call].form != Form::kCall) refuse(text("a call block without a call"), line);
  return add_unsupported("a call block", line, {call, closed_body({"endcall"})});
}

/// Adds the parameters' names to a macro.
/// @returns their defaults
std::vector<NodeId> Parser::parameters(Node& macro) {
  std::vector<NodeId> defaults;
  bool has_default = false;
  expect("(");
  while (!is(")")) {
    const Token& name = expect(Token::Kind::kName, "a parameter");
    if (std::ranges::find(macro.names, name.text) != macro.names.end()) unexpected("a parameter of its own name");
    macro.names.push_back(name.text);
    const bool is_given = skip("=");
    if (has_default && !is_given) unexpected("a default, as a parameter before has one");
    has_default = is_given;
    defaults.push_back(is_given ? expression() : kNoNode);
    if (!skip(",")) break;
  }
  expect(")");
  return defaults;
}

/// A body that no loop around it can be left from.
NodeId Parser::closed_body(Words ends) {
  const int loops = std::exchange(loops_, 0);
  const NodeId block = body(ends);
  loops_ = loops;
  return block;
}

NodeId Parser::leave_loop(Form form, int line) {
  if (loops_ == 0) unsupported(text("break or continue outside of a loop"), line);
  return add(form, line, {});
}

void parse(std::string_view source, int depth, Tree& tree) {
  tree.source = normalized(source);
  tree.root = Parser(tree, depth).parse();
}

}  // namespace rill::quant::jinja
