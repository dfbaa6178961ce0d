// AVX-512 with VNNI: a tile of 16 rows x 4 inputs is one register, a row block's sums another.

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns of its own header: intrinsics that ignore a register pass an undefined one (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <cmath>
#include <cstring>

#include "platform/kernels/kernels.h"

namespace rill::kernels::avx512_vnni {
namespace {

struct Lanes {
  __m512 v;
};
struct IntLanes {
  __m512i v;
};

inline __mmask16 first_lanes(std::size_t n) { return static_cast<__mmask16>((1U << n) - 1U); }

inline Lanes load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Lanes load_part(const float* p, std::size_t n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
inline void store(Lanes a, float* p) { _mm512_storeu_ps(p, a.v); }
inline void store_part(Lanes a, float* p, std::size_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), a.v); }
inline Lanes all(float x) { return {_mm512_set1_ps(x)}; }
inline Lanes multiply(Lanes a, Lanes b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Lanes add(Lanes a, Lanes b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Lanes subtract(Lanes a, Lanes b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Lanes divide(Lanes a, Lanes b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Lanes fma(Lanes a, Lanes b, Lanes c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Lanes larger(Lanes a, Lanes b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Lanes smaller(Lanes a, Lanes b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Lanes magnitude(Lanes a) { return {_mm512_abs_ps(a.v)}; }
inline float sum_lanes(Lanes a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float largest_lane(Lanes a) { return _mm512_reduce_max_ps(a.v); }

inline IntLanes int_all(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
inline IntLanes int_add(IntLanes a, IntLanes b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline std::int32_t int_sum_lanes(IntLanes a) { return _mm512_reduce_add_epi32(a.v); }
inline IntLanes round(Lanes a) { return {_mm512_cvtps_epi32(a.v)}; }
inline Lanes to_float(IntLanes a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline Lanes power_of_two(IntLanes a) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(a.v, _mm512_set1_epi32(127)), 23))};
}
inline void store_int8(IntLanes a, std::int8_t* p) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}
inline IntLanes load_int8(const std::int8_t* p) {
  return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}

#include "platform/kernels/lane_rules.h"

/// 64 weights as unsigned bytes: shifted up by 128.
inline __m512i load_unsigned(const void* p) { return _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_set1_epi8(-128)); }
/// Four int8 activations in every 32-bit lane.
inline __m512i broadcast_four(const std::int8_t* p) {
  std::int32_t four;
  std::memcpy(&four, p, sizeof four);
  return _mm512_set1_epi32(four);
}

/// kBlocks neighbouring row blocks times kTokens tokens: every weight is loaded once for all tokens, every activation
/// once for all row blocks.
template <int kBlocks, int kTokens>
inline void multiply_blocks(const std::byte* blocks, const TileShape& shape, const Activations& x, float* out,
                            std::size_t out_stride) {
  const std::size_t group = shape.group;
  const std::size_t block_bytes = shape.block_bytes();
  const std::size_t scales_offset = shape.scales_offset();
  __m512 y[kBlocks][kTokens];
  for (auto& row : y) {
    for (auto& v : row) v = _mm512_setzero_ps();
  }
  for (std::size_t g = 0; g < x.groups; ++g) {
    const std::byte* tiles = blocks + g * group * kTileRows;
    __m512i sums[kBlocks][kTokens];
    for (int t = 0; t < kTokens; ++t) {
      const __m512i first = _mm512_set1_epi32(x.offsets[static_cast<std::size_t>(t) * x.groups + g]);
      for (int b = 0; b < kBlocks; ++b) sums[b][t] = first;
    }
    for (std::size_t c = 0; c < group; c += kTileColumns) {
      __m512i w[kBlocks];
      for (int b = 0; b < kBlocks; ++b) {
        w[b] = load_unsigned(tiles + static_cast<std::size_t>(b) * block_bytes + c * kTileRows);
      }
      for (int t = 0; t < kTokens; ++t) {
        const __m512i a = broadcast_four(x.values + static_cast<std::size_t>(t) * x.columns + g * group + c);
        for (int b = 0; b < kBlocks; ++b) sums[b][t] = _mm512_dpbusd_epi32(sums[b][t], w[b], a);
      }
    }
    for (int b = 0; b < kBlocks; ++b) {
      const auto* scales =
          reinterpret_cast<const __m256i*>(blocks + static_cast<std::size_t>(b) * block_bytes + scales_offset);
      const __m512 w = _mm512_cvtph_ps(_mm256_loadu_si256(scales + g));
      for (int t = 0; t < kTokens; ++t) {
        const __m512 scale = _mm512_mul_ps(w, _mm512_set1_ps(x.scales[static_cast<std::size_t>(t) * x.groups + g]));
        y[b][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[b][t]), scale, y[b][t]);
      }
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    for (int b = 0; b < kBlocks; ++b) {
      _mm512_storeu_ps(out + static_cast<std::size_t>(t) * out_stride + static_cast<std::size_t>(b) * kTileRows,
                       y[b][t]);
    }
  }
}

/// The same for any number of tokens, in steps that keep all sums in registers.
template <int kBlocks>
inline void multiply_tokens(const std::byte* blocks, const TileShape& shape, const Activations& x, std::size_t tokens,
                            float* out, std::size_t out_stride) {
  std::size_t t = 0;
  for (; t + 6 <= tokens; t += 6) {
    multiply_blocks<kBlocks, 6>(blocks, shape, x.from_row(t), out + t * out_stride, out_stride);
  }
  for (; t + 2 <= tokens; t += 2) {
    multiply_blocks<kBlocks, 2>(blocks, shape, x.from_row(t), out + t * out_stride, out_stride);
  }
  if (t < tokens) multiply_blocks<kBlocks, 1>(blocks, shape, x.from_row(t), out + t * out_stride, out_stride);
}

void multiply_matrix(const Matrix& w, std::size_t first_block, std::size_t end_block, const Activations& x,
                     std::size_t tokens, float* out, std::size_t out_stride) {
  const std::size_t block_bytes = w.shape.block_bytes();
  std::size_t block = first_block;
  for (; block + 2 <= end_block; block += 2) {
    multiply_tokens<2>(w.blocks + block * block_bytes, w.shape, x, tokens, out + block * kTileRows, out_stride);
  }
  if (block < end_block) {
    multiply_tokens<1>(w.blocks + block * block_bytes, w.shape, x, tokens, out + block * kTileRows, out_stride);
  }
}

void score(const Query& q, std::size_t stride, const std::int8_t* keys, const float* scales, std::size_t tiles,
           float* out) {
  for (std::size_t tile = 0; tile < tiles; ++tile, keys += kTileRows * stride) {
    __m512i high = _mm512_set1_epi32(q.high_offset);
    __m512i low = _mm512_set1_epi32(q.low_offset);
    for (std::size_t c = 0; c < stride; c += kTileColumns) {
      const __m512i k = load_unsigned(keys + c * kTileRows);
      high = _mm512_dpbusd_epi32(high, k, broadcast_four(q.high + c));
      low = _mm512_dpbusd_epi32(low, k, broadcast_four(q.low + c));
    }
    const __m512i sums = _mm512_add_epi32(_mm512_slli_epi32(high, 7), low);
    const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(q.scale), _mm512_loadu_ps(scales + tile * kTileRows));
    _mm512_storeu_ps(out + tile * kTileRows, _mm512_mul_ps(_mm512_cvtepi32_ps(sums), scale));
  }
}

// The limits that `rill bench` measures.

std::uint64_t read_bytes(const std::byte* bytes, std::size_t size) {
  constexpr std::size_t kSums = 16;
  __m512i sums[kSums];
  for (auto& sum : sums) sum = _mm512_setzero_si512();
  for (std::size_t i = 0; i < size; i += kSums * sizeof(__m512i)) {
    for (std::size_t k = 0; k < kSums; ++k) {
      sums[k] = _mm512_add_epi64(sums[k], _mm512_load_si512(bytes + i + k * sizeof(__m512i)));
    }
  }
  for (std::size_t k = 1; k < kSums; ++k) sums[0] = _mm512_add_epi64(sums[0], sums[k]);
  alignas(64) std::uint64_t lanes[8];
  _mm512_store_si512(lanes, sums[0]);
  std::uint64_t sum = 0;
  for (const std::uint64_t lane : lanes) sum += lane;
  return sum;
}

// In assembly: compilers move the sums about. What is in the registers does not matter.
#define RILL_PEAK_STEP(n) "vpdpbusd %%zmm15, %%zmm15, %%zmm" #n "\n\t"
std::uint64_t dot_products(std::uint64_t rounds) {
  for (std::uint64_t round = 0; round < rounds; ++round) {
    __asm__ volatile(RILL_PEAK_STEP(0) RILL_PEAK_STEP(1) RILL_PEAK_STEP(2) RILL_PEAK_STEP(3) RILL_PEAK_STEP(4)
                         RILL_PEAK_STEP(5) RILL_PEAK_STEP(6) RILL_PEAK_STEP(7) RILL_PEAK_STEP(8) RILL_PEAK_STEP(9)
                             RILL_PEAK_STEP(10) RILL_PEAK_STEP(11)
                     :
                     :
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                       "xmm11");
  }
  return rounds * 12 * sizeof(__m512i);
}

}  // namespace

extern const KernelSet kSet;
constinit const KernelSet kSet =
    RILL_KERNEL_ROW("avx512_vnni", cpu_feature::kAvx2 | cpu_feature::kAvx512 | cpu_feature::kAvx512Vnni);

}  // namespace rill::kernels::avx512_vnni
