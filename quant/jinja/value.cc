#include "quant/jinja/value.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "quant/jinja/python_text.h"

namespace rill::quant::jinja {
namespace {

std::string_view import_string(const std::string& string) {
  if (!is_utf8(string)) refuse(text("a variable's text that is no UTF-8"));
  return string;
}

std::int64_t import_number(const nlohmann::ordered_json& json) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (json.is_number_float()) unsupported(text("a variable that is a float"));
  if (json.is_number_unsigned() && json.get<std::uint64_t>() > kMost) unsupported(text("an integer beyond 64 bits"));
  return json.get<std::int64_t>();
}

}  // namespace

void Heap::spend(std::uint64_t bytes) {
  steps_ += 1 + bytes / 64;
  if (steps_ > limits_.steps) beyond_limit(text("more than ", limits_.steps, " steps"));
}

void Heap::charge(std::size_t bytes) {
  if (bytes > limits_.value_bytes - bytes_) beyond_limit(text("values of more than ", limits_.value_bytes, " bytes"));
  bytes_ += bytes;
}

Value Heap::keep(std::string text) {
  charge(kOverhead);
  return string_value(strings_.emplace_back(std::move(text)));
}

int Heap::depth_over(const Value& value, int depth) const {
  if (const auto* sequence = as<Sequence*>(value)) depth = std::max(depth, (*sequence)->depth + 1);
  if (const auto* dict = as<Dict*>(value)) depth = std::max(depth, (*dict)->depth + 1);
  if (depth > limits_.depth) beyond_limit(text("more than ", limits_.depth, " values inside one another"));
  return depth;
}

Sequence* Heap::sequence(Sequence::Kind kind, std::vector<Value> items) {
  charge(kOverhead + items.size() * sizeof(Value));
  int depth = 1;
  for (const Value& item : items) depth = depth_over(item, depth);
  return &sequences_.emplace_back(Sequence{.kind = kind, .depth = depth, .items = std::move(items)});
}

Dict* Heap::dict(std::vector<std::pair<std::string_view, Value>> entries) {
  charge(kOverhead + entries.size() * 2 * sizeof(Value));
  int depth = 1;
  for (const auto& [key, value] : entries) depth = depth_over(value, depth);
  return &dicts_.emplace_back(Dict{.depth = depth, .entries = std::move(entries)});
}

Scope* Heap::scope(const Scope* parent) {
  charge(2 * kOverhead);
  return &scopes_.emplace_back(Scope{.parent = parent, .variables = {}});
}

void Heap::bind(Scope& scope, std::string_view name, const Value& value) {
  scope.variables[name] = value;
  if (scope.variables.size() <= scope.most_variables) return;
  charge(2 * kOverhead);
  scope.most_variables = scope.variables.size();
}

std::string_view type_name(const Value& value) {
  if (const auto* sequence = as<Sequence*>(value)) {
    static constexpr std::string_view kNames[] = {"list", "tuple", "range", "iterator"};
    return kNames[static_cast<std::size_t>((*sequence)->kind)];
  }
  static constexpr std::string_view kNames[] = {"Undefined", "None",      "bool",        "int",   "str",    "list",
                                                "dict",      "Namespace", "LoopContext", "Macro", "method", "function"};
  static_assert(std::size(kNames) == std::variant_size_v<Value>);
  return kNames[value.index()];
}

std::optional<std::int64_t> as_integer(const Value& value) {
  if (const auto* integer = as<std::int64_t>(value)) return *integer;
  if (const bool* boolean = as<bool>(value)) return *boolean ? 1 : 0;
  return std::nullopt;
}

bool is_true(const Value& value) {
  if (is_undefined(value) || is_none(value)) return false;
  if (const auto number = as_integer(value)) return *number != 0;
  const auto* sequence = as<Sequence*>(value);
  if (sequence != nullptr && (*sequence)->kind == Sequence::Kind::kIterator) return true;
  const bool is_sized = sequence != nullptr || as<String>(value) != nullptr || as<Dict*>(value) != nullptr;
  return !is_sized || extent(value) > 0;
}

bool equal(Heap& heap, const Value& a, const Value& b) {
  heap.spend();
  const auto number_a = as_integer(a);
  const auto number_b = as_integer(b);
  if (number_a && number_b) return *number_a == *number_b;
  if (a.index() != b.index()) return false;
  if (const auto* string = as<String>(a)) {
    const std::string_view other = as<String>(b)->text;
    if (string->text.size() != other.size()) return false;
    heap.spend(other.size());
    return string->text == other;
  }
  if (!is_undefined(a) && !is_none(a)) unsupported(text("a comparison of a ", type_name(a), " and a ", type_name(b)));
  return true;
}

