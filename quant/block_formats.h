#pragma once
// The tensor encodings of GGUF files: one row per encoding that says what a block of bytes holds and how it becomes
// float32. Source of every layout: the block structures of ggml (ggml-common.h) and the GGUF specification.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "platform/status.h"

namespace rill::quant {

/// One encoding. A tensor's row is a whole number of blocks, one after the other.
struct BlockFormat {
  std::uint32_t id;        ///< GGUF's number for the type
  std::string_view name;   ///< as GGUF spells it: "Q4_K"
  std::uint32_t elements;  ///< per block
  std::uint32_t bytes;     ///< per block
  /// Decodes whole blocks. Every product of scales and integers fits float32's 24 bits, so a value is rounded at most
  /// once, where a minimum is added: it is the float32 nearest to the definition, with or without fused multiply-add.
  /// @param blocks  [count * bytes], any alignment
  /// @param out     [count * elements]
  void (*dequantize)(const std::byte* blocks, std::size_t count, float* out);
};

/// Every encoding there is, by ascending id.
std::span<const BlockFormat> block_formats();
/// The encoding with this id. kBadInput, with the list of all, if there is none.
/// @param where  what the sentence begins with: file, tensor, offset.
Result<const BlockFormat*> find_block_format(std::uint32_t id, const Text& where);

}  // namespace rill::quant
