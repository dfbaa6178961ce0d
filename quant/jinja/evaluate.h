#pragma once
// Walks the tree and writes what it renders.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "quant/jinja/native.h"
#include "quant/jinja/syntax.h"

namespace rill::quant::jinja {

/// Runs one template once. Throws a Failure or Raised.
class Evaluator {
 public:
  /// @param tree, variables  borrowed for the evaluator's life
  Evaluator(const Tree& tree, const nlohmann::ordered_json& variables, const Limits& limits);

  std::string run();
  /// The line that is being evaluated.
  int line() const { return line_; }

 private:
  enum class Flow : std::uint8_t { kOn, kBreak, kContinue };
  /// Counts a call of evaluate() or execute(): their depth is that of the tree, times that of macros in macros.
  Level call() { return Level(depth_, 16 * heap_.limits().depth, "calls"); }

  const Node& node(NodeId id) const { return tree_.nodes[id]; }

  // Statements.
  Flow execute(NodeId id);
  Flow execute_block(const Node& block);
  Flow execute_if(const Node& statement);
  Flow execute_for(const Node& statement);
  void assign(NodeId target, const Value& value);
  Value captured(NodeId block);
  void write(std::string_view text);

  // Expressions.
  Value evaluate(NodeId id);
  Value evaluate_form(const Node& expression);
  std::vector<Value> evaluate_all(const Node& expression);
  Value evaluate_name(const Node& expression);
  Value evaluate_dict(const Node& expression);
  Value evaluate_slice(const Node& expression);
  Value evaluate_chain(const Node& expression);
  Value evaluate_concat(const Node& expression);
  Value evaluate_attribute(const Node& expression);
  Value evaluate_call(const Node& expression);
  Arguments evaluate_arguments(const Node& expression);
  Value call_macro(const Macro& macro, const Arguments& arguments);
  void bind_parameters(const Node& macro, const Arguments& arguments);
  Value loop_attribute(const Loop& loop, std::string_view name) const;

  const Tree& tree_;
  Heap heap_;
  Scope* scope_;
  std::string out_;
  Builder* capture_ = nullptr;  // where text goes instead of out_
  Value body_;                  // what kBody stands for
  int depth_ = 0;
  int line_ = 1;
};

}  // namespace rill::quant::jinja
