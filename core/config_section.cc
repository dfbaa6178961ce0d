#include "core/config_section.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>
#include <type_traits>

#include "core/section_table.h"

namespace rill {
namespace {

using format::ConfigEntry;

Status damaged(const Text& where, const Text& what, const Text& expected) {
  return bad_input({.where = where, .what = what, .expected = expected, .remedy = damaged_file_remedy()});
}

/// Fields that came after the first files. A file without one means 0, and 0 is not written: a model that needs none of
/// them has the same file as ever.
constexpr std::string_view kLaterFields[] = {"head_transform", "down_rotation", "min_p", "repeat_penalty"};

bool is_later(std::string_view name) { return std::ranges::find(kLaterFields, name) != std::end(kLaterFields); }

ConfigEntry entry_at(std::span<const std::byte> raw, std::size_t index) {
  ConfigEntry entry;
  std::memcpy(&entry, raw.data() + index * sizeof(ConfigEntry), sizeof(ConfigEntry));
  return entry;
}

Status set_field(std::uint32_t& field, std::uint64_t bits, const Text& where) {
  if (bits > std::numeric_limits<std::uint32_t>::max()) {
    return damaged(where, text(bits), text("a whole number of at most 32 bits"));
  }
  field = static_cast<std::uint32_t>(bits);
  return {};
}

Status set_field(std::uint64_t& field, std::uint64_t bits, const Text& /*where*/) {
  field = bits;
  return {};
}

template <typename Field>
requires std::is_enum_v<Field> Status set_field(Field& field, std::uint64_t bits, const Text& where) {
  std::uint32_t number = 0;
  RILL_TRY(set_field(number, bits, where));
  field = static_cast<Field>(number);  // whether there is such a value, validate() says
  return {};
}

Status set_field(double& field, std::uint64_t bits, const Text& /*where*/) {
  field = std::bit_cast<double>(bits);  // its range, and that it is a number, is validate()'s business
  return {};
}

/// Finds the one entry of this name and puts its value into the field.
template <typename Field>
Status read_field(std::span<const std::byte> raw, std::string_view name, Field& field, const Text& section) {
  const Text where = text(section, ", field ", name);
  std::size_t times = 0;
  for (std::size_t i = 0; i < raw.size() / sizeof(ConfigEntry); ++i) {
    const ConfigEntry entry = entry_at(raw, i);
    if (!format::is_named(entry.name, name)) continue;
    if (++times > 1) return damaged(where, text("the field appears twice"), {});
    RILL_TRY(set_field(field, entry.bits, where));
  }
  if (times == 0 && !is_later(name)) return damaged(where, text("the field is missing"), {});
  return {};
}

}  // namespace

Result<ModelConfig> read_config_section(std::span<const std::byte> raw, const Text& where) {
  if (raw.size() % sizeof(ConfigEntry) != 0) {
    return damaged(where, text(raw.size(), " bytes"), text("a multiple of ", sizeof(ConfigEntry)));
  }
  ModelConfig config;
  Status status;
  for_each_field(config, [&](std::string_view name, auto& field, double, double) {
    if (status.ok()) status = read_field(raw, name, field, where);
  });
  RILL_TRY(status);
  for (std::size_t i = 0; i < raw.size() / sizeof(ConfigEntry); ++i) {
    const ConfigEntry entry = entry_at(raw, i);
    bool known = false;
    for_each_field(config, [&](std::string_view name, auto&, double, double) {
      known = known || format::is_named(entry.name, name);
    });
    if (!known) return damaged(where, text("unknown field \"", printable(format::name_of(entry.name)), '"'), {});
  }
  RILL_TRY(validate(config, where));
  return config;
}

std::vector<ConfigEntry> make_config_section(const ModelConfig& config) {
  std::vector<ConfigEntry> entries;
  for_each_field(config, [&](std::string_view name, auto value, double, double) {
    ConfigEntry entry{};
    format::put_name(entry.name, name);
    if constexpr (std::is_same_v<decltype(value), double>) {
      entry.bits = std::bit_cast<std::uint64_t>(value);
    } else {
      entry.bits = static_cast<std::uint64_t>(value);
    }
    if (entry.bits != 0 || !is_later(name)) entries.push_back(entry);
  });
  return entries;
}

}  // namespace rill
