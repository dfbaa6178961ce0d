// Functions, tests, and methods and filters of texts, lists and dictionaries. Source: Jinja2's Template Designer
// Documentation, Python's "Built-in Types", transformers' chat_template_utils.py.

#include "quant/jinja/native.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <string>

#include "quant/jinja/python_text.h"

namespace rill::quant::jinja {
namespace {

/// As the sandbox has it.
constexpr std::int64_t kLongestRange = 100'000;

[[noreturn]] void bad_argument(const Call& call, std::size_t i) {
  unsupported(text("argument ", i + 1, " of ", call.native.name, "(): a ", type_name(call[i])));
}

Value range(const Call& call) {
  const bool has_start = call.has(1);
  const std::int64_t start = has_start ? call.integer(0, 0) : 0;
  const std::int64_t stop = call.integer(has_start ? 1 : 0, 0);
  const std::int64_t step = call.integer(2, 1);
  if (step == 0) refuse(text("a range of step 0"));
  std::vector<Value> items;
  for (std::int64_t at = start; step > 0 ? at < stop : at > stop;) {
    items.emplace_back(at);
    if (static_cast<std::int64_t>(items.size()) > kLongestRange) refuse(text("a range of more than ", kLongestRange));
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  return call.heap.sequence(Sequence::Kind::kRange, std::move(items));
}

Value make_namespace(const Call& call) {
  Scope* names = call.heap.scope(nullptr);
  for (const auto& [name, value] : call.arguments.named) call.heap.bind(*names, name, value);
  return names;
}

Value raise(const Call& call) { throw Raised{std::string(to_text(call.heap, call[0]))}; }

Value tell_time(const Call& call) {
  const auto* seconds = as<std::int64_t>(call.subject);
  if (seconds == nullptr) unsupported(text("a time that is a ", type_name(call.subject)));
  const auto time = static_cast<std::time_t>(*seconds);
  std::tm parts{};
  if (::gmtime_r(&time, &parts) == nullptr) refuse(text("a time beyond the calendar"));
  const std::string_view format = call.text(0);
  Builder out(call.heap);
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out.append(format.substr(i, 1));
      continue;
    }
    const std::size_t letters = format.substr(i + 1).starts_with('-') ? 2 : 1;
    const std::string directive(format.substr(i, letters + 1));
    if (directive.size() <= letters ||
        std::string_view("aAbBdHIjmMpSyY%").find(directive.back()) == std::string_view::npos) {
      unsupported(text("the time's format \"", directive, "\""));
    }
    std::array<char, 64> told{};  // in the C locale
    out.append({told.data(), std::strftime(told.data(), told.size(), directive.c_str(), &parts)});
    i += letters;
  }
  return out.take();
}

constexpr Native kFunctions[] = {
    {"range", 1, 3, range},
    {"namespace", 0, 0, make_namespace, /*takes_names=*/true},
    {"raise_exception", 1, 1, raise},
};
constexpr Native kTime = {"strftime_now", 1, 1, tell_time};

Value strip(const Call& call, bool left, bool right) {
  const std::string_view chars = call.has(0) ? call.text(0) : std::string_view();
  const std::string_view* set = call.has(0) ? &chars : nullptr;
  call.heap.spend(std::uint64_t{call.subject_text().size()} * (1 + chars.size() / 16));
  std::string_view rest = call.subject_text();
  if (left) rest = strip_left(rest, set);
  if (right) rest = strip_right(rest, set);
  return string_value(rest);
}

Value split(const Call& call) {
  std::string_view rest = call.subject_text();
  const std::string_view separator = call.text(0);
  if (separator.empty()) refuse(text("an empty separator"));
  const std::int64_t most = call.integer(1, -1);
  std::vector<Value> parts;
  while (most < 0 || static_cast<std::int64_t>(parts.size()) < most) {
    const std::size_t found = find_part(rest, separator);
    if (found == std::string_view::npos) break;
    parts.push_back(string_value(rest.substr(0, found)));
    rest.remove_prefix(found + separator.size());
    call.heap.charge(sizeof(Value));
  }
  parts.push_back(string_value(rest));
  return call.heap.sequence(Sequence::Kind::kList, std::move(parts));
}

Value replace(const Call& call) {
  const std::string_view old = call.text(0);
  if (old.empty()) unsupported(text("replace() of an empty str"));
  std::string_view rest = call.subject_text();
  Builder out(call.heap);
  for (std::int64_t left = call.integer(2, -1); left != 0; --left) {
    const std::size_t found = find_part(rest, old);
    if (found == std::string_view::npos) break;
    out.append(rest.substr(0, found)).append(call.text(1));
    rest.remove_prefix(found + old.size());
  }
  return out.append(rest).take();
}

Value with_case(const Call& call, std::string (*change)(std::string_view)) {
  return call.made(change(call.subject_text()));
}

Value entry_or(const Call& call) {
  const Value* entry = find(call.heap, **as<Dict*>(call.subject), call.text(0));
  return entry != nullptr ? *entry : call.has(1) ? call[1] : None{};
}

constexpr Native kStringMethods[] = {
    {"strip", 0, 1, [](const Call& call) { return strip(call, true, true); }},
    {"lstrip", 0, 1, [](const Call& call) { return strip(call, true, false); }},
    {"rstrip", 0, 1, [](const Call& call) { return strip(call, false, true); }},
    {"split", 1, 2, split},
    {"startswith", 1, 1, [](const Call& call) -> Value { return call.subject_text().starts_with(call.text(0)); }},
    {"endswith", 1, 1, [](const Call& call) -> Value { return call.subject_text().ends_with(call.text(0)); }},
    {"upper", 0, 0, [](const Call& call) { return with_case(call, upper); }},
    {"lower", 0, 0, [](const Call& call) { return with_case(call, lower); }},
    {"title", 0, 0, [](const Call& call) { return with_case(call, title); }},
    {"capitalize", 0, 0, [](const Call& call) { return with_case(call, capitalize); }},
    {"replace", 2, 3, replace},
};

constexpr Native kDictMethods[] = {{"get", 1, 2, entry_or}};

Value list_of(const Call& call) {
  const std::span<const Value> items = iterate(call.heap, call.subject);
  return call.heap.sequence(Sequence::Kind::kList, {items.begin(), items.end()});
}

Value first(const Call& call) {
  const std::span<const Value> items = iterate(call.heap, call.subject);
  return items.empty() ? Undefined{"the first item of nothing"} : items.front();
}

Value last(const Call& call) {
  const auto* sequence = as<Sequence*>(call.subject);
  if (is_undefined(call.subject) || (sequence != nullptr && (*sequence)->kind == Sequence::Kind::kIterator)) {
    refuse(text("the last item of a ", type_name(call.subject)));
  }
  const std::span<const Value> items = iterate(call.heap, call.subject);
  return items.empty() ? Undefined{"the last item of nothing"} : items.back();
}

Value join(const Call& call) {
  const std::string_view separator = call.has(0) ? to_text(call.heap, call[0]) : std::string_view();
  Builder out(call.heap);
  for (bool is_first = true; const Value& item : iterate(call.heap, call.subject)) {
    if (!is_first) out.append(separator);
    is_first = false;
    out.append(to_text(call.heap, item));
  }
  return out.take();
}

Value default_for(const Call& call) {
  const bool replaces_false = call.has(1) && is_true(call[1]);
  if (!is_undefined(call.subject) && (!replaces_false || is_true(call.subject))) return call.subject;
  return call.has(0) ? call[0] : string_value("");
}

Value integer_of(const Call& call) {
  if (const auto integer = as_integer(call.subject)) return *integer;
  const auto* digits = as<String>(call.subject);
  const std::string_view rest = digits != nullptr ? digits->text : std::string_view();
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (error != std::errc() || end != rest.data() + rest.size()) unsupported(text("int of what is no decimal integer"));
  return value;
}

/// What select() and the like go through: nothing of what is false, which need not be a sequence then.
std::span<const Value> items_if_true(const Call& call) {
  return is_true(call.subject) ? iterate(call.heap, call.subject) : std::span<const Value>();
}

/// What the argument `attribute` of a filter names; one name, without dots or digits.
Value named_item(const Call& call, const Value& object, const Value& path) {
  const auto* name = as<String>(path);
  if (name == nullptr || name->text.find_first_of(".0123456789") != std::string_view::npos) {
    unsupported(text("an attribute for ", call.native.name, " that is no single name"));
  }
  return item(call.heap, object, path);
}

Value map(const Call& call) {
  if (call.arguments.named.size() != 1 || call.arguments.named[0].first != "attribute") {
    unsupported(text("map without an attribute alone"));
  }
  std::vector<Value> out;
  for (const Value& item : items_if_true(call)) out.push_back(named_item(call, item, call.arguments.named[0].second));
  return call.heap.sequence(Sequence::Kind::kIterator, std::move(out));
}

/// select(test, ...), selectattr(attribute, test, ...) and those that reject; without a test, what is true.
Value choose(const Call& call, bool has_attribute, bool keeps) {
  const std::size_t place = has_attribute ? 1 : 0;
  const Native* function = call.has(place) ? &test(call.text(place)) : nullptr;
  Arguments rest;
  for (std::size_t i = place + 1; call.has(i); ++i) rest.positional.push_back(call[i]);
  std::vector<Value> out;
  for (const Value& item : items_if_true(call)) {
    const Value looked_at = has_attribute ? named_item(call, item, call[0]) : item;
    const bool holds = is_true(function != nullptr ? run(call.heap, *function, looked_at, rest) : looked_at);
    if (holds == keeps) out.push_back(item);
  }
  return call.heap.sequence(Sequence::Kind::kIterator, std::move(out));
}

Value length_of(const Call& call) { return length(call.heap, call.subject); }

constexpr Native kFilters[] = {
    {"trim", 0, 1, [](const Call& call) { return strip(call, true, true); }},
    {"upper", 0, 0, [](const Call& call) { return with_case(call, upper); }},
    {"lower", 0, 0, [](const Call& call) { return with_case(call, lower); }},
    {"capitalize", 0, 0, [](const Call& call) { return with_case(call, capitalize); }},
    {"replace", 2, 3, replace},
    {"string", 0, 0, [](const Call& call) { return string_value(call.subject_text()); }},
    {"default", 0, 2, default_for},
    {"d", 0, 2, default_for},
    {"int", 0, 0, integer_of},
    {"length", 0, 0, length_of},
    {"count", 0, 0, length_of},
    {"list", 0, 0, list_of},
    {"first", 0, 0, first},
    {"last", 0, 0, last},
    {"join", 0, 1, join},
    {"map", 0, 0, map, /*takes_names=*/true},
    {"select", 0, 4, [](const Call& call) { return choose(call, false, true); }},
    {"reject", 0, 4, [](const Call& call) { return choose(call, false, false); }},
    {"selectattr", 1, 4, [](const Call& call) { return choose(call, true, true); }},
    {"rejectattr", 1, 4, [](const Call& call) { return choose(call, true, false); }},
};

bool is_iterable(const Value& value) {
  if (as<const Loop*>(value) != nullptr) unsupported(text("a test of the variable \"loop\""));
  return is_undefined(value) || as<String>(value) != nullptr || as<Sequence*>(value) != nullptr ||
         as<Dict*>(value) != nullptr;
}

/// What has a length and __getitem__.
bool is_sequence(const Value& value) {
  const auto* sequence = as<Sequence*>(value);
  return is_iterable(value) && (sequence == nullptr || (*sequence)->kind != Sequence::Kind::kIterator);
}

bool is_boolean(const Value& value, bool expected) {
  const bool* boolean = as<bool>(value);
  return boolean != nullptr && *boolean == expected;
}

Value is_equal(const Call& call) { return equal(call.heap, call.subject, call[0]); }
Value is_unequal(const Call& call) { return !equal(call.heap, call.subject, call[0]); }

template <typename T>
Value is_a(const Call& call) {
  return as<T>(call.subject) != nullptr;
}

constexpr Native kTests[] = {
    {"defined", 0, 0, [](const Call& call) -> Value { return !is_undefined(call.subject); }},
    {"undefined", 0, 0, is_a<Undefined>},
    {"none", 0, 0, is_a<None>},
    {"string", 0, 0, is_a<String>},
    {"mapping", 0, 0, is_a<Dict*>},
    {"iterable", 0, 0, [](const Call& call) -> Value { return is_iterable(call.subject); }},
    {"sequence", 0, 0, [](const Call& call) -> Value { return is_sequence(call.subject); }},
    {"number", 0, 0, [](const Call& call) -> Value { return as_integer(call.subject).has_value(); }},
    {"integer", 0, 0, is_a<std::int64_t>},
    {"boolean", 0, 0, is_a<bool>},
    {"true", 0, 0, [](const Call& call) -> Value { return is_boolean(call.subject, true); }},
    {"false", 0, 0, [](const Call& call) -> Value { return is_boolean(call.subject, false); }},
    {"in", 1, 1, [](const Call& call) -> Value { return contains(call.heap, call[0], call.subject); }},
    {"equalto", 1, 1, is_equal},
    {"eq", 1, 1, is_equal},
    {"==", 1, 1, is_equal},
    {"ne", 1, 1, is_unequal},
    {"!=", 1, 1, is_unequal},
};

}  // namespace

