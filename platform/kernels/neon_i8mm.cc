// 64-bit ARM with products of matrices of bytes (i8mm, ARMv8.6: Cortex-A510, A710, X2, Neoverse V1 and later).

#include <arm_neon.h>

#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "platform/kernels/kernels.h"

namespace rill::kernels::neon_i8mm {
namespace {

#include "platform/kernels/neon_lanes.h"
#include "platform/kernels/neon_sdot.h"

inline int8x16_t zip_low(int8x16_t a, int8x16_t b) {
  return vreinterpretq_s8_s32(vzip1q_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b)));
}
inline int8x16_t zip_high(int8x16_t a, int8x16_t b) {
  return vreinterpretq_s8_s32(vzip2q_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b)));
}

/// smmla multiplies 2 rows x 8 inputs by 8 inputs x 2 tokens: twice sdot's work. Two tiles zipped are rows of 8 inputs;
/// an odd last token is its own neighbour. A single token has none: it is sdot's.
template <std::size_t kTokens>
inline void dot_group(const std::int8_t* tiles, std::size_t group, const std::int8_t* x, std::size_t columns,
                      IntLanes* sums) {
  if constexpr (kTokens == 1) {
    dot_group_by_sdot<1>(tiles, group, x, columns, sums);
  } else {
    constexpr std::size_t kPairs = (kTokens + 1) / 2;
    int32x4_t squares[kPairs][8];  // of two rows and two tokens: row 0 with both tokens, row 1 with both
    for (auto& of_pair : squares) {
      for (auto& v : of_pair) v = vdupq_n_s32(0);
    }
    for (std::size_t c = 0; c < group; c += 2 * kTileColumns, tiles += 2 * kTileBytes) {
      int8x16_t two[kPairs];
      for (std::size_t p = 0; p < kPairs; ++p) {
        const std::int8_t* const first = x + 2 * p * columns + c;
        two[p] = vcombine_s8(vld1_s8(first), vld1_s8(2 * p + 1 < kTokens ? first + columns : first));
      }
      for (std::size_t k = 0; k < 4; ++k) {
        const int8x16_t a = vld1q_s8(tiles + 16 * k);
        const int8x16_t b = vld1q_s8(tiles + kTileBytes + 16 * k);
        const int8x16_t rows01 = zip_low(a, b);
        const int8x16_t rows23 = zip_high(a, b);
        for (std::size_t p = 0; p < kPairs; ++p) {
          squares[p][2 * k] = vmmlaq_s32(squares[p][2 * k], rows01, two[p]);
          squares[p][2 * k + 1] = vmmlaq_s32(squares[p][2 * k + 1], rows23, two[p]);
        }
      }
    }
    for (std::size_t t = 0; t < kTokens; ++t) {
      for (std::size_t k = 0; k < 4; ++k) {
        const int32x4_t a = squares[t / 2][2 * k];
        const int32x4_t b = squares[t / 2][2 * k + 1];
        sums[t].v[k] = t % 2 == 0 ? vuzp1q_s32(a, b) : vuzp2q_s32(a, b);
      }
    }
  }
}
constexpr std::size_t kPassTokens = 4;  // 16 registers of sums; with 6 tokens GCC spills some of 24

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
