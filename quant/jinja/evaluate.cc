#include "quant/jinja/evaluate.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace rill::quant::jinja {
namespace {

constexpr std::string_view kTimeName = "strftime_now";

/// Names that Jinja2 knows and the subset does not.
constexpr std::string_view kUnknownNames[] = {"varargs", "kwargs", "self",   "super",
                                              "lipsum",  "cycler", "joiner", "dict"};

}  // namespace

Evaluator::Evaluator(const Tree& tree, const nlohmann::ordered_json& variables, const Limits& limits)
    : tree_(tree), heap_(limits), scope_(heap_.scope(nullptr)) {
  for (const auto& [name, variable] : variables.items()) {
    const Value value = import_json(heap_, variable);
    heap_.bind(*scope_, name, name == kTimeName ? heap_.method(&time_method(), value) : value);
  }
  scope_ = heap_.scope(scope_);
}

std::string Evaluator::run() {
  static_cast<void>(execute(tree_.root));
  return std::move(out_);
}

Value Evaluator::evaluate(NodeId id) {
  const Level level = call();
  heap_.spend();
  const Node& expression = node(id);
  line_ = expression.line;
  return evaluate_form(expression);
}

Value Evaluator::evaluate_form(const Node& expression) {
  const auto operand = [&] { return evaluate(expression.children[0]); };
  switch (expression.form) {
    case Form::kConstant:
      return expression.constant;
    case Form::kName:
      return evaluate_name(expression);
    case Form::kTuple:
      return heap_.sequence(Sequence::Kind::kTuple, evaluate_all(expression));
    case Form::kList:
      return heap_.sequence(Sequence::Kind::kList, evaluate_all(expression));
    case Form::kDict:
      return evaluate_dict(expression);
    case Form::kAttribute:
    case Form::kItem:
      return evaluate_attribute(expression);
    case Form::kSlice:
      return evaluate_slice(expression);
    case Form::kFilter:
    case Form::kTest:
    case Form::kCall:
      return evaluate_call(expression);
    case Form::kNot:
      return !is_true(operand());
    case Form::kNegative:
      return calculate(heap_, "-", std::int64_t{0}, operand());
    case Form::kLogic:
    case Form::kArithmetic:
    case Form::kCompare:
      return evaluate_chain(expression);
    case Form::kConcat:
      return evaluate_concat(expression);
    case Form::kConditional:
      if (is_true(operand())) return evaluate(expression.children[1]);
      if (expression.children[2] != kNoNode) return evaluate(expression.children[2]);
      return Undefined{"an if without an else"};
    case Form::kWritten: {
      const Value outer = std::exchange(body_, captured(expression.children[1]));
      const Value value = operand();
      body_ = outer;
      return value;
    }
    case Form::kUnsupported:
      unsupported(text(expression.name));
    default:
      return body_;  // kBody: the parser puts no statement where an expression belongs
  }
}

std::vector<Value> Evaluator::evaluate_all(const Node& expression) {
  std::vector<Value> values;
  for (const NodeId child : expression.children) values.push_back(evaluate(child));
  return values;
}

Value Evaluator::evaluate_name(const Node& expression) {
  for (const Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
    const auto found = scope->variables.find(expression.name);
    if (found != scope->variables.end()) return found->second;
  }
  if (const Native* function = jinja::find(functions(), expression.name)) return function;
  if (std::ranges::find(kUnknownNames, expression.name) != std::end(kUnknownNames)) {
    unsupported(text("the name \"", expression.name, "\""));
  }
  return Undefined{expression.name};
}

Value Evaluator::evaluate_dict(const Node& expression) {
  std::vector<std::pair<std::string_view, Value>> entries;
  for (std::size_t i = 0; i < expression.children.size(); i += 2) {
    const Value key = evaluate(expression.children[i]);
    const auto* name = as<String>(key);
    if (name == nullptr) unsupported(text("a ", type_name(key), " for the key of a dict"));
    const Value value = evaluate(expression.children[i + 1]);
    heap_.spend(entries.size());
    const auto old = std::ranges::find(entries, name->text, &std::pair<std::string_view, Value>::first);
    if (old == entries.end()) {
      entries.emplace_back(name->text, value);
    } else {
      old->second = value;
    }
  }
  return heap_.dict(std::move(entries));
}

