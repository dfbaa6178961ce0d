#pragma once
// An object of a JSON configuration, read key by key: each value is checked where it is taken, and a sentence names the
// key at fault.

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/model_config.h"
#include "platform/status.h"

namespace rill::quant {

/// A number of a configuration and the field of ModelConfig that it becomes; the field's range holds for it. A field
/// may have several keys: the first that the file has counts.
struct NumberKey {
  std::string_view key;
  std::string_view field;
};

/// Borrows the document. Null counts as absent, as it does for transformers.
class Fields {
 public:
  Fields(const nlohmann::json& object, Text where) : object_(&object), where_(where) {}

  const nlohmann::json* find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }
  /// True if the key stands there as null, which some families tell apart from its absence.
  bool is_null(std::string_view key) const { return object_->contains(key) && object_->at(std::string(key)).is_null(); }
  Text where(std::string_view key) const { return text(where_, ", key ", key); }
  Status bad(std::string_view key, const Text& what, const Text& expected) const;

  Result<double> number(std::string_view key, double least, double most) const;
  Result<double> number(std::string_view key, double least, double most, double otherwise) const;
  Result<std::uint32_t> whole(std::string_view key, double least, double most, std::uint32_t otherwise) const;
  Result<bool> flag(std::string_view key, bool otherwise) const;
  Result<std::string> word(std::string_view key, std::string_view otherwise) const;
  /// An object under a key; nothing if it is absent.
  Result<std::optional<Fields>> object(std::string_view key) const;

  /// Reads the numbers of a table into a configuration; what is absent leaves its field as it was.
  Status read(std::span<const NumberKey> keys, ModelConfig& config) const;
  /// Refuses a key that has another value than the one that the family's network means.
  Status must_be(std::string_view key, bool value, bool otherwise) const;
  Status must_be_absent(std::string_view key, std::string_view why) const;

  static Text describe(const nlohmann::json* value);

 private:
  const nlohmann::json* object_;
  Text where_;
};

}  // namespace rill::quant
