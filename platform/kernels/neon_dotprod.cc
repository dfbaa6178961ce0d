// 64-bit ARM with dot products of bytes (ARMv8.2 dotprod: Cortex-A55, A75, A76, a Raspberry Pi 5).

#include <arm_neon.h>

#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "platform/kernels/kernels.h"

namespace rill::kernels::neon_dotprod {
namespace {

constexpr bool kWideParts = true;

#include "platform/kernels/neon_lanes.h"
#include "platform/kernels/neon_sdot.h"

template <std::size_t kTokens, std::size_t kGroup>
inline void dot_group(const std::int8_t* tiles, std::size_t group, const std::int8_t* x, std::size_t columns,
                      IntLanes* sums) {
  dot_group_by_sdot<kTokens, kGroup>(tiles, group, x, columns, sums);
}
constexpr std::size_t kKeptTokens = 2;
constexpr std::size_t kPassTokens = 4;  // 16 registers of sums, 4 of activations; with 5 tokens GCC moves sums about
constexpr std::size_t kStraightTokens = kPassTokens;

#include "platform/kernels/arm_multiply.h"

// One step of the peak: the instruction alone.
#define RILL_SDOT(sum, unused) "sdot v" #sum ".4s, v31.16b, v31.16b\n\t"
#define RILL_PEAK RILL_TWELVE(RILL_SDOT)
constexpr std::uint64_t kPeakStep = 16;

#include "platform/kernels/neon_limits.h"

}  // namespace

extern const KernelSet kSet;
constinit const KernelSet kSet = RILL_KERNEL_ROW("neon_dotprod", cpu_feature::kNeon | cpu_feature::kDotprod);

}  // namespace rill::kernels::neon_dotprod
