// AVX2 with FMA and F16C: 256-bit registers, no dot product of bytes.

#include <immintrin.h>

#include <array>
#include <cmath>
#include <cstring>

#include "platform/kernels/kernels.h"

namespace rill::kernels::avx2 {
namespace {

/// sum + dot products of four signed bytes each. vpmaddubsw adds two products in 16 bits with saturation; with the
/// weights' magnitude as its unsigned side they stay below 2 * 128 * 127 = 32512, so nothing saturates.
inline __m256i dot_bytes(__m256i sum, __m256i weights, __m256i x) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
constexpr int kShift = 0;  // signed times signed needs no correction
constexpr std::size_t kBlocksTogether = 1;
constexpr bool kWideParts = false;
constexpr std::size_t kFewTokens = 8;    // up to here taking the weights apart costs as much as it gains
constexpr bool kStraightGroups = false;  // decode is 1.1 times as fast in steps of four tiles (Zen 3)

#include "platform/kernels/ymm.h"

// A weight that meets more than kFewTokens tokens is taken apart first, once for all that it meets: w x = |w| (x ^ m) +
// n, where m is all ones and n is |w| if w is below zero, and both are nothing otherwise, as -x = (x ^ -1) + 1. The n
// of a row's group are where its sums begin. So only two of a dot product's four instructions wait for the two ports
// that multiply on AMD's cores, where dot_bytes has three. |w| is 128 at most and x ^ m from -128 to 127, of which 127
// only meets a w of 127 at most: the sum of two products is exact in 16 bits.

/// Inputs whose weights, taken apart, stay in the first-level cache while all tokens pass.
constexpr std::size_t kPanelInputs = 576;
constexpr std::size_t kPanelGroups = kPanelInputs / 16;  ///< a model's groups have 16 inputs or more
constexpr std::size_t kPassTokens = 4;                   ///< two registers of sums each leave room for operands

/// A run of groups of one row block, tiles as they lie in memory.
struct Panel {
  alignas(kAlignment) std::int8_t magnitudes[kPanelInputs * kTileRows];
  alignas(kAlignment) std::int8_t signs[kPanelInputs * kTileRows];  ///< -1 or 0
  alignas(kAlignment) std::int32_t first_sums[kPanelGroups * kTileRows];
};

/// Takes one group's weights apart. @param at  of the group, in weights
inline void fill_group(const std::byte* tiles, std::size_t bytes, std::size_t at, std::int32_t* first_sums,
                       Panel& panel) {
  const __m256i zero = _mm256_setzero_si256();
  IntLanes below_zero = int_all(0);
  const auto take_apart = [&](__m256i w, std::size_t to, __m256i sum) {
    const __m256i sign = _mm256_cmpgt_epi8(zero, w);
    const __m256i magnitude = _mm256_abs_epi8(w);
    _mm256_store_si256(reinterpret_cast<__m256i*>(panel.magnitudes + to), magnitude);
    _mm256_store_si256(reinterpret_cast<__m256i*>(panel.signs + to), sign);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_and_si256(magnitude, sign), _mm256_set1_epi8(1));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  };
  for (std::size_t i = 0; i < bytes; i += kTileBytes) {
    below_zero.lo = take_apart(load_bytes(tiles + i), at + i, below_zero.lo);
    below_zero.hi = take_apart(load_bytes(tiles + i + 32), at + i + 32, below_zero.hi);
  }
  store_int32(below_zero, first_sums);
}

/// sum += the dot products of 8 rows with four activations. In assembly: compilers make the products of all tokens
/// first, and then have no register left for some of the sums.
inline void add_products(__m256i& sum, __m256i magnitudes, __m256i signs, __m256i four) {
  __m256i products;
  __asm__("vpxor %4, %3, %1\n\tvpmaddubsw %1, %2, %1\n\tvpmaddwd %5, %1, %1\n\tvpaddd %1, %0, %0"
          : "+x"(sum), "=&x"(products)
          : "x"(magnitudes), "x"(signs), "x"(four), "x"(_mm256_set1_epi16(1)));
}

/// Groups [begin, end), which are the panel's, times kTokens tokens. Adds to out unless begin is 0.
/// @tparam kGroup  inputs a group, 0 if only known at run time: known, a group is straight code
template <std::size_t kTokens, std::size_t kGroup>
void multiply_panel(const Panel& panel, const std::byte* block, const TileShape& shape, std::size_t begin,
                    std::size_t end, const Activations& x, float* out, std::size_t out_stride) {
  const std::size_t group = kGroup != 0 ? kGroup : shape.group;
  const std::int8_t* magnitudes = panel.magnitudes;
  const std::int8_t* signs = panel.signs;
  Lanes y[kTokens];
  for (std::size_t t = 0; t < kTokens; ++t) y[t] = begin == 0 ? all(0.0F) : load(out + t * out_stride);
  for (std::size_t g = begin; g < end; ++g) {
    const std::int8_t* const values = x.values + g * group;
    IntLanes sums[kTokens];
    for (auto& lanes : sums) lanes = load_int32(panel.first_sums + (g - begin) * kTileRows);
#pragma GCC unroll 16
    for (std::size_t i = 0; i < group; i += kTileColumns, magnitudes += kTileBytes, signs += kTileBytes) {
      for (std::size_t t = 0; t < kTokens; ++t) {
        const __m256i four = broadcast_four(values + t * x.columns + i);
        add_products(sums[t].lo, load_bytes(magnitudes), load_bytes(signs), four);
        add_products(sums[t].hi, load_bytes(magnitudes + 32), load_bytes(signs + 32), four);
      }
    }
    const auto* scales = reinterpret_cast<const __m128i*>(block + shape.scales_offset(g));
    const Lanes w = {_mm256_cvtph_ps(_mm_loadu_si128(scales)), _mm256_cvtph_ps(_mm_loadu_si128(scales + 1))};
    for (std::size_t t = 0; t < kTokens; ++t) {
      y[t] = fma(to_float(sums[t]), multiply(w, all(x.scales[t * x.groups + g])), y[t]);
    }
  }
  for (std::size_t t = 0; t < kTokens; ++t) store(y[t], out + t * out_stride);
}

/// One row block times any number of tokens, panel by panel.
template <std::size_t kGroup>
void multiply_block(const std::byte* block, const TileShape& shape, const Activations& x, std::size_t tokens,
                    float* out, std::size_t out_stride) {
  constexpr auto kPasses = std::array{multiply_panel<1, kGroup>, multiply_panel<2, kGroup>, multiply_panel<3, kGroup>,
                                      multiply_panel<4, kGroup>};
  Panel panel;
  const std::size_t fitting = kPanelInputs / shape.group;
  const std::size_t panel_groups = fitting < kPanelGroups ? fitting : kPanelGroups;
  for (std::size_t begin = 0; begin < x.groups; begin += panel_groups) {
    const std::size_t end = begin + panel_groups < x.groups ? begin + panel_groups : x.groups;
    for (std::size_t g = begin; g < end; ++g) {
      const std::byte* const tiles = block + shape.tiles_offset(g);
      fill_group(tiles, shape.group_bytes(), (g - begin) * shape.group_bytes(),
                 panel.first_sums + (g - begin) * kTileRows, panel);
    }
    const NextLines next = NextLines::behind(block, shape, end, panel_groups);
    for (std::size_t t = 0; t < tokens; t += kPassTokens) {
      const std::size_t pass = tokens - t < kPassTokens ? tokens - t : kPassTokens;
      next.fetch(t, t + pass, tokens);
      kPasses[pass - 1](panel, block, shape, begin, end, x.from_row(t), out + t * out_stride, out_stride);
    }
  }
}

void multiply_many(const Matrix& w, std::size_t first_block, std::size_t end_block, const Activations& x,
                   std::size_t tokens, float* out, std::size_t out_stride) {
  const auto multiply_one = w.shape.group == 32   ? multiply_block<32>
                            : w.shape.group == 64 ? multiply_block<64>
                            : w.shape.group <= kPanelInputs
                                ? multiply_block<0>
                                : multiply_few<0>;  // a group's sum is exact only as a whole
  for (std::size_t block = first_block; block < end_block; ++block) {
    multiply_one(w.blocks + block * w.shape.block_bytes(), w.shape, x, tokens, out + block * kTileRows, out_stride);
  }
}

// A key or a value, which meets numbers of 16 bits, is widened to 16 bits itself: a dot product is then vpmaddwd and an
// addition.

/// Four rows of a tile in 16 bits.
inline __m256i widen_quarter(const std::int8_t* p) {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

/// Four 16-bit elements in every 64-bit lane.
inline __m256i broadcast_wide(const std::int8_t* p) {
  std::int64_t four;
  std::memcpy(&four, p, sizeof four);
  return _mm256_set1_epi64x(four);
}

/// sum += the products of 16 numbers, neighbours added. In assembly for the same reason.
inline void add_pair(__m256i& sum, __m256i rows, __m256i pair) {
  __m256i products;
  __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(products) : "x"(rows), "x"(pair));
}

/// Eight 32-bit sums of the neighbouring pairs in two registers, in order.
inline __m256i add_neighbours(__m256i a, __m256i b) { return _mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), 0xd8); }

