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
constexpr bool kWideParts = false;
constexpr std::size_t kFewTokens = 32;  // up to here widening the weights costs as much as it gains

#include "platform/kernels/ymm.h"

// A weight that meets more than kFewTokens tokens, and every key, is widened to 16 bits first, once for all that it
// meets: a dot product is then vpmaddwd and an addition. Of bytes it takes four instructions, of which three wait for
// the two ports that multiply on AMD's cores.

/// Inputs whose weights, widened and of two row blocks, stay in the first-level cache together with the tokens'.
constexpr std::size_t kPanelInputs = 256;
constexpr std::size_t kPanelBlocks = kBlocksTogether;
constexpr std::size_t kPassTokens = 4;  ///< two registers of sums each leave room for operands

/// Tiles widened: for each pair of a tile's inputs 16 rows of that pair, one 32-bit lane a row.
struct WidePanel {
  alignas(32) std::int16_t weights[kPanelBlocks][kPanelInputs * kTileRows];
  alignas(32) std::int16_t x[kPassTokens][kPanelInputs];
};

/// A register's 8 rows of four bytes as two registers of 8 rows of two 16-bit numbers.
inline void widen_rows(__m256i rows, std::int16_t* first_pair, std::int16_t* second_pair) {
  // Each byte to the upper half of its place, whence an arithmetic shift brings it down with its sign.
  const __m256i first = _mm256_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13,  //
                                         -1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13);
  const __m256i second = _mm256_add_epi8(first, _mm256_set1_epi16(0x0200));
  const auto widen = [&](__m256i bytes) { return _mm256_srai_epi16(_mm256_shuffle_epi8(rows, bytes), 8); };
  _mm256_store_si256(reinterpret_cast<__m256i*>(first_pair), widen(first));
  _mm256_store_si256(reinterpret_cast<__m256i*>(second_pair), widen(second));
}

inline void widen_tiles(const void* tiles, std::size_t bytes, std::int16_t* out) {
  const auto* p = static_cast<const std::byte*>(tiles);
  for (std::size_t at = 0; at < bytes; at += kTileBytes, out += kTileBytes) {
    widen_rows(load_bytes(p + at), out, out + 32);
    widen_rows(load_bytes(p + at + 32), out + 16, out + 48);
  }
}

/// Two 16-bit activations in every 32-bit lane.
inline __m256i broadcast_pair(const std::int16_t* p) {
  std::int32_t two;
  std::memcpy(&two, p, sizeof two);
  return _mm256_set1_epi32(two);
}

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

/// sum += the dot products of 8 widened rows with a pair. In assembly: compilers make the products of all tokens first,
/// and then have no register left for some of the sums.
inline void add_pair(__m256i& sum, __m256i rows, __m256i pair) {
  __m256i products;
  __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(products) : "x"(rows), "x"(pair));
}

/// sums[t] += the dot products of 16 widened rows with `inputs` activations of each token; inputs a multiple of 4.
template <std::size_t kTokens>
inline void add_wide_products(const std::int16_t* rows, std::size_t inputs, const std::int16_t* x, std::size_t x_stride,
                              IntLanes (&sums)[kTokens]) {
  for (std::size_t c = 0; c < inputs; c += 4) {
#pragma GCC unroll 2
    for (std::size_t i = c; i < c + 4; i += 2, rows += 2 * kTileRows) {
      const __m256i lo = load_bytes(rows);
      const __m256i hi = load_bytes(rows + kTileRows);
      for (std::size_t t = 0; t < kTokens; ++t) {
        const __m256i pair = broadcast_pair(x + t * x_stride + i);
        add_pair(sums[t].lo, lo, pair);
        add_pair(sums[t].hi, hi, pair);
      }
    }
  }
}

