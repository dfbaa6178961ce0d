#include "quant/safetensors_shards.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "quant/json_document.h"

namespace rill::quant {
namespace {

using nlohmann::json;

constexpr std::string_view kWhole = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";
constexpr std::string_view kExtension = ".safetensors";
constexpr std::size_t kMostShards = 4096;  // each is a mapping

Status bad_index(const std::string& path, const Text& part, const Text& what, const Text& expected) {
  return bad_input({.where = text(path, part),
                    .what = what,
                    .expected = expected,
                    .remedy = text("copy or download the directory again")});
}

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

std::string path_in(const std::string& directory, std::string_view file) {
  return std::string(directory).append("/").append(file);
}

/// True for a name that cannot lead out of its directory.
bool is_plain_file_name(std::string_view name) {
  return name.size() > kExtension.size() && name.ends_with(kExtension) && !name.starts_with('.') &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

}  // namespace

Result<SafetensorsShards> SafetensorsShards::open(const std::string& directory) {
  SafetensorsShards shards;
  const std::string whole = path_in(directory, kWhole);
  const std::string index = path_in(directory, kIndex);
  if (!exists(whole)) {
    if (!exists(index)) {
      return bad_input({.where = text(directory),
                        .what = text("no weights"),
                        .expected = text(kWhole, " or ", kIndex),
                        .remedy = text("save the model with safe_serialization=True")});
    }
    RILL_TRY(shards.open_index(directory, index));
    return shards;
  }
  RILL_ASSIGN(SafetensorsFile file, SafetensorsFile::open(whole));
  shards.files_.push_back(std::move(file));
  for (const SafetensorsTensor& tensor : shards.files_[0].tensors()) shards.tensors_[tensor.name] = {0, &tensor};
  return shards;
}

Status SafetensorsShards::open_index(const std::string& directory, const std::string& path) {
  RILL_ASSIGN(const json document, read_json_object(path));
  const auto map = document.find("weight_map");
  if (map == document.end() || !map->is_object()) {
    return bad_index(path, text(", key weight_map"), text(map == document.end() ? "absent" : "of another kind"),
                     text("an object that gives each tensor's file"));
  }
  std::map<std::string, std::size_t, std::less<>> shard_of;
  for (const auto& [name, value] : map->items()) {
    const std::string file = value.is_string() ? value.get<std::string>() : std::string();
    if (!is_plain_file_name(file)) {
      return bad_index(path, text(", tensor ", legible(name)), text("the file \"", legible(file), "\""),
                       text("the name of a *", kExtension, " file in the same directory"));
    }
    const auto [shard, is_new] = shard_of.try_emplace(file, files_.size());
    if (is_new && files_.size() == kMostShards) {
      return bad_index(path, {}, text("more than ", kMostShards, " files"), text("fewer"));
    }
    if (is_new && !exists(path_in(directory, file))) {
      return bad_index(path, text(", tensor ", legible(name)), text("its file ", legible(file), " is not there"),
                       text("every file that the index names"));
    }
    if (is_new) {
      RILL_ASSIGN(SafetensorsFile opened, SafetensorsFile::open(path_in(directory, file)));
      files_.push_back(std::move(opened));  // pointers to tensors stay good: they lie in the file's own vector
    }
    const SafetensorsTensor* tensor = files_[shard->second].find(name);
    if (tensor == nullptr) {
      return bad_index(path, text(", tensor ", legible(name)), text("not in ", legible(file)),
                       text("what the index says"));
    }
    tensors_[name] = {shard->second, tensor};
  }
  return {};
}

std::uint64_t SafetensorsShards::bytes() const {
  std::uint64_t sum = 0;
  for (const SafetensorsFile& file : files_) sum += file.size();
  return sum;
}

}  // namespace rill::quant
