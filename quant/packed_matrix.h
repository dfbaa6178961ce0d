#pragma once
// float32 rows to int8 tiles and back: how a scale is chosen, and where each byte goes (core/model_format.h).

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/model_format.h"

namespace rill::quant {

/// The largest magnitude that a weight may have: the largest binary16 times 127. Beyond it there is no scale.
inline constexpr float kLargestWeight = 65504.0F * 127.0F;

/// Most inputs that may share a scale.
inline constexpr std::size_t kMostGroup = 256;

/// How a group's scale is found.
enum class ScaleSearch : bool {
  kNone,  ///< amax / 127
  kFull   ///< the best of some seventy
};

/// Quantizes the weights of one group to whole multiples, -127 to 127, of one binary16 scale.
///
/// The scale is amax / k, rounded to binary16, for the k that leaves the least squared error. k = 127 is tried first
/// and kept if it leaves none, so that multiples of a power of two come back as they were; then 126 down to 64. A
/// source that is itself quantized (multiples, up to m, of its own scale) is met exactly by some k = m 2^j. Smaller k
/// serve scales so small that binary16 has no half of them.
/// @param weights    [n], n <= kMostGroup, finite, magnitudes up to kLargestWeight.
/// @param quantized  [n]
/// @param search     kNone keeps k = 127, for what need not be exact
/// @returns the scale as binary16; 0 if all weights are zero or too small for any scale, and then all of `quantized` is
/// 0.
std::uint16_t quantize_group(std::span<const float> weights, std::span<std::int8_t> quantized,
                             ScaleSearch search = ScaleSearch::kFull);

/// Quantizes 1 to 16 rows of a matrix into one row block of its packed form; rows that are not there become zeros.
/// @param rows   [n, shape.columns] float32, n <= 16, as quantize_group() wants them.
/// @param block  [shape.block_bytes()], overwritten.
void pack_row_block(std::span<const float> rows, const format::TileShape& shape, std::span<std::byte> block,
                    ScaleSearch search = ScaleSearch::kFull);

/// One row of a row block as the numbers that it stands for: int8 times scale, exact in float32.
/// @param block  [shape.block_bytes()]
/// @param row    0 to 15
/// @param out    [shape.columns]
void unpack_row(std::span<const std::byte> block, const format::TileShape& shape, std::size_t row,
                std::span<float> out);

}  // namespace rill::quant
