// Expressions: operators from the weakest to the strongest, then what stands between them, then what follows that.

#include <algorithm>
#include <charconv>

#include "quant/jinja/parser.h"

namespace rill::quant::jinja {

bool Parser::is_any(Words words) const {
  return std::ranges::any_of(words, [this](std::string_view word) { return is(word); });
}

bool Parser::is_end_of_tuple() const {
  return current().kind == Token::Kind::kBlockEnd || current().kind == Token::Kind::kOutputEnd ||
         is_any({")", "=", "in", "|"});
}

bool Parser::skip(std::string_view text) {
  if (!is(text)) return false;
  take();
  return true;
}

void Parser::expect(std::string_view text) {
  if (!skip(text)) unexpected(text);
}

const Token& Parser::expect(Token::Kind kind, std::string_view what) {
  if (current().kind != kind) unexpected(what);
  return take();
}

void Parser::unexpected(std::string_view expected) const {
  const std::string_view found = current().text.empty() ? "the end of a tag" : current().text.substr(0, 40);
  refuse(text("\"", found, "\" instead of ", expected), current().line);
}

NodeId Parser::add(Node node) {
  for (const NodeId child : node.children) {
    if (child != kNoNode) node.height = std::max(node.height, tree_.nodes[child].height + 1);
  }
  if (node.height > depth_) beyond_limit(text("more than ", depth_, " nodes inside one another"), node.line);
  tree_.nodes.push_back(std::move(node));
  return static_cast<NodeId>(tree_.nodes.size() - 1);
}

NodeId Parser::tuple(Operand item) {
  const int line = current().line;
  std::vector<NodeId> items = {(this->*item)()};
  if (!is(",")) return items.front();
  while (skip(",") && !is_end_of_tuple()) items.push_back((this->*item)());
  return add(Form::kTuple, line, std::move(items));
}

/// What can be assigned to: a name, a namespace's attribute; of several of them, nothing at last.
NodeId Parser::target() {
  const NodeId node = tuple(&Parser::assignable);
  if (tree_.nodes[node].form != Form::kTuple) return node;
  return add_unsupported("an assignment to several names", tree_.nodes[node].line, {node});
}

NodeId Parser::assignable() {
  const NodeId node = postfix(primary());
  const Node& target = tree_.nodes[node];
  const bool is_attribute = target.form == Form::kAttribute && tree_.nodes[target.children[0]].form == Form::kName;
  if (target.form != Form::kName && target.form != Form::kTuple && !is_attribute) unexpected("a name to assign to");
  return node;
}

NodeId Parser::expression() {
  const Level level = open();
  const int line = current().line;
  NodeId value = any_of();
  while (skip("if")) {
    const NodeId condition = any_of();
    const NodeId otherwise = skip("else") ? expression() : kNoNode;
    value = add(Form::kConditional, line, {condition, value, otherwise});
  }
  return value;
}

/// Operands with operators between; the one operand itself if there is only one.
NodeId Parser::chain(Form form, Words operators, Operand operand) {
  Node node{.form = form, .line = current().line, .children = {(this->*operand)()}};
  while (true) {
    const auto* const found = std::ranges::find_if(
        operators, [this](auto word) { return is(word) || (word == "not in" && is("not") && is_at(at_ + 1, "in")); });
    if (found == operators.end()) break;
    if (take().text == "not") take();
    node.operators.push_back(*found);
    node.children.push_back((this->*operand)());
  }
  return node.operators.empty() ? node.children.front() : add(std::move(node));
}

NodeId Parser::any_of() { return chain(Form::kLogic, {"or"}, &Parser::all_of); }
NodeId Parser::all_of() { return chain(Form::kLogic, {"and"}, &Parser::negation); }

NodeId Parser::negation() {
  const int line = current().line;
  if (!skip("not")) return comparison();
  const Level level = open();
  return add(Form::kNot, line, {negation()});
}

NodeId Parser::comparison() {
  return chain(Form::kCompare, {"==", "!=", "<", "<=", ">", ">=", "in", "not in"}, &Parser::sum);
}
NodeId Parser::sum() { return chain(Form::kArithmetic, {"+", "-"}, &Parser::concatenation); }
NodeId Parser::concatenation() { return chain(Form::kConcat, {"~"}, &Parser::product); }
// That ** binds more closely makes no difference: it is refused when it is evaluated.
NodeId Parser::product() { return chain(Form::kArithmetic, {"*", "/", "//", "%", "**"}, &Parser::filtered); }

NodeId Parser::filtered() {
  NodeId node = unary();
  while (is_any({"|", "is", "("})) {
    if (is("(")) {
      node = call(node);
    } else {
      node = take().text == "|" ? filter(node) : test(node);
    }
  }
  return node;
}

NodeId Parser::unary() {
  const int line = current().line;
  if (!is_any({"-", "+"})) return postfix(primary());
  const Level level = open();
  const bool is_minus = take().text == "-";
  const std::vector<NodeId> operand = {unary()};
  return postfix(is_minus ? add(Form::kNegative, line, operand) : add_unsupported("the sign +", line, operand));
}

NodeId Parser::primary() {
  const Token& token = current();
  if (token.kind == Token::Kind::kName) return name_or_constant();
  if (token.kind == Token::Kind::kNumber) return number();
  if (token.kind == Token::Kind::kString) return string();
  if (skip("[")) return items(Form::kList, "]");
  if (skip("{")) return items(Form::kDict, "}");
  if (!skip("(")) unexpected("an expression");
  const NodeId node = is(")") ? add(Form::kTuple, token.line, {}) : tuple();
  expect(")");
  return node;
}

NodeId Parser::number() {
  const Token& token = take();
  const char* const end = token.text.data() + token.text.size();
  std::int64_t value = 0;
  const auto [stop, error] = std::from_chars(token.text.data(), end, value);
  if (error != std::errc() || stop != end || (token.text.size() > 1 && token.text[0] == '0')) {
    return add_unsupported(tree_.texts.emplace_back("the number ").append(token.text), token.line);
  }
  return add(Node{.form = Form::kConstant, .line = token.line, .constant = value});
}

NodeId Parser::string() {
  const Token& first = take();
  std::string_view whole = first.text;
  if (current().kind == Token::Kind::kString) {
    std::string& joined = tree_.texts.emplace_back(whole);
    while (current().kind == Token::Kind::kString) joined += take().text;
    whole = joined;
  }
  return add(Node{.form = Form::kConstant, .line = first.line, .constant = string_value(whole)});
}

NodeId Parser::name_or_constant() {
  const bool is_boolean = is_any({"true", "True", "false", "False"});
  const bool is_true = is_any({"true", "True"});
  const bool is_none = is_any({"none", "None"});
  const Token& token = take();
  if (is_boolean) return add(Node{.form = Form::kConstant, .line = token.line, .constant = is_true});
  if (is_none) return add(Node{.form = Form::kConstant, .line = token.line, .constant = None{}});
  return add(Node{.form = Form::kName, .line = token.line, .name = token.text});
}

/// The items of a list, or a dictionary's keys and values, up to the closing bracket.
NodeId Parser::items(Form form, std::string_view close) {
  Node node{.form = form, .line = current().line};
  while (!is(close)) {
    node.children.push_back(expression());
    if (form == Form::kDict) {
      expect(":");
      node.children.push_back(expression());
    }
    if (!skip(",")) break;
  }
  expect(close);
  return add(std::move(node));
}

NodeId Parser::postfix(NodeId node) {
  while (is_any({".", "[", "("})) node = is("(") ? call(node) : subscript(node);
  return node;
}

NodeId Parser::subscript(NodeId object) {
  const int line = current().line;
  if (take().text == ".") {
    if (current().kind == Token::Kind::kNumber) return add(Form::kItem, line, {object, number()});
    const std::string_view name = expect(Token::Kind::kName, "a name or a number").text;
    return add(Node{.form = Form::kAttribute, .line = line, .name = name, .children = {object}});
  }
  if (is("]")) unexpected("an index");
  Node slice{.form = Form::kSlice, .line = line, .children = {object, kNoNode, kNoNode, kNoNode}};
  bool is_slice = false;
  for (std::size_t i = 1; i <= 3; ++i) {
    if (!is_any({":", "]", ","})) slice.children[i] = expression();
    if (i == 3 || !skip(":")) break;
    is_slice = true;
  }
  if (is(",")) unsupported(text("a tuple for an index"), line);
  expect("]");
  return is_slice ? add(std::move(slice)) : add(Form::kItem, line, {object, slice.children[1]});
}

NodeId Parser::call(NodeId function) {
  Node node{.form = Form::kCall, .line = current().line, .children = {function}};
  arguments(node);
  return add(std::move(node));
}

void Parser::arguments(Node& node) {
  expect("(");
  while (!is(")")) {
    const int line = current().line;
    if (is_any({"*", "**"})) {
      take();
      node.unpacked = add_unsupported("an argument with *", line, {expression()});
    } else {
      if (current().kind == Token::Kind::kName && is_at(at_ + 1, "=")) {
        node.names.push_back(take().text);
        take();
      } else if (!node.names.empty()) {
        unexpected("an argument with a name");
      }
      node.children.push_back(expression());
    }
    if (!skip(",")) break;
  }
  expect(")");
}

/// "filter(arguments) | filter..."
NodeId Parser::filters(NodeId subject) {
  do {
    subject = filter(subject);
  } while (skip("|"));
  return subject;
}

NodeId Parser::filter(NodeId subject) {
  const Token& name = expect(Token::Kind::kName, "the name of a filter");
  Node node{.form = Form::kFilter, .line = name.line, .name = name.text, .children = {subject}};
  if (is("(")) arguments(node);
  return add(std::move(node));
}

NodeId Parser::test(NodeId subject) {
  const bool is_negated = skip("not");
  const Token& name = expect(Token::Kind::kName, "the name of a test");
  Node node{.form = Form::kTest, .line = name.line, .name = name.text, .children = {subject}};
  const bool begins_argument = current().kind == Token::Kind::kString || current().kind == Token::Kind::kNumber ||
                               is_any({"[", "{"}) ||
                               (current().kind == Token::Kind::kName && !is_any({"else", "or", "and"}));
  if (is("(")) {
    arguments(node);
  } else if (begins_argument) {
    if (is("is")) unexpected("one test, not a chain of them");
    node.children.push_back(postfix(primary()));
  }
  const NodeId made = add(std::move(node));
  return is_negated ? add(Form::kNot, name.line, {made}) : made;
}

}  // namespace rill::quant::jinja