std::string_view Call::text(std::size_t i) const {
  const auto* string = as<String>((*this)[i]);
  if (string == nullptr) bad_argument(*this, i);
  return string->text;
}

std::int64_t Call::integer(std::size_t i, std::int64_t otherwise) const {
  if (!has(i)) return otherwise;
  const auto integer = as_integer((*this)[i]);
  if (!integer) bad_argument(*this, i);
  return *integer;
}

Value Call::made(std::string text) const {
  heap.charge(text.size());
  return heap.keep(std::move(text));
}

std::span<const Native> functions() { return kFunctions; }
const Native& time_method() { return kTime; }

const Native* find(std::span<const Native> table, std::string_view name) {
  const auto found = std::ranges::find(table, name, &Native::name);
  return found == table.end() ? nullptr : &*found;
}

Value run(Heap& heap, const Native& native, const Value& subject, const Arguments& arguments) {
  std::size_t work = extent(subject);
  for (const Value& value : arguments.positional) work += extent(value);
  for (const auto& [name, value] : arguments.named) work += extent(value);
  heap.spend(work);
  const std::size_t count = arguments.positional.size();
  if (count < native.least || count > native.most) unsupported(text(count, " arguments of ", native.name, "()"));
  if (!native.takes_names && !arguments.named.empty()) {
    unsupported(text("the argument \"", arguments.named[0].first, "\" of ", native.name, "()"));
  }
  return native.run(Call{.heap = heap, .native = native, .subject = subject, .arguments = arguments});
}

std::span<const Native> string_methods() { return kStringMethods; }
std::span<const Native> dict_methods() { return kDictMethods; }

const Native& filter(std::string_view name) {
  if (const Native* found = find(kFilters, name)) return *found;
  unsupported(text("the filter \"", name, "\""));
}

const Native& test(std::string_view name) {
  if (const Native* found = find(kTests, name)) return *found;
  unsupported(text("the test \"", name, "\""));
}

}  // namespace rill::quant::jinja
