#pragma once
// The .rill file, version 3, byte by byte. Little-endian. The reader is core/model_file, the writer quant/model_writer.
//
//   offset 0          FileHeader            64 bytes
//   64                SectionEntry[...]     one per section, 48 bytes each
//   (64-aligned)      "config"              ConfigEntry[...]: every field of ModelConfig by name
//   (64-aligned)      "tensors"             TensorEntry[...]
//   (64-aligned)      "tokenizer"           core/tokenizer.h; absent when the model came without one
//   (64-aligned)      "chat"                core/chat_template.h; absent when there is none
//   (4096-aligned)    "weights"             tensors, each aligned to 64 bytes, in the order of their entries
//
// Sections lie in this order, each at the first aligned offset after the one before it; tensors likewise inside
// "weights", which ends the file. What lies between is zero, so that every byte of a file is accounted for. "config"
// and "chat" are small and zlib-compressed; the others are used where they lie in the mapping.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>

#include "platform/kernels/tiles.h"
#include "platform/size.h"

namespace rill::format {

static_assert(std::endian::native == std::endian::little,
              "the file is used where it lies: little-endian machines only");

inline constexpr char kMagic[8] = {'R', 'I', 'L', 'L', '\r', '\n', '\x1a', '\n'};
inline constexpr std::uint32_t kVersion = 3;
using kernels::kAlignment;  // of sections and tensors: 64 bytes
inline constexpr std::size_t kWeightsAlignment = 4096;

struct FileHeader {
  char magic[8];
  std::uint32_t version;
  std::uint32_t section_count;
  std::uint64_t file_bytes;    ///< the whole file
  std::uint32_t table_crc32;   ///< of the section table
  char family[16];             ///< "llama", for people; small letters, digits and '_', padded with zeros
  std::uint32_t reserved[4];   ///< zero
  std::uint32_t header_crc32;  ///< of the 60 bytes before it
};
static_assert(sizeof(FileHeader) == 64);

enum class Encoding : std::uint32_t { kRaw = 0, kZlib = 1 };

struct SectionEntry {
  char name[16];               ///< padded with zeros
  std::uint64_t offset;        ///< from the file's start
  std::uint64_t stored_bytes;  ///< in the file
  std::uint64_t raw_bytes;     ///< after decompression; equal to stored_bytes when raw
  Encoding encoding;
  std::uint32_t crc32;  ///< of the stored bytes
};
static_assert(sizeof(SectionEntry) == 48);

/// What the format says about a section, whatever the file.
struct SectionRule {
  std::string_view name;
  Encoding encoding;
  std::size_t alignment;
  bool required;
  std::uint64_t most_raw_bytes;  ///< of a compressed section: what a reader is willing to inflate
};

/// Every section, in the file's order; the values of Section are its indices.
inline constexpr SectionRule kSections[] = {
    {"config", Encoding::kZlib, kAlignment, true, 8 * 1024},
    {"tensors", Encoding::kRaw, kAlignment, true, UINT64_MAX},
    {"tokenizer", Encoding::kRaw, kAlignment, false, UINT64_MAX},
    {"chat", Encoding::kZlib, kAlignment, false, 64 * 1024},
    {"weights", Encoding::kRaw, kWeightsAlignment, true, UINT64_MAX},
};
enum class Section : std::uint8_t { kConfig, kTensors, kTokenizer, kChat, kWeights };
inline constexpr std::size_t kSectionKinds = std::size(kSections);

/// A name of a fixed field up to its first zero.
template <std::size_t kCapacity>
constexpr std::string_view name_of(const char (&field)[kCapacity]) {
  const std::string_view whole(field, kCapacity);
  return whole.substr(0, whole.find('\0'));
}

/// True if the field holds the name and zeros behind it.
template <std::size_t kCapacity>
constexpr bool is_named(const char (&field)[kCapacity], std::string_view name) {
  const std::string_view whole(field, kCapacity);
  return whole.starts_with(name) && whole.find_first_not_of('\0', name.size()) == std::string_view::npos;
}

/// Puts a name into a fixed field of zeros. The name is shorter than the field.
template <std::size_t kCapacity>
constexpr void put_name(char (&field)[kCapacity], std::string_view name) {
  name.copy(field, kCapacity);
}

struct ConfigEntry {
  char name[24];       ///< padded with zeros
  std::uint64_t bits;  ///< an integer field's value, or the bits of a double
};
static_assert(sizeof(ConfigEntry) == 32);

enum class TensorFormat : std::uint32_t {
  kFloat32 = 0,   ///< [rows, columns] row-major
  kUint64 = 1,    ///< [rows, columns] row-major
  kInt8Tiles = 2  ///< packed as below
};

struct TensorEntry {
  char name[64];  ///< padded with zeros
  TensorFormat format;
  std::uint32_t group;  ///< kInt8Tiles: inputs per scale; else 0
  std::uint64_t rows;
  std::uint64_t columns;
  std::uint64_t offset;  ///< from the file's start
  std::uint64_t bytes;
  std::uint32_t crc32;
  std::uint32_t reserved;
};
static_assert(sizeof(TensorEntry) == 112);

// kInt8Tiles: the layout of platform/kernels/tiles.h.
using kernels::kTileColumns;
using kernels::kTileRows;
using kernels::TileShape;

/// Bytes of a packed matrix; wraps if the shape is hostile.
constexpr Size packed_bytes(std::uint64_t rows, std::uint64_t columns, std::uint64_t group) {
  const Size groups = divide_up(Size(columns), group);
  const Size block = groups * Size(group * kTileRows) + divide_up(groups, 2) * Size(2 * kernels::kScaleBytes);
  return divide_up(Size(rows), kTileRows) * block;
}

// Tensors by name; which of them a model has, in which order and of which shape, says core/model_tensors.cc. "{}" is
// the layer. The bias of a norm or a matrix is called like it, with kBiasSuffix.
inline constexpr std::string_view kRopeTurns = "rope_turns";  // turns per position times 2^64
inline constexpr std::string_view kAlibi = "alibi";
inline constexpr std::string_view kEmbedding = "embedding";
inline constexpr std::string_view kPositions = "positions";
inline constexpr std::string_view kAttentionNorm = "layers.{}.attention_norm";
inline constexpr std::string_view kQkv = "layers.{}.qkv";  // queries, keys, values
inline constexpr std::string_view kQueryNorm = "layers.{}.query_norm";
inline constexpr std::string_view kKeyNorm = "layers.{}.key_norm";
inline constexpr std::string_view kSinkLogits = "layers.{}.sink_logits";
inline constexpr std::string_view kAttentionOut = "layers.{}.out";
inline constexpr std::string_view kAttentionPostNorm = "layers.{}.attention_post_norm";
inline constexpr std::string_view kMlpNorm = "layers.{}.mlp_norm";
inline constexpr std::string_view kRouter = "layers.{}.router";
inline constexpr std::string_view kGateUp = "layers.{}.gate_up";  // per expert: gates, then ups
inline constexpr std::string_view kDown = "layers.{}.down";
inline constexpr std::string_view kMlpPostNorm = "layers.{}.mlp_post_norm";
inline constexpr std::string_view kFinalNorm = "final_norm";
inline constexpr std::string_view kHeadTransform = "head_transform";
inline constexpr std::string_view kHead = "head";
inline constexpr std::string_view kBiasSuffix = ".bias";

}  // namespace rill::format
