#pragma once
// A template as a tree: nodes in one array that name one another by index.

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "quant/jinja/value.h"

namespace rill::quant::jinja {

using NodeId = std::uint32_t;
inline constexpr NodeId kNoNode = UINT32_MAX;  ///< a part that a template left out

/// What a node is, and its children in [ ]; "..." is any number. A call's last children are what its names stand for.
enum class Form : std::uint8_t {
  kUnsupported,  // [parts...], named: an expression or a statement outside the subset
  // expressions
  kConstant,
  kName,
  kTuple,        // [items...]
  kList,         // [items...]
  kDict,         // [key, value, key, value...]
  kAttribute,    // [object]
  kItem,         // [object, index]
  kSlice,        // [object, start, stop, step], each of the last three may be kNoNode
  kCall,         // [function, arguments...]
  kFilter,       // [subject, arguments...]
  kTest,         // [subject, arguments...]
  kWritten,      // [expression over kBody, block]: what the block writes, behind its filters
  kBody,         // the text of a block that a filter is applied to
  kNot,          // [operand]
  kNegative,     // [operand]
  kLogic,        // [operands...], "or" or "and" between each two
  kArithmetic,   // [operands...], an operator between each two, from left to right
  kConcat,       // [operands...]
  kCompare,      // [operands...], an operator between each two, all of which must hold
  kConditional,  // [test, value if true, value if false or kNoNode]
  // statements
  kText,
  kOutput,  // [expression]
  kBlock,   // [statements...]
  kIf,      // [test, block, test, block..., the else block if their number is odd]
  kFor,     // [target, iterable, condition or kNoNode, block, else block or kNoNode]
  kSet,     // [target, expression], a target being a name, an attribute or unsupported
  kMacro,   // [block, default or kNoNode of each parameter]
  kBreak,
  kContinue,
};

struct Node {
  Form form = Form::kBlock;
  int line = 0;
  int height = 1;              ///< of the tree below, this node included
  std::string_view name = {};  ///< of a variable, attribute, filter, test or macro; a text
  Value constant = {};
  std::vector<NodeId> children = {};
  std::vector<std::string_view> names = {};      ///< a call's keywords, a macro's parameters
  std::vector<std::string_view> operators = {};  ///< such as "not in"
  NodeId unpacked = kNoNode;                     ///< what a call passes with *
};

struct Tree {
  std::string source;             ///< with "\n" at the ends of lines; what the names lie in
  std::deque<std::string> texts;  ///< strings that had escapes
  std::vector<Node> nodes;
  NodeId root = kNoNode;
};

/// @param source  valid UTF-8; copied. @param depth  of the tree
/// @param tree    filled; it must stay where it is, as its nodes' names lie in its texts
/// Throws a Failure that names what is no Jinja2.
void parse(std::string_view source, int depth, Tree& tree);

}  // namespace rill::quant::jinja