Value Evaluator::evaluate_slice(const Node& expression) {
  const Value object = evaluate(expression.children[0]);
  const auto bound = [&](std::size_t i) -> Value {
    return expression.children[i] == kNoNode ? None{} : evaluate(expression.children[i]);
  };
  const Value start = bound(1);
  const Value stop = bound(2);
  return slice(heap_, object, start, stop, bound(3));
}

Value Evaluator::evaluate_chain(const Node& expression) {
  const bool compares = expression.form == Form::kCompare;
  Value left = evaluate(expression.children[0]);
  for (std::size_t i = 0; i < expression.operators.size(); ++i) {
    const std::string_view operation = expression.operators[i];
    if ((operation == "or" && is_true(left)) || (operation == "and" && !is_true(left))) return left;
    const Value right = evaluate(expression.children[i + 1]);
    line_ = expression.line;
    if (compares && !compare(heap_, operation, left, right)) return false;
    left = expression.form == Form::kArithmetic ? calculate(heap_, operation, left, right) : right;
  }
  return compares ? true : left;
}

Value Evaluator::evaluate_concat(const Node& expression) {
  Builder out(heap_);
  for (const Value& value : evaluate_all(expression)) out.append(to_text(heap_, value));
  return out.take();
}

Value Evaluator::evaluate_attribute(const Node& expression) {
  const Value object = evaluate(expression.children[0]);
  const Value key = expression.form == Form::kItem ? evaluate(expression.children[1]) : string_value(expression.name);
  line_ = expression.line;
  const auto* name = as<String>(key);
  if (const Loop* const* loop = as<const Loop*>(object); loop != nullptr && name != nullptr)
    return loop_attribute(**loop, name->text);
  return expression.form == Form::kItem ? item(heap_, object, key) : attribute(heap_, object, name->text);
}

Value Evaluator::loop_attribute(const Loop& loop, std::string_view name) const {
  const auto number = [](std::size_t value) -> Value { return static_cast<std::int64_t>(value); };
  if (name == "index") return number(loop.index + 1);
  if (name == "index0") return number(loop.index);
  if (name == "first") return loop.index == 0;
  if (name == "last") return loop.index + 1 == loop.items.size();
  if (name == "length") return number(loop.items.size());
  if (name == "revindex") return number(loop.items.size() - loop.index);
  if (name == "previtem") return loop.index == 0 ? Undefined{"loop.previtem"} : loop.items[loop.index - 1];
  unsupported(text("the attribute \"", name, "\" of loop"));
}

Arguments Evaluator::evaluate_arguments(const Node& expression) {
  if (expression.unpacked != kNoNode) static_cast<void>(evaluate(expression.unpacked));  // refuses it
  Arguments arguments;
  const std::size_t first_named = expression.children.size() - expression.names.size();
  for (std::size_t i = 1; i < expression.children.size(); ++i) {
    const Value value = evaluate(expression.children[i]);
    if (i < first_named) {
      arguments.positional.push_back(value);
    } else {
      arguments.named.emplace_back(expression.names[i - first_named], value);
    }
  }
  return arguments;
}

Value Evaluator::evaluate_call(const Node& expression) {
  const Value called = evaluate(expression.children[0]);
  const Arguments arguments = evaluate_arguments(expression);
  line_ = expression.line;
  if (expression.form == Form::kFilter) return jinja::run(heap_, filter(expression.name), called, arguments);
  if (expression.form == Form::kTest) return jinja::run(heap_, test(expression.name), called, arguments);
  if (const auto* function = as<const Native*>(called)) return jinja::run(heap_, **function, None{}, arguments);
  if (const auto* method = as<const Method*>(called)) {
    return jinja::run(heap_, *(*method)->native, (*method)->subject, arguments);
  }
  if (const auto* macro = as<const Macro*>(called)) return call_macro(**macro, arguments);
  if (const auto* undefined = as<Undefined>(called))
    refuse(text("a call of \"", undefined->name, "\", which is undefined"));
  refuse(text("a call of a ", type_name(called)));
}

Value Evaluator::call_macro(const Macro& macro, const Arguments& arguments) {
  const Node& statement = node(macro.node);
  Scope* const outer = std::exchange(scope_, heap_.scope(macro.defined_in));
  bind_parameters(statement, arguments);
  const Value written = captured(statement.children[0]);
  scope_ = outer;
  return written;
}

