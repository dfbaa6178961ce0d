// 32-bit ARM with NEON and VFPv4 (Cortex-A7, A15, and 64-bit cores in 32-bit mode). NEON adds and multiplies floats
// without denormals there, so only the integer part runs in it: the float part is scalar, with VFPv4's fused
// multiply-add.

#include <arm_neon.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "platform/kernels/kernels.h"

namespace rill::kernels::armv7_neon {
namespace {

#include "platform/kernels/plain_lanes.h"

constexpr int kShift = 0;
constexpr std::size_t kBlocksTogether = 1;
constexpr bool kWideParts = false;

#include "platform/kernels/lane_rules.h"

/// 16 binary16 scales, exactly: denormals of 16 bits are none in 32, and FPSCR's flushing does not concern the former.
/// In assembly, as GCC has the intrinsic only in a mode that other compilers do not know.
inline Lanes load_scales(const std::byte* p) {
  const auto* const halves = reinterpret_cast<const std::uint16_t*>(p);
  Lanes scales;
  for (int k = 0; k < 4; ++k) {
    float32x4_t four;
    __asm__("vcvt.f32.f16 %q0, %P1" : "=w"(four) : "w"(vld1_u16(halves + 4 * k)));
    vst1q_f32(scales.v + 4 * k, four);
  }
  return scales;
}

constexpr std::size_t kQuartersAtOnce = 2;  // two tokens of 8 rows: 8 of the 16 registers are sums
constexpr std::size_t kWideQuarters = 1;    // of dot_wide, times two rows of x: 8 registers of sums
constexpr std::size_t kWideRows = 2;
constexpr std::size_t kStraightTokens = 1;  // of two tokens it takes more instructions than the loop

#include "platform/kernels/neon_pairs.h"
// What follows stands on it.
#include "platform/kernels/arm_multiply.h"

// The peak that `rill bench` measures: the three instructions that 16 multiply-adds take, in an order in which none
// waits for the last. In assembly, as compilers take out of the loop what does not change in it.
#define RILL_SIX(step) step(0, 8) step(1, 9) step(2, 10) step(3, 11) step(4, 12) step(5, 13)
#define RILL_VMULL(sum, pair) "vmull.s8 q" #pair ", d30, d30\n\t"
#define RILL_VMLAL(sum, pair) "vmlal.s8 q" #pair ", d31, d31\n\t"
#define RILL_VPADAL(sum, pair) "vpadal.s16 q" #sum ", q" #pair "\n\t"

std::uint64_t dot_products(std::uint64_t rounds) {
  for (std::uint64_t round = 0; round < rounds; ++round) {
    __asm__ volatile(RILL_SIX(RILL_VMULL) RILL_SIX(RILL_VMLAL) RILL_SIX(RILL_VPADAL)
                     :
                     :
                     : "q0", "q1", "q2", "q3", "q4", "q5", "q8", "q9", "q10", "q11", "q12", "q13", "q15");
  }
  return rounds * 6 * 16;
}

}  // namespace

extern const KernelSet kSet;
constinit const KernelSet kSet = RILL_KERNEL_ROW("armv7_neon", cpu_feature::kNeon);

}  // namespace rill::kernels::armv7_neon
