#include "quant/json_fields.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "quant/json_document.h"

namespace rill::quant {

using nlohmann::json;

const json* Fields::find(std::string_view key) const {
  const auto found = object_->find(key);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

Status Fields::bad(std::string_view key, const Text& what, const Text& expected) const {
  return bad_input({.where = where(key),
                    .what = what,
                    .expected = expected,
                    .remedy = text("import a model whose configuration says so")});
}

Result<double> Fields::number(std::string_view key, double least, double most) const {
  const json* value = find(key);
  const double number = value != nullptr && value->is_number() ? value->get<double>() : std::nan("");
  if (number >= least && number <= most) return number;  // not NaN
  return bad(key, describe(value), text("a number from ", least, " to ", most));
}

Result<double> Fields::number(std::string_view key, double least, double most, double otherwise) const {
  return has(key) ? number(key, least, most) : Result<double>(otherwise);
}

Result<std::uint32_t> Fields::whole(std::string_view key, double least, double most, std::uint32_t otherwise) const {
  RILL_ASSIGN(const double found, number(key, least, most, otherwise));
  if (found != std::floor(found)) return bad(key, text(found), text("a whole number"));
  return static_cast<std::uint32_t>(found);
}

Result<bool> Fields::flag(std::string_view key, bool otherwise) const {
  const json* value = find(key);
  if (value == nullptr) return otherwise;
  if (value->is_boolean()) return value->get<bool>();
  return bad(key, describe(value), text("true or false"));
}

Result<std::string> Fields::word(std::string_view key, std::string_view otherwise) const {
  const json* value = find(key);
  if (value == nullptr) return std::string(otherwise);
  if (value->is_string()) return value->get<std::string>();
  return bad(key, describe(value), text("a string"));
}

Result<std::optional<Fields>> Fields::object(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::optional<Fields>();
  if (value->is_object()) return std::optional<Fields>(Fields(*value, where(key)));
  return bad(key, describe(value), text("an object"));
}

Status Fields::read(std::span<const NumberKey> keys, ModelConfig& config) const {
  Status status;
  for_each_field(config, [&](std::string_view field, auto& target, double least, double most) {
    using Number = std::remove_reference_t<decltype(target)>;
    const auto key = std::ranges::find_if(keys, [&](const NumberKey& k) { return k.field == field && has(k.key); });
    if (!status.ok() || key == keys.end()) return;
    const Result<double> read = number(key->key, least, most);
    if (!read.ok()) {
      status = read.status();
    } else if (!std::is_floating_point_v<Number> && *read != std::floor(*read)) {
      status = bad(key->key, text(*read), text("a whole number"));
    } else {
      target = static_cast<Number>(*read);  // in the field's range, which its type holds
    }
  });
  return status;
}

Status Fields::must_be(std::string_view key, bool value, bool otherwise) const {
  RILL_ASSIGN(const bool found, flag(key, otherwise));
  const auto spelt = [](bool b) { return b ? std::string_view("true") : std::string_view("false"); };
  return found == value ? Status() : bad(key, text(spelt(found)), text(spelt(value)));
}

Status Fields::must_be_absent(std::string_view key, std::string_view why) const {
  return has(key) ? bad(key, describe(find(key)), text(why)) : Status();
}

Text Fields::describe(const json* value) {
  if (value == nullptr) return text("absent");
  if (value->is_number_integer()) {
    return value->is_number_unsigned() ? text(value->get<std::uint64_t>()) : text(value->get<std::int64_t>());
  }
  if (value->is_number_float()) return text(value->get<double>());
  if (value->is_string()) return text('"', legible(value->get_ref<const std::string&>()), '"');
  if (value->is_boolean()) return text(value->get<bool>() ? "true" : "false");
  return text("a JSON ", value->type_name());
}

}  // namespace rill::quant
