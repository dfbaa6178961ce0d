#pragma once
// The tensors of a Hugging Face directory, wherever they lie: in one file, or in shards that an index names.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "platform/status.h"
#include "quant/safetensors_file.h"

namespace rill::quant {

/// All tensors by name. Owns the open files.
class SafetensorsShards {
 public:
  /// A tensor and the file that it is in.
  struct Place {
    std::size_t shard = 0;
    const SafetensorsTensor* tensor = nullptr;
  };

  /// Opens model.safetensors, or what model.safetensors.index.json names. Names in the index are names of files in this
  /// directory: one with a path in it is refused, so that a model cannot read what lies elsewhere.
  static Result<SafetensorsShards> open(const std::string& directory);

  const SafetensorsFile& file(const Place& place) const { return files_[place.shard]; }
  const std::map<std::string, Place, std::less<>>& tensors() const { return tensors_; }
  std::uint64_t bytes() const;  ///< of all files

 private:
  Status open_index(const std::string& directory, const std::string& path);

  std::vector<SafetensorsFile> files_;
  std::map<std::string, Place, std::less<>> tensors_;
};

}  // namespace rill::quant
