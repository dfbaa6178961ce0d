#pragma once
// What a template can call that is not its own: filters, tests, methods and functions, one table each. A row is a name,
// the numbers of arguments, and a C++ function.

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "quant/jinja/value.h"

namespace rill::quant::jinja {

/// What a call passes.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> named;
};

/// One call. Its arguments are numbered from 0.
struct Call {
  Heap& heap;
  const Native& native;
  const Value& subject;  ///< what a filter, test or method is applied to
  const Arguments& arguments;

  bool has(std::size_t i) const { return i < arguments.positional.size(); }
  const Value& operator[](std::size_t i) const { return arguments.positional[i]; }
  /// A str; refuses others.
  std::string_view text(std::size_t i) const;
  /// An int or bool; refuses others. @param otherwise  where it was left out
  std::int64_t integer(std::size_t i, std::int64_t otherwise) const;
  std::string_view subject_text() const { return to_text(heap, subject); }
  Value made(std::string text) const;  ///< charges
};

struct Native {
  std::string_view name;
  std::size_t least, most;  ///< arguments
  Value (*run)(const Call& call);
  bool takes_names = false;  ///< reads the named arguments itself; without, they are refused
};

std::span<const Native> functions();
std::span<const Native> string_methods();
std::span<const Native> dict_methods();
/// The method that strftime_now() is, of the time.
const Native& time_method();

/// Nullptr if there is none.
const Native* find(std::span<const Native> table, std::string_view name);
/// Refuses a name that the subset does not have.
const Native& filter(std::string_view name);
const Native& test(std::string_view name);

Value run(Heap& heap, const Native& native, const Value& subject, const Arguments& arguments);

}  // namespace rill::quant::jinja