/// kRows rows of x: every tile is widened once for all of them. Four rows of a tile are a register, in which a
/// row's four products become two sums, that are only added to each other at the end.
template <std::size_t kRows>
void dot_wide_rows(const WideRows& x, const TileBlocks& blocks, bool adds, std::int32_t* out, std::size_t out_stride) {
  for (std::size_t half = 0; half < 2 * blocks.count; ++half) {
    const std::int8_t* tile = blocks.tiles + half / 2 * blocks.stride + half % 2 * 32;
    const std::int8_t* values = x.values;
    __m256i sums[kRows][2];
    for (auto& of_row : sums) of_row[0] = of_row[1] = _mm256_setzero_si256();
    for (std::size_t c = 0; c < x.columns; c += 16, values += x.count * kWideBytes) {
#pragma GCC unroll 4
      for (std::size_t step = 0; step < 4; ++step, tile += kTileBytes) {
        // A token's rows alone read what nobody has read for a while; more of them share.
        if constexpr (kRows < kMostQueries) __builtin_prefetch(tile + kReadAhead);
        const __m256i lo = widen_quarter(tile);
        const __m256i hi = widen_quarter(tile + 16);
        for (std::size_t q = 0; q < kRows; ++q) {
          const __m256i four = broadcast_wide(values + q * kWideBytes + step * 8);
          add_pair(sums[q][0], lo, four);
          add_pair(sums[q][1], hi, four);
        }
      }
    }
    for (std::size_t q = 0; q < kRows; ++q) {
      auto* const y = reinterpret_cast<__m256i*>(out + q * out_stride + half * 8);
      const __m256i rows = add_neighbours(sums[q][0], sums[q][1]);
      _mm256_storeu_si256(y, adds ? _mm256_add_epi32(_mm256_loadu_si256(y), rows) : rows);
    }
  }
}

void dot_wide(const WideRows& x, const TileBlocks& blocks, bool adds, std::int32_t* out, std::size_t out_stride) {
  constexpr auto kByCount = std::array{dot_wide_rows<1>, dot_wide_rows<2>, dot_wide_rows<3>,
                                       dot_wide_rows<4>, dot_wide_rows<5>, dot_wide_rows<6>};
  kByCount[x.count - 1](x, blocks, adds, out, out_stride);
}

// One step of the peak: the three instructions that a dot product of bytes takes at least. The kernels' own takes two
// more, for the signs.
#define RILL_PEAK_STEP(n)                    \
  "vpmaddubsw %%ymm15, %%ymm15, %%ymm14\n\t" \
  "vpmaddwd %%ymm15, %%ymm14, %%ymm14\n\t"   \
  "vpaddd %%ymm14, %%ymm" #n ", %%ymm" #n "\n\t"

#include "platform/kernels/ymm_limits.h"

}  // namespace

extern const KernelSet kSet;
constinit const KernelSet kSet = RILL_KERNEL_ROW("avx2", cpu_feature::kAvx2);

}  // namespace rill::kernels::avx2
