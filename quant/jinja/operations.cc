#include "quant/jinja/value.h"

#include <algorithm>
#include <limits>

#include "quant/jinja/native.h"
#include "quant/jinja/python_text.h"

namespace rill::quant::jinja {
namespace {

/// Names that Python's types have beside our tables, separated by spaces. Not to be mistaken for what is not there.
constexpr std::string_view kStringNames =
    " casefold center count encode expandtabs find format format_map index isalnum isalpha isascii isdecimal isdigit "
    "isidentifier islower isnumeric isprintable isspace istitle isupper join ljust maketrans partition removeprefix "
    "removesuffix rfind rindex rjust rpartition rsplit splitlines swapcase translate zfill ";
constexpr std::string_view kDictNames = " copy fromkeys items keys values ";
/// Those that change a dictionary: the sandbox says that they are undefined.
constexpr std::string_view kDictChanges = " clear pop popitem setdefault update ";

bool has_word(std::string_view words, std::string_view name) {
  return words.find(std::string(" ").append(name).append(" ")) != std::string_view::npos;
}

void refuse_undefined(const Value& value) {
  const auto* undefined = as<Undefined>(value);
  if (undefined != nullptr) refuse(text("an operator beside \"", undefined->name, "\", which is undefined"));
}

[[noreturn]] void refuse_undefined(const Undefined& object, std::string_view what) {
  refuse(text("\"", what, "\" of \"", object.name, "\", which is undefined"));
}

std::int64_t of_integers(std::string_view operation, std::int64_t a, std::int64_t b) {
  const bool divides = operation == "//" || operation == "%";
  if (divides && b == 0) refuse(text("a division by zero"));
  if (operation == "%") {
    const std::int64_t rest = b == -1 ? 0 : a % b;  // the one quotient beyond 64 bits
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
  }
  std::int64_t result = 0;
  bool is_too_large = false;
  if (operation == "+") {
    is_too_large = __builtin_add_overflow(a, b, &result);
  } else if (operation == "-") {
    is_too_large = __builtin_sub_overflow(a, b, &result);
  } else if (operation == "*") {
    is_too_large = __builtin_mul_overflow(a, b, &result);
  } else {
    is_too_large = a == std::numeric_limits<std::int64_t>::min() && b == -1;
    if (!is_too_large) result = a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
  }
  if (is_too_large) unsupported(text("an integer beyond 64 bits"));
  return result;
}

Value joined(Heap& heap, const Sequence& a, const Sequence& b) {
  heap.charge((a.items.size() + b.items.size()) * sizeof(Value));
  std::vector<Value> items = a.items;
  items.insert(items.end(), b.items.begin(), b.items.end());
  return heap.sequence(a.kind, std::move(items));
}

/// What Python's getattr() finds; none if nothing.
std::optional<Value> member(Heap& heap, const Value& object, std::string_view name) {
  if (name.starts_with("_")) unsupported(text("the attribute \"", name, "\""));
  if (const auto* names = as<Scope*>(object)) {
    const auto found = (*names)->variables.find(name);
    return found == (*names)->variables.end() ? std::nullopt : std::optional(found->second);
  }
  if (is_none(object)) return std::nullopt;
  const bool is_dict = as<Dict*>(object) != nullptr;
  if (is_dict || as<String>(object) != nullptr) {
    if (const Native* found = find(is_dict ? dict_methods() : string_methods(), name))
      return heap.method(found, object);
    if (is_dict && has_word(kDictChanges, name)) return Undefined{name};
    if (!has_word(is_dict ? kDictNames : kStringNames, name)) return std::nullopt;
  }
  unsupported(text("the attribute \"", name, "\" of a ", type_name(object)));
}

std::optional<Value> element(Heap& heap, const Value& object, std::int64_t index) {
  const auto* sequence = as<Sequence*>(object);
  const auto* string = as<String>(object);
  if (string == nullptr && (sequence == nullptr || (*sequence)->kind == Sequence::Kind::kIterator)) return std::nullopt;
  const std::int64_t size = length(heap, object);
  if (index < 0) index += size;
  if (index < 0 || index >= size) return std::nullopt;
  if (string == nullptr) return (*sequence)->items[static_cast<std::size_t>(index)];
  return string_value(first_of(string->text.substr(offset_of(string->text, index))));
}

/// Where a slice's bound lies in 0..size, or from -1 to size - 1 of a slice that goes backwards. Python's
/// PySlice_Unpack.
std::int64_t bound_of(const Value& bound, std::int64_t size, bool is_backwards, std::int64_t otherwise) {
  if (is_none(bound)) return otherwise;
  const auto index = as_integer(bound);
  if (!index) refuse(text("a ", type_name(bound), " for the bound of a slice"));
  const std::int64_t least = is_backwards ? -1 : 0;
  return std::clamp(*index < 0 ? *index + size : *index, least, size + least);
}

}  // namespace

Value calculate(Heap& heap, std::string_view operation, const Value& a, const Value& b) {
  refuse_undefined(a);
  refuse_undefined(b);
  if (operation == "/" || operation == "**") unsupported(text("the operator ", operation));
  const auto integer_a = as_integer(a);
  const auto integer_b = as_integer(b);
  if (integer_a && integer_b) return of_integers(operation, *integer_a, *integer_b);
  if (operation == "+") {
    const auto* string_a = as<String>(a);
    const auto* string_b = as<String>(b);
    if (string_a != nullptr && string_b != nullptr) {
      return Builder(heap).append(string_a->text).append(string_b->text).take();
    }
    const auto* items_a = as<Sequence*>(a);
    const auto* items_b = as<Sequence*>(b);
    if (items_a != nullptr && items_b != nullptr && (*items_a)->kind == (*items_b)->kind &&
        (*items_a)->kind <= Sequence::Kind::kTuple) {
      return joined(heap, **items_a, **items_b);
    }
  }
  const bool is_known = operation == "+" || operation == "-";
  const Text what = text("the operator ", operation, " between a ", type_name(a), " and a ", type_name(b));
  if (is_known) refuse(what);
  unsupported(what);  // such as 'a' * 3
}

bool compare(Heap& heap, std::string_view operation, const Value& a, const Value& b) {
  if (operation == "==") return equal(heap, a, b);
  if (operation == "!=") return !equal(heap, a, b);
  if (operation == "in") return contains(heap, b, a);
  if (operation == "not in") return !contains(heap, b, a);
  refuse_undefined(a);
  refuse_undefined(b);
  const auto x = as_integer(a);
  const auto y = as_integer(b);
  if (!x || !y) unsupported(text("an order of a ", type_name(a), " and a ", type_name(b)));
  if (operation == "<") return *x < *y;
  if (operation == ">") return *x > *y;
  return operation == "<=" ? *x <= *y : *x >= *y;
}

Value attribute(Heap& heap, const Value& object, std::string_view name) {
  if (const auto* undefined = as<Undefined>(object)) refuse_undefined(*undefined, name);
  if (const auto found = member(heap, object, name)) return *found;
  if (const auto* dict = as<Dict*>(object)) {
    if (const Value* entry = find(heap, **dict, name)) return *entry;
  }
  return Undefined{name};
}

Value item(Heap& heap, const Value& object, const Value& key) {
  const auto* name = as<String>(key);
  if (const auto* undefined = as<Undefined>(object)) {
    refuse_undefined(*undefined, name != nullptr ? name->text : "an item");
  }
  const auto* dict = as<Dict*>(object);
  if (dict != nullptr && name != nullptr) {
    if (const Value* entry = find(heap, **dict, name->text)) return *entry;
  } else if (const auto index = as_integer(key)) {
    if (auto found = element(heap, object, *index)) return *found;
  }
  return name != nullptr ? attribute(heap, object, name->text) : Undefined{"an item"};
}

Value slice(Heap& heap, const Value& object, const Value& start, const Value& stop, const Value& step) {
  const auto* string = as<String>(object);
  const auto* sequence = as<Sequence*>(object);
  if (string == nullptr && sequence == nullptr) refuse(text("a slice of a ", type_name(object)));
  const auto stride = is_none(step) ? std::int64_t{1} : as_integer(step);
  if (!stride || *stride == 0) refuse(text("a slice of step 0, or of no number"));
  const bool is_backwards = *stride < 0;
  const std::int64_t size = length(heap, object);
  const std::int64_t begin = bound_of(start, size, is_backwards, is_backwards ? size - 1 : 0);
  const std::int64_t end = bound_of(stop, size, is_backwards, is_backwards ? -1 : size);
  if (string != nullptr) {
    if (*stride != 1) unsupported(text("a slice of a str with a step"));
    if (end <= begin) return string_value({});
    const std::string_view rest = string->text.substr(offset_of(string->text, begin));
    return string_value(rest.substr(0, offset_of(rest, end - begin)));
  }
  std::vector<Value> taken;
  for (std::int64_t at = begin; is_backwards ? at > end : at < end;) {
    taken.push_back((*sequence)->items[static_cast<std::size_t>(at)]);
    if (__builtin_add_overflow(at, *stride, &at)) break;
  }
  return heap.sequence((*sequence)->kind, std::move(taken));
}

}  // namespace rill::quant::jinja