void Evaluator::bind_parameters(const Node& macro, const Arguments& arguments) {
  const std::size_t count = macro.names.size();
  if (arguments.positional.size() > count) {
    refuse(text(arguments.positional.size(), " arguments of the macro ", macro.name, ", which takes ", count));
  }
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) {
    heap_.bind(*scope_, macro.names[i], arguments.positional[i]);
  }
  for (const auto& [name, value] : arguments.named) {
    const bool is_known = std::ranges::find(macro.names, name) != macro.names.end();
    if (!is_known || scope_->variables.contains(name)) {
      refuse(text("the argument \"", name, "\" of the macro ", macro.name));
    }
    heap_.bind(*scope_, name, value);
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (scope_->variables.contains(macro.names[i])) continue;
    const NodeId otherwise = macro.children[i + 1];
    heap_.bind(*scope_, macro.names[i], otherwise == kNoNode ? Undefined{macro.names[i]} : evaluate(otherwise));
  }
}

void Evaluator::write(std::string_view written) {
  if (capture_ != nullptr) {
    capture_->append(written);
    return;
  }
  const std::size_t most = heap_.limits().output_bytes;
  if (written.size() > most - out_.size()) beyond_limit(text("a text of more than ", most, " bytes"));
  out_ += written;
}

Evaluator::Flow Evaluator::execute(NodeId id) {
  const Level level = call();
  heap_.spend();
  const Node& statement = node(id);
  line_ = statement.line;
  switch (statement.form) {
    case Form::kText:
      write(statement.name);
      break;
    case Form::kOutput:
      write(to_text(heap_, evaluate(statement.children[0])));
      break;
    case Form::kIf:
      return execute_if(statement);
    case Form::kFor:
      return execute_for(statement);
    case Form::kSet:
      assign(statement.children[0], evaluate(statement.children[1]));
      break;
    case Form::kMacro:
      heap_.bind(*scope_, statement.name, heap_.macro(id, scope_));
      break;
    case Form::kBreak:
      return Flow::kBreak;
    case Form::kContinue:
      return Flow::kContinue;
    case Form::kUnsupported:
      unsupported(text(statement.name));
    default:
      return execute_block(statement);
  }
  return Flow::kOn;
}

Evaluator::Flow Evaluator::execute_block(const Node& block) {
  for (const NodeId child : block.children) {
    if (const Flow flow = execute(child); flow != Flow::kOn) return flow;
  }
  return Flow::kOn;
}

Evaluator::Flow Evaluator::execute_if(const Node& statement) {
  const std::size_t count = statement.children.size();
  for (std::size_t i = 0; i + 1 < count; i += 2) {
    if (is_true(evaluate(statement.children[i]))) return execute(statement.children[i + 1]);
  }
  return count % 2 == 1 ? execute(statement.children.back()) : Flow::kOn;
}

Evaluator::Flow Evaluator::execute_for(const Node& statement) {
  const std::vector<NodeId>& parts = statement.children;
  if (parts[2] != kNoNode) unsupported(text("a loop with a condition"));
  if (parts[4] != kNoNode) unsupported(text("a loop with an else"));
  Loop& loop = *heap_.loop(iterate(heap_, evaluate(parts[1])));
  Scope* const outer = scope_;
  Scope* const inner = heap_.scope(outer);
  for (; loop.index < loop.items.size(); ++loop.index) {
    inner->variables.clear();
    scope_ = inner;
    heap_.bind(*inner, "loop", &loop);
    assign(parts[0], loop.items[loop.index]);
    const Flow flow = execute(parts[3]);
    scope_ = outer;
    if (flow == Flow::kBreak) break;
  }
  return Flow::kOn;
}

/// What a block writes, in a scope of its own.
Value Evaluator::captured(NodeId block) {
  Builder text(heap_);
  Builder* const outer = std::exchange(capture_, &text);
  Scope* const scope = std::exchange(scope_, heap_.scope(scope_));
  static_cast<void>(execute(block));  // the parser lets no loop be left from here
  scope_ = scope;
  capture_ = outer;
  return text.take();
}

void Evaluator::assign(NodeId id, const Value& value) {
  const Node& target = node(id);
  line_ = target.line;
  if (target.form == Form::kName) return heap_.bind(*scope_, target.name, value);
  if (target.form != Form::kAttribute) unsupported(text(target.name));
  const Value object = evaluate(target.children[0]);
  const auto* names = as<Scope*>(object);
  if (names == nullptr) refuse(text("the attribute \"", target.name, "\" is set of no namespace"));
  heap_.bind(**names, target.name, value);
}

}  // namespace rill::quant::jinja
