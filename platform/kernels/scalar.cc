// The reference: plain loops that say what every other set must equal, bit for bit. Runs on anything.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "platform/half.h"
#include "platform/kernels/kernels.h"

namespace rill::kernels::scalar {
namespace {

#include "platform/kernels/plain_lanes.h"

constexpr int kShift = 0;
constexpr std::size_t kBlocksTogether = 1;
constexpr bool kWideParts = false;

#include "platform/kernels/lane_rules.h"

/// sums[r] += dot(row r of the tiles, x) for `columns` columns: exact.
inline void dot_tiles(const std::int8_t* tiles, const std::int8_t* x, std::size_t columns, std::int32_t* sums) {
  for (std::size_t c = 0; c < columns; c += kTileColumns) {
    for (std::size_t r = 0; r < kTileRows; ++r) {
      for (std::size_t k = 0; k < kTileColumns; ++k) {
        sums[r] += std::int32_t{tiles[c * kTileRows + r * kTileColumns + k]} * x[c + k];
      }
    }
  }
}

void multiply_matrix(const Matrix& w, std::size_t first_block, std::size_t end_block, const Activations& x,
                     std::size_t tokens, float* out, std::size_t out_stride) {
  const std::size_t group = w.shape.group;
  for (std::size_t block = first_block; block < end_block; ++block) {
    const std::byte* start = w.blocks + block * w.shape.block_bytes();
    for (std::size_t t = 0; t < tokens; ++t) {
      const Activations row = x.from_row(t);
      float* y = out + t * out_stride + block * kTileRows;
      std::fill_n(y, kTileRows, 0.0F);
      for (std::size_t g = 0; g < row.groups; ++g) {
        const auto* tiles = reinterpret_cast<const std::int8_t*>(start + w.shape.tiles_offset(g));
        const auto* scales = reinterpret_cast<const std::uint16_t*>(start + w.shape.scales_offset(g));
        std::int32_t sums[kTileRows] = {};
        dot_tiles(tiles, row.values + g * group, group, sums);
        for (std::size_t r = 0; r < kTileRows; ++r) {
          const float scale = half_to_float(scales[r]) * row.scales[g];
          y[r] = std::fma(static_cast<float>(sums[r]), scale, y[r]);
        }
      }
    }
  }
}

void dot_wide(const WideRows& x, const TileBlocks& blocks, bool adds, std::int32_t* out, std::size_t out_stride) {
  for (std::size_t q = 0; q < x.count; ++q) {
    for (std::size_t b = 0; b < blocks.count; ++b) {
      std::int32_t* const y = out + q * out_stride + b * kTileRows;
      std::uint32_t sums[kTileRows] = {};  // unsigned, as they may pass 2^31 on the way
      const std::int8_t* tiles = blocks.tiles + b * blocks.stride;
      for (std::size_t c = 0; c < x.columns; ++c) {
        std::int16_t element;
        std::memcpy(&element, x.values + (c / 16 * x.count + q) * kWideBytes + c % 16 * sizeof element, sizeof element);
        for (std::size_t r = 0; r < kTileRows; ++r) {
          const std::int8_t weight = tiles[c / kTileColumns * kTileBytes + r * kTileColumns + c % kTileColumns];
          sums[r] += static_cast<std::uint32_t>(std::int32_t{weight} * element);
        }
      }
      for (std::size_t r = 0; r < kTileRows; ++r) {
        y[r] = static_cast<std::int32_t>(sums[r] + (adds ? static_cast<std::uint32_t>(y[r]) : 0U));
      }
    }
  }
}

// The limits that `rill bench` measures. Without a dot product of its own the set's peak is that of its plain loop, on
// operands that stay in the first cache.

std::uint64_t read_bytes(const std::byte* bytes, std::size_t size) {
  constexpr std::size_t kSums = 16;
  std::uint64_t sums[kSums] = {};
  const auto* words = reinterpret_cast<const std::uint64_t*>(bytes);
  for (std::size_t i = 0; i < size / sizeof(std::uint64_t); i += kSums) {
    for (std::size_t k = 0; k < kSums; ++k) sums[k] += words[i + k];
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t part : sums) sum += part;
  return sum;
}

std::uint64_t dot_products(std::uint64_t rounds) {
  constexpr std::size_t kColumns = 32;
  std::int8_t tiles[kTileRows * kColumns];
  std::int8_t x[kColumns];
  std::int32_t sums[kTileRows] = {};
  std::fill_n(tiles, sizeof tiles, std::int8_t{1});
  std::fill_n(x, sizeof x, std::int8_t{1});
  for (std::uint64_t round = 0; round < rounds; ++round) {
    __asm__ volatile("" : : "r"(tiles), "r"(x), "r"(sums) : "memory");  // whatever they are, they may be new
    std::fill_n(sums, kTileRows, 0);
    dot_tiles(tiles, x, kColumns, sums);
  }
  __asm__ volatile("" : : "r"(sums) : "memory");
  return rounds * kTileRows * kColumns;
}

}  // namespace

extern const KernelSet kSet;
constinit const KernelSet kSet = RILL_KERNEL_ROW("scalar", cpu_feature::kNone);

}  // namespace rill::kernels::scalar
