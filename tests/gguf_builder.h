#pragma once
// Builds GGUF files byte by byte, right and wrong ones, for tests.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace rill::quant {

/// Little-endian bytes.
class ByteWriter {
 public:
  template <typename Number>
  ByteWriter& put(Number number) {
    char little_endian[sizeof number];
    std::memcpy(little_endian, &number, sizeof number);
    return raw({little_endian, sizeof number});
  }
  ByteWriter& raw(std::string_view text) {
    bytes_.append(text);
    return *this;
  }
  ByteWriter& string(std::string_view text) { return put<std::uint64_t>(text.size()).raw(text); }
  ByteWriter& append(const ByteWriter& other) { return raw(other.bytes_); }
  ByteWriter& pad(std::size_t alignment) {
    while (bytes_.size() % alignment != 0) bytes_.push_back('\0');
    return *this;
  }
  std::size_t size() const { return bytes_.size(); }
  std::vector<std::byte> bytes() const {
    const auto* const first = reinterpret_cast<const std::byte*>(bytes_.data());
    return {first, first + bytes_.size()};
  }

 private:
  std::string bytes_;
};

/// One GGUF file; keys and tensors are written in the order of the calls. Type numbers are the specification's.
class GgufBuilder {
 public:
  std::uint32_t version = 3;
  std::size_t alignment = 32;

  GgufBuilder& key(std::string_view name, std::uint32_t type, const ByteWriter& value) {
    keys_.string(name).put(type).append(value);
    ++key_count_;
    return *this;
  }
  GgufBuilder& u32(std::string_view name, std::uint32_t value) { return key(name, 4, ByteWriter().put(value)); }
  GgufBuilder& f32(std::string_view name, float value) { return key(name, 6, ByteWriter().put(value)); }
  GgufBuilder& boolean(std::string_view name, std::uint8_t value) { return key(name, 7, ByteWriter().put(value)); }
  GgufBuilder& string(std::string_view name, std::string_view value) {
    return key(name, 8, ByteWriter().string(value));
  }
  GgufBuilder& strings(std::string_view name, const std::vector<std::string>& values) {
    ByteWriter array;
    array.put<std::uint32_t>(8).put<std::uint64_t>(values.size());
    for (const std::string& value : values) array.string(value);
    return key(name, 9, array);
  }
  template <typename Number>
  GgufBuilder& numbers(std::string_view name, std::uint32_t element_type, const std::vector<Number>& values) {
    ByteWriter array;
    array.put(element_type).put<std::uint64_t>(values.size());
    for (const Number value : values) array.put(value);
    return key(name, 9, array);
  }

  /// A float32 tensor. @param dimensions  innermost first, as the file has them
  GgufBuilder& tensor(std::string_view name, const std::vector<std::uint64_t>& dimensions,
                      const std::vector<float>& values) {
    ByteWriter data;
    for (const float value : values) data.put(value);
    return tensor(name, dimensions, 0, data);
  }
  GgufBuilder& tensor(std::string_view name, const std::vector<std::uint64_t>& dimensions, std::uint32_t type,
                      const ByteWriter& data) {
    data_.pad(alignment);
    return describe(name, dimensions, type, data_.size(), data);
  }
  /// A tensor whose description says what it likes.
  GgufBuilder& describe(std::string_view name, const std::vector<std::uint64_t>& dimensions, std::uint32_t type,
                        std::uint64_t offset, const ByteWriter& data = {}) {
    tensors_.string(name).put(static_cast<std::uint32_t>(dimensions.size()));
    for (const std::uint64_t dimension : dimensions) tensors_.put(dimension);
    tensors_.put(type).put(offset);
    data_.append(data);
    ++tensor_count_;
    return *this;
  }

  std::vector<std::byte> build() const {
    ByteWriter file;
    file.raw("GGUF").put(version).put(tensor_count_).put(key_count_).append(keys_).append(tensors_);
    if (tensor_count_ != 0) file.pad(alignment).append(data_);
    return file.bytes();
  }

 private:
  ByteWriter keys_;
  ByteWriter tensors_;
  ByteWriter data_;
  std::uint64_t key_count_ = 0;
  std::uint64_t tensor_count_ = 0;
};

}  // namespace rill::quant
