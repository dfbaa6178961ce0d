#pragma once
// A GGUF file's metadata of one architecture, by the second half of its keys.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "platform/status.h"
#include "quant/gguf_file.h"

namespace rill::quant {

/// Borrows the file.
class GgufKeys {
 public:
  GgufKeys(const GgufFile& file, std::string_view architecture) : file_(&file), architecture_(architecture) {}

  const GgufFile& file() const { return *file_; }
  /// "attention.head_count" of a llama file: "llama.attention.head_count".
  std::string key(std::string_view suffix) const { return architecture_ + "." + std::string(suffix); }
  Status bad(std::string_view suffix, const Text& what, const Text& expected) const;
  /// A 32-bit integer; what stands in `otherwise` where the key is missing, and an error where that is nothing.
  Result<std::uint32_t> number(std::string_view suffix, std::optional<std::uint32_t> otherwise = {}) const;
  /// A finite number, likewise.
  Result<double> real(std::string_view suffix, std::optional<double> otherwise = {}) const;
  Result<bool> flag(std::string_view suffix, bool otherwise) const;

 private:
  const GgufFile* file_;
  std::string architecture_;
};

}  // namespace rill::quant
