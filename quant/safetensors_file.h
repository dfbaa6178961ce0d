#pragma once
// Safetensors files, read. The format (https://github.com/huggingface/safetensors, "Format"), little-endian:
//
//   | header bytes, u64 | header: JSON, padded with spaces            | data                                  |
//   |<------- 8 ------->| {"name": {dtype, shape, data_offsets}, ...} | tensors row-major, end to end, no gap |
//
// data_offsets [begin, end) count from where the data begin.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "platform/mapped_file.h"
#include "platform/status.h"

namespace rill::quant {

/// An element's type: as the file spells it, and what it takes.
struct SafetensorsType {
  std::string_view name;  ///< "BF16"
  std::uint64_t bytes;    ///< of one element
};

/// A tensor whose place and size were checked.
struct SafetensorsTensor {
  std::string name;
  const SafetensorsType* type = nullptr;  ///< never null once read
  std::vector<std::uint64_t> shape;       ///< outermost first; empty for a scalar
  std::uint64_t elements = 0;
  std::uint64_t offset = 0;  ///< from the file's start
  std::uint64_t bytes = 0;
};

/// An open file. Read-only; any number of threads may read.
class SafetensorsFile {
 public:
  /// A header is refused beyond this: some 100,000 tensors.
  static constexpr std::uint64_t kMostHeaderBytes = std::uint64_t{16} << 20U;

  /// Maps and checks a file. As MappedFile::open() if it cannot be read; kBadInput names the tensor at fault, and its
  /// offset.
  static Result<SafetensorsFile> open(const std::string& path);
  /// The same for bytes in memory.
  /// @param bytes  borrowed for the object's life
  /// @param name   for messages
  static Result<SafetensorsFile> parse(std::span<const std::byte> bytes, std::string_view name);

  std::string_view name() const { return name_; }
  std::uint64_t size() const { return bytes_.size(); }
  /// In the order of their data.
  std::span<const SafetensorsTensor> tensors() const { return tensors_; }
  /// nullptr if there is none. Cost: logarithmic.
  const SafetensorsTensor* find(std::string_view name) const;
  /// A tensor's bytes where they lie, at any alignment; borrowed.
  /// @param tensor  of this file
  std::span<const std::byte> bytes(const SafetensorsTensor& tensor) const {
    return bytes_.subspan(static_cast<std::size_t>(tensor.offset), static_cast<std::size_t>(tensor.bytes));
  }
  /// True if read_floats() can convert this type: F32, F16, BF16, F64.
  static bool is_real(const SafetensorsType& type);
  /// Elements [first, first + out.size()) as float32: exact, but for F64, which is rounded to nearest.
  /// kFailed if the tensor ends before; kBadInput if its type is none of is_real().
  Status read_floats(const SafetensorsTensor& tensor, std::uint64_t first, std::span<float> out) const;
  /// "FILE, tensor NAME at offset N"
  Text where(const SafetensorsTensor& tensor) const;
  /// Lets the system take back the pages read so far.
  void forget_pages() const { mapping_.forget_pages(); }

 private:
  Status read_header();
  Status check_gaps() const;

  MappedFile mapping_;
  std::span<const std::byte> bytes_;
  std::string name_;
  std::uint64_t data_offset_ = 0;
  std::vector<SafetensorsTensor> tensors_;
  std::vector<std::size_t> by_name_;  // indices of tensors_
};

}  // namespace rill::quant
