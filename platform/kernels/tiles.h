#pragma once
// The one packed layout of int8 matrices, that every instruction set reads without copying.
//
// A matrix [rows, columns] lies as row blocks of 16 rows; rows and columns are padded with zero weights, columns to a
// multiple of the group. A row block is pairs of groups, each a line of scales and then the weights that they scale, so
// that whoever streams through it meets every byte in the order of use:
//
//   | 2 x 16 binary16: scales of groups 0 and 1 | tiles of group 0 | tiles of group 1 | scales of groups 2 and 3 | ...
//
// An odd last group has its line to itself, filled up with zeros. A tile is 16 rows x 4 inputs: row r's four int8
// weights are bytes 4 r .. 4 r + 3: one zmm, two ymm, four q registers, or 16 words. Weight (r, c) is int8 times the
// scale of (r, c / group).

#include <cstddef>
#include <cstdint>

#include "platform/size.h"

namespace rill::kernels {

inline constexpr std::size_t kTileRows = 16;
inline constexpr std::size_t kTileColumns = 4;
inline constexpr std::size_t kTileBytes = kTileRows * kTileColumns;
inline constexpr std::size_t kScaleBytes = kTileRows * sizeof(std::uint16_t);  ///< of one group's scales
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
    const std::size_t in_group = column % group;
    return tiles_offset(column / group) + in_group / kTileColumns * kTileBytes + row * kTileColumns +
           in_group % kTileColumns;
  }
  /// Where a group's 16 scales begin.
  constexpr std::size_t scales_offset(std::size_t g) const { return g / 2 * pair_bytes() + g % 2 * kScaleBytes; }
  /// Where its tiles begin.
  constexpr std::size_t tiles_offset(std::size_t g) const {
    return g / 2 * pair_bytes() + 2 * kScaleBytes + g % 2 * group_bytes();
  }
  /// Where the bytes begin that a group adds to those before it: of a pair the first brings the scales of both. Of the
  /// group behind the last: the row block's end.
  constexpr std::size_t group_begin(std::size_t g) const {
    if (g >= groups()) return block_bytes();
    return g % 2 == 0 ? scales_offset(g) : tiles_offset(g);
  }
  constexpr std::size_t group_bytes() const { return kTileRows * group; }
  constexpr std::size_t pair_bytes() const { return 2 * (kScaleBytes + group_bytes()); }
  constexpr std::size_t block_bytes() const { return (groups() + 1) / 2 * 2 * kScaleBytes + groups() * group_bytes(); }
};

}  // namespace rill::kernels
