// A Hugging Face directory. The input is four parts behind three 32-bit lengths: config.json, the index, the shard
// a.safetensors, and what is left is b.safetensors. Without an index the shard is model.safetensors, and what is left
// is tokenizer_config.json. Without config.json the tensors are looked at, and no model is made of them.

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "quant/huggingface_importer.h"
#include "quant/safetensors_shards.h"
#include "tests/fuzz/imported.h"
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

std::uint32_t take_length(std::string_view& rest) {
  std::uint32_t size = 0;
  const std::string_view length = take(rest, sizeof size);
  std::memcpy(&size, length.data(), length.size());
  return size;
}

/// The folder in which each input's files lie, one input's after another's.
const std::string& folder() {
  static const std::string folder = [] {
    std::string made = (std::filesystem::temp_directory_path() / "rill-fuzz-XXXXXX").string();
    rill::fuzz::require(::mkdtemp(made.data()) != nullptr, "there is room for temporary files");
    return made + "/";
  }();
  return folder;
}

/// An empty part is no file.
void write(const char* name, std::string_view bytes) {
  std::filesystem::remove(folder() + name);
  if (bytes.empty()) return;
  std::ofstream(folder() + name, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest = rill::fuzz::text_of(data, size);
  const std::uint32_t config_bytes = take_length(rest);
  const std::uint32_t index_bytes = take_length(rest);
  const std::uint32_t shard_bytes = take_length(rest);
  const std::string_view config = take(rest, config_bytes);
  const std::string_view index = take(rest, index_bytes);
  const std::string_view shard = take(rest, shard_bytes);
  if (const auto file = rill::quant::SafetensorsFile::parse(std::as_bytes(std::span(shard)), "input"); file.ok()) {
    read_all(*file);
  }
  if (index.empty() && config.empty()) return 0;
  write("config.json", config);
  write("model.safetensors.index.json", index);
  write(index.empty() ? "model.safetensors" : "a.safetensors", shard);
  write(index.empty() ? "tokenizer_config.json" : "b.safetensors", rest);
  if (const auto shards = rill::quant::SafetensorsShards::open(folder()); shards.ok()) {
    for (const auto& [name, place] : shards->tensors()) read_all(shards->file(place));
  }
  if (config.empty()) return 0;
  if (const auto model = rill::quant::open_huggingface_model(folder(), ""); model.ok()) {
    rill::fuzz::quantize_and_stream(**model);
  }
  return 0;
}
