#pragma once
// A .rill model file, mapped and checked. Whatever its bytes are, open() either returns a file of which everything but
// the values of the weights has been checked, or a sentence that says what is wrong and where.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/model_config.h"
#include "core/model_format.h"
#include "core/section_table.h"
#include "platform/function_ref.h"
#include "platform/mapped_file.h"
#include "platform/status.h"

namespace rill {

/// A tensor where it lies in the file. Borrowed from the ModelFile.
struct TensorView {
  const format::TensorEntry* entry = nullptr;  ///< nullptr if the model has no such tensor; bytes is then empty
  std::span<const std::byte> bytes;

  explicit operator bool() const { return entry != nullptr; }
  /// Legal for kInt8Tiles.
  format::TileShape tiles() const {
    return {static_cast<std::size_t>(entry->rows), static_cast<std::size_t>(entry->columns), entry->group};
  }
  /// Legal for kFloat32: [rows, columns].
  std::span<const float> floats() const {
    return {reinterpret_cast<const float*>(bytes.data()), bytes.size() / sizeof(float)};
  }
  /// Legal for kUint64: [rows, columns].
  std::span<const std::uint64_t> integers() const {
    return {reinterpret_cast<const std::uint64_t*>(bytes.data()), bytes.size() / sizeof(std::uint64_t)};
  }
};

/// One model file. Owns the mapping; every view ends with it, but survives a move.
class ModelFile {
 public:
  /// Maps and checks a file. Reads the header and the small sections, not the weights: milliseconds for any size. After
  /// it the tensors are exactly those that the configuration implies, each with its shape, inside the file, without
  /// overlap. As MappedFile::open() if the file cannot be read, kBadInput names the section, field or tensor at fault.
  static Result<ModelFile> open(std::string_view path);
  /// The same for a model that lies in memory already (flash, a test's buffer).
  /// @param bytes  borrowed for the object's life; aligned to 64 bytes.
  /// @param name   what sentences begin with.
  static Result<ModelFile> view(std::span<const std::byte> bytes, std::string_view name);

  /// Told of each tensor once it has been read, and whether its checksum holds. Borrowed for the call.
  using TensorChecked = FunctionRef<void(const format::TensorEntry& tensor, bool intact)>;
  /// Reads every byte that open() left unread: the tensors, and that all padding is zero.
  /// kBadInput names the first damaged tensor; the others are checked all the same.
  Status verify(TensorChecked checked) const;
  Status verify() const;

  const ModelConfig& config() const { return config_; }
  std::string_view family() const { return format::name_of(sections_.header().family); }  ///< "llama"
  std::string_view name() const { return name_.view(); }                                  ///< the path, for messages
  std::span<const std::byte> bytes() const { return bytes_; }                             ///< the whole file

  std::span<const format::SectionEntry> sections() const { return sections_.entries(); }
  std::span<const format::TensorEntry> entries() const { return entries_; }  ///< in file order
  /// @param entry  one of entries().
  TensorView tensor(const format::TensorEntry& entry) const;
  /// By name, as "layers.3.qkv". Cost: linear in the number of tensors.
  TensorView tensor(std::string_view name) const;
  /// By one of format's patterns, as format::kQkv, and the layer; or the bias of what they name.
  TensorView tensor(std::string_view pattern, std::uint32_t layer, bool is_bias = false) const;

  /// The "weights" section: all tensors and the padding between them. Starts at a page.
  std::span<const std::byte> weights() const { return sections_.stored(format::Section::kWeights); }
  /// As stored; empty if the model came without a tokenizer. What is in it is the tokenizer's to check.
  std::span<const std::byte> tokenizer_section() const { return sections_.stored(format::Section::kTokenizer); }
  /// Reads the file's pages now and not with the first tokens, and on huge ones where the system gives them.
  void prefault() const { file_.prefault(); }
  /// Lets go of the file's pages, for whoever has copied or done with what is in them. They come back when they are
  /// read.
  void forget_pages() const { file_.forget_pages(); }
  /// Decompressed; empty if the model has no chat form.
  std::string_view chat_section() const { return {chat_.data(), chat_.size()}; }

 private:
  ModelFile() = default;
  Status read(std::span<const std::byte> bytes, const Text& name);
  Status read_config();
  Status read_chat();
  Status read_tensor_table();
  Status verify_padding() const;

  MappedFile file_;  // empty for a view
  std::span<const std::byte> bytes_;
  Text name_;
  SectionTable sections_;
  ModelConfig config_;
  std::span<const format::TensorEntry> entries_;
  std::vector<char> chat_;  // a vector and not a string: its bytes stay where they are when the object moves
};

}  // namespace rill
