#pragma once
// How GgufFile reads its container; for gguf_file and gguf_parser alone.

#include <cstdint>
#include <string_view>

#include "quant/gguf_file.h"

namespace rill::quant {

/// Walks a file from its first byte, filling a GgufFile, and stops at the first thing that is wrong.
///
///   | magic version tensor_count key_count | key type value ... | name dimensions type offset ... | pad | data ... |
///
/// Nothing is allocated by a count out of the file before as many bytes as the count needs are known to be there.
class GgufFile::Parser {
 public:
  explicit Parser(GgufFile& file) : file_(file) {}
  Status parse();

 private:
  Status parse_header();
  Status parse_metadata();
  Status parse_value(std::string_view key, Value& value);
  Status parse_array(std::string_view key, Value& value);
  Status parse_alignment();
  Status parse_tensors();
  Status parse_tensor(std::uint64_t index);
  Status parse_dimensions(GgufTensor& tensor);
  Status place_tensors();
  Status check_overlaps() const;

  /// False, leaving the position alone, if the file ends before.
  template <typename Number>
  bool take(Number& number);
  bool take_string(std::string_view& string);
  bool skip(std::uint64_t count, std::uint64_t bytes_each);
  std::uint64_t left() const { return file_.bytes_.size() - at_; }

  /// "goes past the file's end"
  Status cut_off(const Text& where) const;
  Status bad(const Text& where, const Text& what, const Text& expected) const;

  GgufFile& file_;
  std::uint64_t at_ = 0;
  std::uint64_t tensor_count_ = 0;
  std::uint64_t key_count_ = 0;
  std::uint64_t alignment_ = 32;
};

}  // namespace rill::quant