/// Groups [begin, end) of one row block of the panel times kTokens of its tokens. Adds to out unless begin is 0.
template <std::size_t kTokens>
void multiply_wide(const WidePanel& panel, std::size_t panel_block, const std::byte* block, const TileShape& shape,
                   std::size_t begin, std::size_t end, const Activations& x, float* out, std::size_t out_stride) {
  for (std::size_t g = begin; g < end; ++g) {
    const std::size_t first = (g - begin) * shape.group;
    IntLanes sums[kTokens];
    for (auto& lanes : sums) lanes = int_all(0);
    add_wide_products<kTokens>(panel.weights[panel_block] + first * kTileRows, shape.group, panel.x[0] + first,
                               kPanelInputs, sums);
    const auto* scales = reinterpret_cast<const __m128i*>(block + shape.scales_offset(g));
    const Lanes w = {_mm256_cvtph_ps(_mm_loadu_si128(scales)), _mm256_cvtph_ps(_mm_loadu_si128(scales + 1))};
    for (std::size_t t = 0; t < kTokens; ++t) {
      const Lanes y = g == 0 ? all(0.0F) : load(out + t * out_stride);
      store(fma(to_float(sums[t]), multiply(w, all(x.scales[t * x.groups + g])), y), out + t * out_stride);
    }
  }
}

/// `count` row blocks times any number of tokens, in panels of groups.
void multiply_panels(const std::byte* blocks, std::size_t count, const TileShape& shape, const Activations& x,
                     std::size_t tokens, float* out, std::size_t out_stride) {
  constexpr auto kPasses = std::array{multiply_wide<1>, multiply_wide<2>, multiply_wide<3>, multiply_wide<4>};
  WidePanel panel;
  const std::size_t panel_groups = kPanelInputs / shape.group;
  for (std::size_t begin = 0; begin < x.groups; begin += panel_groups) {
    const std::size_t end = begin + panel_groups < x.groups ? begin + panel_groups : x.groups;
    for (std::size_t b = 0; b < count; ++b) {
      for (std::size_t g = begin; g < end; ++g) {
        const std::byte* const tiles = blocks + b * shape.block_bytes() + shape.tiles_offset(g);
        prefetch_group(tiles, shape.group_bytes());
        widen_tiles(tiles, shape.group_bytes(), panel.weights[b] + (g - begin) * shape.group * kTileRows);
      }
    }
    for (std::size_t t = 0; t < tokens; t += kPassTokens) {
      const std::size_t pass = tokens - t < kPassTokens ? tokens - t : kPassTokens;
      for (std::size_t k = 0; k < pass; ++k) {
        const std::int8_t* const values = x.from_row(t + k).values + begin * shape.group;
        for (std::size_t i = 0; i < (end - begin) * shape.group; i += 16) {
          const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(values + i));
          _mm256_store_si256(reinterpret_cast<__m256i*>(panel.x[k] + i), _mm256_cvtepi8_epi16(bytes));
        }
      }
      for (std::size_t b = 0; b < count; ++b) {
        kPasses[pass - 1](panel, b, blocks + b * shape.block_bytes(), shape, begin, end, x.from_row(t),
                          out + t * out_stride + b * kTileRows, out_stride);
      }
    }
  }
}

void multiply_many(const Matrix& w, std::size_t first_block, std::size_t end_block, const Activations& x,
                   std::size_t tokens, float* out, std::size_t out_stride) {
  for (std::size_t block = first_block; block < end_block; block += kPanelBlocks) {
    const std::size_t count = end_block - block < kPanelBlocks ? end_block - block : kPanelBlocks;
    const std::byte* const blocks = w.blocks + block * w.shape.block_bytes();
    float* const y = out + block * kTileRows;
    if (w.shape.group <= kPanelInputs) {
      multiply_panels(blocks, count, w.shape, x, tokens, y, out_stride);
      continue;
    }
    for (std::size_t b = 0; b < count; ++b) {  // a group's sum is exact only as a whole
      multiply_few<0>(blocks + b * w.shape.block_bytes(), w.shape, x, tokens, y + b * kTileRows, out_stride);
    }
  }
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
