// A directory with an index and its shards. The input is three parts behind two 32-bit lengths: the index, the shard
// a.safetensors, and what is left is b.safetensors. An empty index: model.safetensors alone.

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "quant/safetensors_shards.h"
#include "tests/fuzz/target.h"

namespace {

void read_all(const rill::quant::SafetensorsFile& file) {
  std::vector<float> floats(64);
  for (const auto& tensor : file.tensors()) {
    static_cast<void>(file.where(tensor));
    const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(tensor.elements, floats.size()));
    static_cast<void>(file.read_floats(tensor, tensor.elements - count, std::span(floats).first(count)).ok());
    static_cast<void>(file.read_floats(tensor, tensor.elements, std::span(floats).first(1)).ok());
    static_cast<void>(file.read_floats(tensor, ~std::uint64_t{0}, floats).ok());
  }
}

std::string_view take(std::string_view& rest, std::size_t size) {
  const std::string_view part = rest.substr(0, size);
  rest.remove_prefix(part.size());
  return part;
}

std::string_view take_part(std::string_view& rest) {
  std::uint32_t size = 0;
  const std::string_view length = take(rest, sizeof size);
  std::memcpy(&size, length.data(), length.size());
  return take(rest, size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest = rill::fuzz::text_of(data, size);
  const std::string_view index = take_part(rest);
  const std::string_view first = take_part(rest);
  if (const auto file = rill::quant::SafetensorsFile::parse(std::as_bytes(std::span(first)), "input"); file.ok()) {
    read_all(*file);
  }
  if (index.empty()) return 0;
  static const std::string folder = [] {
    std::string made = (std::filesystem::temp_directory_path() / "rill-fuzz-XXXXXX").string();
    rill::fuzz::require(::mkdtemp(made.data()) != nullptr, "there is room for temporary files");
    return made;
  }();
  const auto write = [&](const char* name, std::string_view bytes) {
    std::ofstream(folder + name, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  };
  write("/model.safetensors.index.json", index);
  write("/a.safetensors", first);
  write("/b.safetensors", rest);
  if (const auto shards = rill::quant::SafetensorsShards::open(folder); shards.ok()) {
    for (const auto& [name, place] : shards->tensors()) read_all(shards->file(place));
  }
  return 0;
}
