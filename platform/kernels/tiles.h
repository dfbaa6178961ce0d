#pragma once
// The one packed layout of int8 matrices, that every instruction set reads without copying.
//
// A matrix [rows, columns] lies as row blocks of 16 rows; rows and columns are padded with zero weights, columns to a
// multiple of the group. One row block, with C padded columns and C / group groups:
//
//   | tile 0: 16 rows x 4 inputs | tile 1 | ... | tile C/4 - 1 | scales: C/group x 16 binary16 | zeros to 64 bytes |
//
// In a tile, row r's four int8 weights are bytes 4 r .. 4 r + 3: one zmm, two ymm, four q registers, or 16 words.
// Weight (r, c) is int8 times the scale of (r, c / group).

#include <cstddef>
#include <cstdint>

#include "platform/size.h"

namespace rill::kernels {

inline constexpr std::size_t kTileRows = 16;
inline constexpr std::size_t kTileColumns = 4;
inline constexpr std::size_t kAlignment = 64;  ///< of tensors, arena items and row blocks: a cache line, a zmm

/// Where the parts of a packed matrix lie.
struct TileShape {
  std::size_t rows = 0;  ///< as the model has them
  std::size_t columns = 0;
  std::size_t group = 0;

  constexpr std::size_t row_blocks() const { return (rows + kTileRows - 1) / kTileRows; }
  constexpr std::size_t padded_rows() const { return row_blocks() * kTileRows; }
  constexpr std::size_t groups() const { return (columns + group - 1) / group; }
  constexpr std::size_t padded_columns() const { return groups() * group; }
  /// Of a weight, from its row block's start; row counts from the block's first.
  constexpr std::size_t offset_in_block(std::size_t row, std::size_t column) const {
    return column / kTileColumns * kTileRows * kTileColumns + row * kTileColumns + column % kTileColumns;
  }
  constexpr std::size_t scales_offset() const { return kTileRows * padded_columns(); }
  constexpr std::size_t block_bytes() const {
    return round_up(scales_offset() + kTileRows * sizeof(std::uint16_t) * groups(), kAlignment);
  }
};

}  // namespace rill::kernels
