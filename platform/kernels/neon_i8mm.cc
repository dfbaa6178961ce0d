// 64-bit ARM with products of matrices of bytes (i8mm, ARMv8.6: Cortex-A510, A710, X2, Neoverse V1 and later).

#include <arm_neon.h>

#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "platform/kernels/kernels.h"

namespace rill::kernels::neon_i8mm {
namespace {

constexpr bool kWideParts = true;

#include "platform/kernels/neon_lanes.h"
#include "platform/kernels/neon_sdot.h"

inline int8x16_t zip_low(int8x16_t a, int8x16_t b) {
  return vreinterpretq_s8_s32(vzip1q_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b)));
}
inline int8x16_t zip_high(int8x16_t a, int8x16_t b) {
  return vreinterpretq_s8_s32(vzip2q_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b)));
}
inline int8x16_t low_halves(int8x16_t a, int8x16_t b) {
  return vreinterpretq_s8_s64(vzip1q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)));
}
inline int8x16_t high_halves(int8x16_t a, int8x16_t b) {
  return vreinterpretq_s8_s64(vzip2q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)));
}

/// Sums of two rows and two tokens, of all rows: row 0 with both tokens, row 1 with both.
struct Squares {
  int32x4_t v[8];
};

/// squares[p] += two neighbouring tiles times tokens 2 p and 2 p + 1, whose eight activations are x[p]'s halves.
template <std::size_t kPairs>
inline void add_tiles(const std::int8_t* tiles, const int8x16_t (&x)[kPairs], Squares (&squares)[kPairs]) {
  const int8x16x4_t a = vld1q_s8_x4(tiles);
  const int8x16x4_t b = vld1q_s8_x4(tiles + kTileBytes);
#pragma GCC unroll 4
  for (std::size_t k = 0; k < 4; ++k) {
    const int8x16_t rows01 = zip_low(a.val[k], b.val[k]);
    const int8x16_t rows23 = zip_high(a.val[k], b.val[k]);
    for (std::size_t p = 0; p < kPairs; ++p) {
      squares[p].v[2 * k] = vmmlaq_s32(squares[p].v[2 * k], rows01, x[p]);
      squares[p].v[2 * k + 1] = vmmlaq_s32(squares[p].v[2 * k + 1], rows23, x[p]);
    }
  }
}

/// smmla multiplies 2 rows x 8 inputs by 8 inputs x 2 tokens: twice sdot's work. Two tiles zipped are rows of 8 inputs;
/// an odd last token is its own neighbour. A single token has none: it is sdot's.
template <std::size_t kTokens, std::size_t kGroup>
inline void dot_group(const std::int8_t* tiles, std::size_t group, const std::int8_t* x, std::size_t columns,
                      IntLanes* sums) {
  if constexpr (kTokens == 1) {
    dot_group_by_sdot<1, kGroup>(tiles, group, x, columns, sums);
  } else {
    constexpr std::size_t kPairs = (kTokens + 1) / 2;
    Squares squares[kPairs];
    for (auto& of_pair : squares) {
      for (auto& v : of_pair.v) v = vdupq_n_s32(0);
    }
#pragma GCC unroll 4
    for (std::size_t c = 0; c < (kGroup != 0 ? kGroup : group); c += 16, tiles += 4 * kTileBytes) {
      int8x16_t first[kPairs];
      int8x16_t second[kPairs];
      for (std::size_t p = 0; p < kPairs; ++p) {
        const int8x16_t even = vld1q_s8(x + 2 * p * columns + c);
        const int8x16_t odd = 2 * p + 1 < kTokens ? vld1q_s8(x + (2 * p + 1) * columns + c) : even;
        first[p] = low_halves(even, odd);
        second[p] = high_halves(even, odd);
      }
      add_tiles(tiles, first, squares);
      add_tiles(tiles + 2 * kTileBytes, second, squares);
    }
    for (std::size_t t = 0; t < kTokens; ++t) {
      for (std::size_t k = 0; k < 4; ++k) {
        const int32x4_t a = squares[t / 2].v[2 * k];
        const int32x4_t b = squares[t / 2].v[2 * k + 1];
        sums[t].v[k] = t % 2 == 0 ? vuzp1q_s32(a, b) : vuzp2q_s32(a, b);
      }
    }
  }
}
constexpr std::size_t kKeptTokens = 2;
constexpr std::size_t kPassTokens = 4;  // 16 registers of sums; with 6 tokens GCC spills some of 24
constexpr std::size_t kStraightTokens = kPassTokens;

#include "platform/kernels/arm_multiply.h"

// One step of the peak: the instruction alone.
#define RILL_SMMLA(sum, unused) "smmla v" #sum ".4s, v31.16b, v31.16b\n\t"
#define RILL_PEAK RILL_TWELVE(RILL_SMMLA)
constexpr std::uint64_t kPeakStep = 32;

#include "platform/kernels/neon_limits.h"

}  // namespace

extern const KernelSet kSet;
constinit const KernelSet kSet =
    RILL_KERNEL_ROW("neon_i8mm", cpu_feature::kNeon | cpu_feature::kDotprod | cpu_feature::kI8mm);

}  // namespace rill::kernels::neon_i8mm
