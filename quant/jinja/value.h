#pragma once
// How rendering fails, and Python's values as far as conversations need them. All that is made during a render lives on
// one heap until its end: values are copied freely, nothing is counted, and no chain of lists is destroyed by
// recursion.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "quant/jinja/render.h"

namespace rill::quant::jinja {

/// Why a template cannot be rendered.
struct Failure {
  enum class Kind : std::uint8_t {
    kRefused,      ///< Jinja2 or Python refuse it too
    kUnsupported,  ///< outside the subset
    kLimit,
  };
  Kind kind = Kind::kRefused;
  Text what;
  int line = 0;  ///< 0: the one that is being evaluated
};

/// raise_exception(...): the template itself refuses the conversation.
struct Raised {
  std::string message;
};

[[noreturn]] inline void refuse(const Text& what, int line = 0) { throw Failure{Failure::Kind::kRefused, what, line}; }
[[noreturn]] inline void unsupported(const Text& what, int line = 0) {
  throw Failure{Failure::Kind::kUnsupported, what, line};
}
[[noreturn]] inline void beyond_limit(const Text& what, int line = 0) {
  throw Failure{Failure::Kind::kLimit, what, line};
}

/// One more of what lies inside one another, as long as it lives; refuses one too many.
class Level {
 public:
  Level(int& level, int most, std::string_view what, int line = 0) : level_(level) {
    if (level >= most) beyond_limit(text("more than ", most, " ", what, " inside one another"), line);
    ++level;
  }
  ~Level() { --level_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

 private:
  int& level_;
};

struct Sequence;
struct Dict;
struct Scope;
struct Loop;
struct Macro;
struct Method;
struct Native;

struct Undefined {
  std::string_view name;  ///< of what is not there, for messages
};
struct None {};
/// UTF-8 that somebody else keeps: the template, the variables or the heap.
struct String {
  std::string_view text;
};

using Value = std::variant<Undefined, None, bool, std::int64_t, String, Sequence*, Dict*, Scope*, const Loop*,
                           const Macro*, const Method*, const Native*>;

template <typename T>
const T* as(const Value& value) {
  return std::get_if<T>(&value);
}
inline Value string_value(std::string_view text) { return String{text}; }
inline bool is_undefined(const Value& value) { return as<Undefined>(value) != nullptr; }
inline bool is_none(const Value& value) { return as<None>(value) != nullptr; }

/// What Python has several types for.
struct Sequence {
  enum class Kind : std::uint8_t {
    kList,
    kTuple,
    kRange,
    kIterator,  ///< of select() and the like: has no length nor index, and can be gone through once
  };
  Kind kind = Kind::kList;
  bool is_used = false;  ///< an iterator that was gone through
  int depth = 1;         ///< of values inside one another, this one included
  std::vector<Value> items;
};

struct Dict {
  int depth = 1;
  std::vector<std::pair<std::string_view, Value>> entries;  ///< in the order of insertion
};

/// Variables by name: of a block, or a namespace(), whose are the one thing that a template can change. A macro
/// remembers the scope that it was defined in.
struct Scope {
  const Scope* parent = nullptr;
  std::map<std::string_view, Value> variables;
  std::size_t most_variables = 0;  ///< so far: what the heap was charged for
};

/// A method of a value, which knows its value.
struct Method {
  const Native* native;
  Value subject;
};

/// A macro's node in the tree, and where its names are looked up.
struct Macro {
  std::uint32_t node;
  const Scope* defined_in;
};

/// The variable `loop`.
struct Loop {
  std::span<const Value> items;
  std::size_t index = 0;  ///< from 0, of the item that the body sees
};

/// Makes values and counts what they take; throws a Failure at a limit.
class Heap {
 public:
  explicit Heap(const Limits& limits) : limits_(limits) {}
  const Limits& limits() const { return limits_; }