bool contains(Heap& heap, const Value& container, const Value& item) {
  const auto* string = as<String>(item);
  if (const auto* whole = as<String>(container)) {
    if (string == nullptr) refuse(text("a ", type_name(item), " in a str"));
    heap.spend(whole->text.size());
    return find_part(whole->text, string->text) != std::string_view::npos;
  }
  if (const auto* dict = as<Dict*>(container)) {
    if (string == nullptr) unsupported(text("a ", type_name(item), " in a dict"));
    return find(heap, **dict, string->text) != nullptr;
  }
  return std::ranges::any_of(iterate(heap, container), [&](const Value& other) { return equal(heap, other, item); });
}

const Value* find(Heap& heap, const Dict& dict, std::string_view key) {
  heap.spend(dict.entries.size() + key.size());
  for (const auto& [other, value] : dict.entries) {
    if (other == key) return &value;
  }
  return nullptr;
}

std::span<const Value> iterate(Heap& heap, const Value& value) {
  heap.spend(extent(value));
  if (is_undefined(value)) return {};
  if (const auto* sequence = as<Sequence*>(value)) {
    if ((*sequence)->is_used) unsupported(text("a second pass over an iterator"));
    (*sequence)->is_used = (*sequence)->kind == Sequence::Kind::kIterator;
    return (*sequence)->items;
  }
  std::vector<Value> made;
  if (const auto* string = as<String>(value)) {
    for (std::string_view rest = string->text; !rest.empty(); rest.remove_prefix(first_of(rest).size())) {
      heap.charge(sizeof(Value));
      made.push_back(string_value(first_of(rest)));
    }
  } else if (const auto* dict = as<Dict*>(value)) {
    for (const auto& [key, entry] : (*dict)->entries) made.push_back(string_value(key));
  } else {
    if (as<const Loop*>(value) != nullptr) unsupported(text("a pass over the variable \"loop\""));
    refuse(text("a pass over a ", type_name(value)));
  }
  return heap.sequence(Sequence::Kind::kList, std::move(made))->items;
}

std::int64_t length(Heap& heap, const Value& value) {
  heap.spend(extent(value));
  if (is_undefined(value)) return 0;
  if (const auto* string = as<String>(value)) return count_characters(string->text);
  if (const auto* dict = as<Dict*>(value)) return static_cast<std::int64_t>((*dict)->entries.size());
  if (as<const Loop*>(value) != nullptr) unsupported(text("the length of the variable \"loop\""));
  const auto* sequence = as<Sequence*>(value);
  if (sequence == nullptr || (*sequence)->kind == Sequence::Kind::kIterator) {
    refuse(text("the length of a ", type_name(value)));
  }
  return static_cast<std::int64_t>((*sequence)->items.size());
}

std::size_t extent(const Value& value) {
  if (const auto* string = as<String>(value)) return string->text.size();
  if (const auto* sequence = as<Sequence*>(value)) return (*sequence)->items.size() * 4;
  if (const auto* dict = as<Dict*>(value)) return (*dict)->entries.size() * 4;
  return 0;
}

std::string_view to_text(Heap& heap, const Value& value) {
  if (const auto* string = as<String>(value)) return string->text;
  if (is_undefined(value)) return {};
  if (is_none(value)) return "None";
  if (const bool* boolean = as<bool>(value)) return *boolean ? "True" : "False";
  const auto* integer = as<std::int64_t>(value);
  if (integer == nullptr) unsupported(text("the text of a ", type_name(value)));
  return as<String>(Builder(heap).append(std::to_string(*integer)).take())->text;
}

Value import_json(Heap& heap, const nlohmann::ordered_json& json, int level) {
  if (level > heap.limits().depth) beyond_limit(text("variables more than ", heap.limits().depth, " levels deep"));
  if (json.is_null()) return None{};
  if (json.is_string()) return string_value(import_string(json.get_ref<const std::string&>()));
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number()) return import_number(json);
  if (json.is_array()) {
    std::vector<Value> items;
    for (const auto& item : json) items.push_back(import_json(heap, item, level + 1));
    return heap.sequence(Sequence::Kind::kList, std::move(items));
  }
  if (!json.is_object()) unsupported(text("a variable that is a ", json.type_name()));
  std::vector<std::pair<std::string_view, Value>> entries;
  for (const auto& [key, value] : json.items()) {
    entries.emplace_back(import_string(key), import_json(heap, value, level + 1));
  }
  return heap.dict(std::move(entries));
}

}  // namespace rill::quant::jinja
