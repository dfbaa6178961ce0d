// AVX-VNNI: AVX2 with vpdpbusd, the dot product of four unsigned with four signed bytes.

#include <immintrin.h>

#include <cmath>
#include <cstring>

#include "platform/kernels/kernels.h"

namespace rill::kernels::avx_vnni {
namespace {

constexpr int kShift = 128;  // of activations: vpdpbusd's unsigned side
constexpr std::size_t kBlocksTogether = 1;
constexpr bool kWideParts = true;
constexpr std::size_t kFewTokens = 2;
constexpr bool kStraightGroups = true;

/// sum + dot products of four bytes each; x is shifted up by 128, so the sum must have begun at -128 times the sum of
/// the weights.
inline __m256i dot_bytes(__m256i sum, __m256i weights, __m256i x) { return _mm256_dpbusd_avx_epi32(sum, x, weights); }

#include "platform/kernels/ymm.h"

/// A group's dot products with what the activations are shifted up by, which is to be taken from them.
inline IntLanes excess_of(const std::byte* tiles, std::size_t group_bytes) {
  const __m256i shift = _mm256_set1_epi8(static_cast<char>(kShift));
  IntLanes sums = int_all(0);
  for (std::size_t at = 0; at < group_bytes; at += kTileBytes) {
    sums.lo = dot_bytes(sums.lo, load_bytes(tiles + at), shift);
    sums.hi = dot_bytes(sums.hi, load_bytes(tiles + at + 32), shift);
  }
  return sums;
}

/// Tokens that meet a weight at a time: as many as the registers hold.
constexpr std::size_t kRunTokens = 3;

/// Groups of a row block that stay in the first-level cache while all tokens pass.
constexpr std::size_t kPanelGroups = 32;

template <std::size_t kTiles>
void multiply_block(const std::byte* block, const TileShape& shape, const Activations& x, std::size_t tokens, float* y,
                    std::size_t out_stride) {
  IntLanes excess[kPanelGroups];
  for (std::size_t begin = 0; begin < x.groups; begin += kPanelGroups) {
    const std::size_t end = begin + kPanelGroups < x.groups ? begin + kPanelGroups : x.groups;
    for (std::size_t g = begin; g < end; ++g) {
      excess[g - begin] = excess_of(block + shape.tiles_offset(g), shape.group_bytes());
    }
    const NextLines next = NextLines::behind(block, shape, end, kPanelGroups);
    std::size_t t = 0;
    const auto run = [&]<int kTokens>() {
      next.fetch(t, t + kTokens, tokens);
      multiply_run<kTokens, kTiles, true>(block, shape, begin, end, excess, x.from_row(t), y + t * out_stride,
                                          out_stride);
      t += kTokens;
    };
    while (t + kRunTokens <= tokens) run.template operator()<kRunTokens>();
    if (t + 2 <= tokens) run.template operator()<2>();
    if (t < tokens) run.template operator()<1>();
  }
}

void multiply_many(const Matrix& w, std::size_t first_block, std::size_t end_block, const Activations& x,
                   std::size_t tokens, float* out, std::size_t out_stride) {
  const auto multiply_one = w.shape.group == 32   ? multiply_block<8>
                            : w.shape.group == 64 ? multiply_block<16>
                                                  : multiply_block<0>;
  for (std::size_t block = first_block; block < end_block; ++block) {
    multiply_one(w.blocks + block * w.shape.block_bytes(), w.shape, x, tokens, out + block * kTileRows, out_stride);
  }
}

/// sum += dot products of four unsigned with four signed bytes each. In assembly: with many sums GCC moves them about.
inline void add_dots(IntLanes& sums, __m256i lo, __m256i hi, __m256i signed_bytes) {
  __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums.lo) : "x"(lo), "x"(signed_bytes));
  __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums.hi) : "x"(hi), "x"(signed_bytes));
}

/// kRows of x from `first` on: every tile is loaded once for all of them. It is vpdpbusd's unsigned side, shifted up by
/// 128, so that a row's sums begin at -128 times the sum of its elements.
template <std::size_t kRows>
void dot_wide_rows(const WideRows& x, std::size_t first, const TileBlocks& blocks, bool adds, std::int32_t* out,
                   std::size_t out_stride) {
  const __m256i shift = _mm256_set1_epi8(static_cast<char>(0x80));
  for (std::size_t b = 0; b < blocks.count; ++b) {
    const std::int8_t* tile = blocks.tiles + b * blocks.stride;
    const std::int8_t* values = x.values + first * kWideBytes;
    IntLanes high[kRows];
    IntLanes low[kRows];
#pragma GCC unroll 3
    for (std::size_t q = 0; q < kRows; ++q) {
      high[q] = int_all(0);
      low[q] = int_all(less_shift(x.sums[first + q]));
    }
    for (std::size_t c = 0; c < x.columns; c += 16, values += x.count * kWideBytes) {
#pragma GCC unroll 4
      for (std::size_t step = 0; step < 4; ++step, tile += kTileBytes) {
        // A token's rows alone read what nobody has read for a while; more of them share.
        if constexpr (kRows < kMostQueries / 2) __builtin_prefetch(tile + kReadAhead);
        const __m256i lo = _mm256_xor_si256(load_bytes(tile), shift);
        const __m256i hi = _mm256_xor_si256(load_bytes(tile + 32), shift);
#pragma GCC unroll 3
        for (std::size_t q = 0; q < kRows; ++q) {
          const std::int8_t* const four = values + q * kWideBytes + step * kTileColumns;
          add_dots(high[q], lo, hi, broadcast_four(four));
          add_dots(low[q], lo, hi, broadcast_four(four + 16));
        }
      }
    }
#pragma GCC unroll 3
    for (std::size_t q = 0; q < kRows; ++q) {
      std::int32_t* const y = out + (first + q) * out_stride + b * kTileRows;
      const IntLanes sums = int_add(times_256(high[q]), low[q]);
      store_int32(adds ? int_add(load_int32(y), sums) : sums, y);
    }
  }
}

void dot_wide(const WideRows& x, const TileBlocks& blocks, bool adds, std::int32_t* out, std::size_t out_stride) {
  for_runs<3>(x.count, [&]<std::size_t kRows>(std::size_t first) {  // three are 12 registers of sums
    dot_wide_rows<kRows>(x, first, blocks, adds, out, out_stride);
  });
}

// One step of the peak: the instruction alone.
#define RILL_PEAK_STEP(n) "%{vex%} vpdpbusd %%ymm15, %%ymm15, %%ymm" #n "\n\t"

#include "platform/kernels/ymm_limits.h"

}  // namespace

extern const KernelSet kSet;
constinit const KernelSet kSet = RILL_KERNEL_ROW("avx_vnni", cpu_feature::kAvx2 | cpu_feature::kAvxVnni);

}  // namespace rill::kernels::avx_vnni
