#pragma once
// GGUF files, version 2 and 3: the container. Every count, length, type, dimension, offset and alignment is checked
// against the file's size before anything is handed out; strings and arrays are views of the mapping, never copies.
// Source: the GGUF specification (ggml, docs/gguf.md).

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "platform/mapped_file.h"
#include "platform/status.h"
#include "quant/block_formats.h"

namespace rill::quant {

/// A metadata value's type, with the numbers of the file.
enum class GgufType : std::uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

/// An array of numbers where it lies in the file, at any alignment.
template <typename Number>
class GgufNumbers {
 public:
  GgufNumbers() = default;
  GgufNumbers(const std::byte* first, std::size_t count) : first_(first), count_(count) {}

  std::size_t size() const { return count_; }
  /// @param index  below size()
  Number operator[](std::size_t index) const {
    Number number;
    std::memcpy(&number, first_ + index * sizeof number, sizeof number);
    return number;
  }

 private:
  const std::byte* first_ = nullptr;
  std::size_t count_ = 0;
};

/// An array of strings where it lies in the file: each is a 64-bit length and its bytes, so they are walked in order.
class GgufStrings {
 public:
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = std::string_view;
    using difference_type = std::ptrdiff_t;
    using pointer = const std::string_view*;
    using reference = std::string_view;

    explicit Iterator(const std::byte* at) : at_(at) {}
    std::string_view operator*() const {
      return {reinterpret_cast<const char*>(at_) + sizeof(std::uint64_t), length()};
    }
    Iterator& operator++() {
      at_ += sizeof(std::uint64_t) + length();
      return *this;
    }
    friend bool operator==(Iterator, Iterator) = default;

   private:
    std::size_t length() const {
      std::uint64_t length;
      std::memcpy(&length, at_, sizeof length);
      return static_cast<std::size_t>(length);
    }
    const std::byte* at_;
  };

  GgufStrings() = default;
  /// @param first, last  the bytes of `count` strings whose lengths were checked
  GgufStrings(const std::byte* first, const std::byte* last, std::size_t count)
      : first_(first), last_(last), count_(count) {}

  std::size_t size() const { return count_; }
  Iterator begin() const { return Iterator(first_); }
  Iterator end() const { return Iterator(last_); }

 private:
  const std::byte* first_ = nullptr;
  const std::byte* last_ = nullptr;
  std::size_t count_ = 0;
};

/// A tensor's place in the file.
struct GgufTensor {
  std::string_view name;
  std::uint64_t described_at = 0;                          ///< offset of its entry, for messages
  std::array<std::uint64_t, 4> dimensions = {1, 1, 1, 1};  ///< dimensions[0] is the one that lies contiguously
  std::uint32_t dimension_count = 0;
  const BlockFormat* format = nullptr;
  std::uint64_t offset = 0;  ///< of its data, from the file's start
  std::uint64_t bytes = 0;   ///< of its data; in the file
};

/// A name out of the file, fit for a message: cut if long, and without control characters.
FixedText<80> printable(std::string_view name);

/// An open GGUF file. Read-only.
class GgufFile {
 public:
  /// True if these are the first bytes of a GGUF file.
  static bool recognises(std::span<const std::byte> bytes);
  /// Maps and checks a file. As MappedFile::open() if it cannot be read; kBadInput names the key or tensor at fault and
  /// its offset.
  static Result<GgufFile> open(const std::string& path);
  /// Takes over a mapped file; checks as open() does.
  static Result<GgufFile> parse(MappedFile mapping);
  /// The same for bytes in memory.
  /// @param bytes  borrowed for the object's life
  /// @param name   for messages
  static Result<GgufFile> parse(std::span<const std::byte> bytes, std::string_view name);

  std::string_view name() const { return name_; }
  std::span<const std::byte> bytes() const { return bytes_; }
  std::uint32_t version() const { return version_; }

  // Metadata: nothing if the key is absent; kBadInput, with key, offset and types, if it has another type than asked
  // for.
  Result<std::optional<std::uint64_t>> find_u64(std::string_view key) const;  ///< of any integer type, not negative
  Result<std::optional<double>> find_f64(std::string_view key) const;         ///< of either floating-point type
  Result<std::optional<bool>> find_bool(std::string_view key) const;
  Result<std::optional<std::string_view>> find_string(std::string_view key) const;
  Result<std::optional<GgufStrings>> find_strings(std::string_view key) const;
  Result<std::optional<GgufNumbers<float>>> find_floats(std::string_view key) const;
  Result<std::optional<GgufNumbers<std::int32_t>>> find_integers(std::string_view key) const;  ///< 32 bits

  /// "FILE, key KEY at offset N", or "FILE, key KEY" if it is absent.
  Text where(std::string_view key) const;
  /// "FILE, tensor NAME at offset N"
  Text where(const GgufTensor& tensor) const;

  /// In the order of the file.
  std::span<const GgufTensor> tensors() const { return tensors_; }
  /// nullptr if there is none.
  const GgufTensor* find_tensor(std::string_view name) const;
  std::span<const std::byte> data(const GgufTensor& tensor) const {
    return bytes_.subspan(static_cast<std::size_t>(tensor.offset), static_cast<std::size_t>(tensor.bytes));
  }
  /// Lets the system take back the pages read so far; for bytes in memory, nothing.
  void forget_pages() const { mapping_.forget_pages(); }

 private:
  class Parser;

  struct Value {
    GgufType type{};
    GgufType element{};            ///< of an array
    std::uint64_t count = 0;       ///< elements of an array, bytes of a string
    std::uint64_t key_offset = 0;  ///< for messages
    std::uint64_t offset = 0;      ///< of the number, the string's first byte or the array's first element
    std::uint64_t end = 0;         ///< of the value
  };

  const Value* find(std::string_view key) const;
  Status wrong_type(std::string_view key, const Value& value, std::string_view expected) const;
  template <typename Number>
  Number load(const Value& value) const;
  template <typename Number>
  GgufNumbers<Number> numbers(const Value& value) const;

  MappedFile mapping_;
  std::span<const std::byte> bytes_;
  std::string name_;
  std::uint32_t version_ = 0;
  std::map<std::string_view, Value> values_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string_view, std::size_t> tensor_index_;
};

}  // namespace rill::quant
