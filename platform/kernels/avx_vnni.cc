// AVX-VNNI: AVX2 with vpdpbusd, the dot product of four unsigned with four signed bytes.

#include <immintrin.h>

#include <cmath>
#include <cstring>

#include "platform/kernels/kernels.h"

namespace rill::kernels::avx_vnni {
namespace {

constexpr int kShift = 128;  // of activations: vpdpbusd's unsigned side
constexpr std::size_t kFewTokens = 2;

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
      prefetch_group(block + shape.tiles_offset(g), shape.group_bytes());
      excess[g - begin] = excess_of(block + shape.tiles_offset(g), shape.group_bytes());
    }
    std::size_t t = 0;
    const auto run = [&]<int kTokens>() {
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
  const auto multiply_one = w.shape.group == 32 ? multiply_block<8> : multiply_block<0>;
  for (std::size_t block = first_block; block < end_block; ++block) {
    multiply_one(w.blocks + block * w.shape.block_bytes(), w.shape, x, tokens, out + block * kTileRows, out_stride);
  }
}

/// kQueries of the queries, from `first` on: every key is loaded once for all of them.
template <std::size_t kQueries>
inline void score_some(const Queries& queries, std::size_t first, std::size_t stride, const std::int8_t* keys,
                       const float* scales, std::size_t tiles, float* out, std::size_t out_stride) {
  for (std::size_t tile = 0; tile < tiles; ++tile) {
    IntLanes high[kQueries];
    IntLanes low[kQueries];
    for (auto& lanes : high) lanes = int_all(0);
    for (auto& lanes : low) lanes = int_all(0);
    IntLanes excess = int_all(0);
    const std::int8_t* values = queries.values + first * 2 * kTileColumns;
#pragma GCC unroll 4
    for (std::size_t c = 0; c < stride; c += kTileColumns, keys += kTileBytes) {
      const __m256i k_lo = load_bytes(keys);
      const __m256i k_hi = load_bytes(keys + 32);
      for (std::size_t q = 0; q < kQueries; ++q) {
        const __m256i a = broadcast_four(values + q * 2 * kTileColumns);
        const __m256i b = broadcast_four(values + (q * 2 + 1) * kTileColumns);
        high[q] = {dot_bytes(high[q].lo, k_lo, a), dot_bytes(high[q].hi, k_hi, a)};
        low[q] = {dot_bytes(low[q].lo, k_lo, b), dot_bytes(low[q].hi, k_hi, b)};
      }
      const __m256i shift = _mm256_set1_epi8(static_cast<char>(kShift));
      excess = {dot_bytes(excess.lo, k_lo, shift), dot_bytes(excess.hi, k_hi, shift)};
      values += queries.count * 2 * kTileColumns;
    }
    const IntLanes all_excess = int_add(times_128(excess), excess);
    for (std::size_t q = 0; q < kQueries; ++q) {
      const IntLanes sums = int_subtract(int_add(times_128(high[q]), low[q]), all_excess);
      const Lanes scale = multiply(all(queries.scales[first + q]), load(scales + tile * kTileRows));
      store(multiply(to_float(sums), scale), out + (first + q) * out_stride + tile * kTileRows);
    }
  }
}

void score(const Queries& queries, std::size_t stride, const std::int8_t* keys, const float* scales, std::size_t tiles,
           float* out, std::size_t out_stride) {
  std::size_t q = 0;
  for (; q + 2 <= queries.count; q += 2) score_some<2>(queries, q, stride, keys, scales, tiles, out, out_stride);
  if (q < queries.count) score_some<1>(queries, q, stride, keys, scales, tiles, out, out_stride);
}

// One step of the peak: the instruction alone.
#define RILL_PEAK_STEP(n) "%{vex%} vpdpbusd %%ymm15, %%ymm15, %%ymm" #n "\n\t"

#include "platform/kernels/ymm_limits.h"

}  // namespace

extern const KernelSet kSet;
constinit const KernelSet kSet = RILL_KERNEL_ROW("avx_vnni", cpu_feature::kAvx2 | cpu_feature::kAvxVnni);

}  // namespace rill::kernels::avx_vnni
