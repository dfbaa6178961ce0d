#pragma once
// Writes a .rill file (core/model_format.h) from front to back without holding it: tensors are appended in file order,
// and the header and tables, which need every checksum, are put in their places at the end.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/model_config.h"
#include "core/model_format.h"
#include "platform/function_ref.h"
#include "platform/output_file.h"
#include "platform/status.h"

namespace rill::quant {

/// How far a file has come: bytes of its tensors.
using Progress = FunctionRef<void(std::uint64_t done, std::uint64_t total)>;

inline constexpr auto kNoProgress = [](std::uint64_t, std::uint64_t) {};

/// What a model file holds besides its weights. Borrowed for create().
struct ModelParts {
  std::string_view family;  ///< small letters, digits, '_'; at most 16
  ModelConfig config;
  std::span<const std::byte> tokenizer_section;  ///< as stored; empty: none
  std::span<const std::byte> chat_section;       ///< not compressed, at most 64 KiB; empty: none
};

/// One model file in the making. Nothing stands under its name before finish() returns Ok, and nothing is left behind
/// if it never does.
class ModelWriter {
 public:
  /// Lays the whole file out and writes everything before the weights.
  /// kBadInput if the configuration is not valid or a part does not fit the format; kFailed if the disk refuses.
  /// @param progress  hears of every append(); borrowed for the writer's life
  static Result<ModelWriter> create(std::string_view path, const ModelParts& parts, Progress progress = kNoProgress);

  /// The tensors in the order in which their bytes are wanted, with their places; checksums follow.
  std::span<const format::TensorEntry> entries() const { return tensors_; }
  /// Appends bytes to the tensor that is not yet complete. Padding between tensors is added by itself.
  /// kFailed if they are more than that tensor has left.
  Status append(std::span<const std::byte> bytes);
  /// Puts the header and the tables in their places: what is at unfinished_path() then is a model that runs.
  /// kFailed if a tensor is not complete.
  Status complete();
  /// Where this process can open it before it has its name.
  std::string unfinished_path() const { return file_.unfinished_path(); }
  /// Takes all tensors back: they are appended anew, over the old ones, and until then there is no model.
  Status rewind();
  /// complete(), flushes to the disk and gives the file its name. Call once, last.
  Status finish();
  /// Size of the finished file.
  std::uint64_t file_bytes() const { return file_bytes_; }

 private:
  ModelWriter(OutputFile file, Progress progress) : file_(std::move(file)), progress_(progress) {}
  Status lay_out_tensors(const ModelConfig& config);
  Status write_section(format::Section section, std::span<const std::byte> raw);
  Status pad_to(std::uint64_t offset);
  Status write_header();

  OutputFile file_;
  Progress progress_;
  std::uint64_t done_ = 0;  ///< bytes of tensors
  std::uint64_t total_ = 0;
  format::FileHeader header_{};
  std::vector<format::SectionEntry> sections_;
  std::vector<format::TensorEntry> tensors_;
  std::size_t tensor_ = 0;  ///< the one being written
  std::uint64_t written_in_tensor_ = 0;
  std::uint32_t weights_crc_ = 0;  ///< of the section up to the last complete tensor
  std::uint64_t file_bytes_ = 0;
};

}  // namespace rill::quant
