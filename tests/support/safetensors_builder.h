#pragma once
// Safetensors files made by hand for tests, byte by byte from the format's definition: nothing of quant/ is used.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace rill {

/// The bytes of a number, little-endian.
template <typename Number>
std::string bytes_of(Number number) {
  std::string out(sizeof number, '\0');
  std::memcpy(out.data(), &number, sizeof number);
  return out;
}

/// A file with this header and these data, whether they fit one another or not.
inline std::string safetensors_bytes(std::string_view header, std::string_view data) {
  return bytes_of(std::uint64_t{header.size()}).append(header).append(data);
}

/// Puts tensors end to end under a header that describes them.
class SafetensorsBuilder {
 public:
  void add(const std::string& name, const std::string& dtype, const std::vector<std::uint64_t>& shape,
           std::string_view data) {
    header_[name] = {{"dtype", dtype}, {"shape", shape}, {"data_offsets", {data_.size(), data_.size() + data.size()}}};
    data_.append(data);
  }
  std::string file() const { return safetensors_bytes(header_.dump(), data_); }

 private:
  nlohmann::json header_ = nlohmann::json::object();
  std::string data_;
};

inline void write_file(const std::string& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(out.good()) << path;
}

}  // namespace rill