  /// Counts work: one step, and what `bytes` of text or 16 times fewer values add to it.
  void spend(std::uint64_t bytes = 0);
  /// Counts memory before it is taken.
  void charge(std::size_t bytes);

  Value keep(std::string text);  ///< already charged for
  Sequence* sequence(Sequence::Kind kind, std::vector<Value> items);
  Dict* dict(std::vector<std::pair<std::string_view, Value>> entries);
  Scope* scope(const Scope* parent);
  void bind(Scope& scope, std::string_view name, const Value& value);
  const Method* method(const Native* native, const Value& subject) { return make(methods_, Method{native, subject}); }
  const Macro* macro(std::uint32_t node, const Scope* scope) { return make(macros_, Macro{node, scope}); }
  Loop* loop(std::span<const Value> items) { return make(loops_, Loop{.items = items}); }

 private:
  // What a value takes beside its bytes, rounded up: of the containers that the heap keeps it in.
  static constexpr std::size_t kOverhead = 64;

  int depth_over(const Value& value, int depth) const;
  template <typename T>
  T* make(std::deque<T>& all, T value) {
    charge(kOverhead);
    return &all.emplace_back(std::move(value));
  }

  Limits limits_;
  std::uint64_t steps_ = 0;
  std::size_t bytes_ = 0;
  std::deque<std::string> strings_;
  std::deque<Sequence> sequences_;
  std::deque<Dict> dicts_;
  std::deque<Scope> scopes_;
  std::deque<Method> methods_;
  std::deque<Macro> macros_;
  std::deque<Loop> loops_;
};

/// A text that grows, within the heap's limits.
class Builder {
 public:
  explicit Builder(Heap& heap) : heap_(heap) {}
  Builder& append(std::string_view part) {
    heap_.charge(part.size());
    text_.append(part);
    return *this;
  }
  Value take() { return heap_.keep(std::move(text_)); }

 private:
  Heap& heap_;
  std::string text_;
};

/// As in Python, in messages: 'str', 'list', ...
std::string_view type_name(const Value& value);
/// An int or a bool; none for anything else.
std::optional<std::int64_t> as_integer(const Value& value);
bool is_true(const Value& value);
/// Python's ==.
bool equal(Heap& heap, const Value& a, const Value& b);
/// Python's `item in container`.
bool contains(Heap& heap, const Value& container, const Value& item);
/// The entry of a dictionary, or nullptr.
const Value* find(Heap& heap, const Dict& dict, std::string_view key);
/// What a loop goes through; refuses what cannot be iterated, and an iterator's second use.
std::span<const Value> iterate(Heap& heap, const Value& value);
/// Number of characters, items or entries; refuses what has none.
std::int64_t length(Heap& heap, const Value& value);
/// Bytes or 16 times the values to look through: what spend() takes.
std::size_t extent(const Value& value);
/// Python's str(), but of what holds other values.
std::string_view to_text(Heap& heap, const Value& value);

// Between operators, behind dots and in brackets, as the immutable sandbox allows it: operations.cc.

Value calculate(Heap& heap, std::string_view operation, const Value& a, const Value& b);
bool compare(Heap& heap, std::string_view operation, const Value& a, const Value& b);

/// object.name: a method if there is one of that name, else the entry. Undefined if there is neither; refuses one of
/// Undefined, what the sandbox keeps back, and what Python has but the subset does not.
Value attribute(Heap& heap, const Value& object, std::string_view name);
/// object[key]: the entry or item, else the method.
Value item(Heap& heap, const Value& object, const Value& key);
/// object[start:stop:step]. A bound is an int or None.
Value slice(Heap& heap, const Value& object, const Value& start, const Value& stop, const Value& step);

/// @param json  its strings are borrowed. Refuses strings that are no UTF-8, other numbers than integers of 64 bits.
Value import_json(Heap& heap, const nlohmann::ordered_json& json, int level = 1);

}  // namespace rill::quant::jinja
