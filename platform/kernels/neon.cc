// 64-bit ARM as it began, ARMv8.0 (Cortex-A53, A57, A72): vector registers of 128 bits, no dot product of bytes.

#include <arm_neon.h>

#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "platform/kernels/kernels.h"

namespace rill::kernels::neon {
namespace {

constexpr bool kWideParts = false;

#include "platform/kernels/neon_lanes.h"

constexpr std::size_t kQuartersAtOnce = 4;  // two tokens of all 16 rows: 16 registers of sums
constexpr std::size_t kWideQuarters = 2;    // of dot_wide, times three rows of x: 24 registers of sums
constexpr std::size_t kWideRows = 3;
constexpr std::size_t kStraightTokens = 0;  // straight code leaves a Cortex-A53 waiting for what it has just loaded

#include "platform/kernels/neon_pairs.h"
// What follows stands on it.
#include "platform/kernels/arm_multiply.h"

// A step of the peak: the three instructions that 16 multiply-adds take, in an order in which none waits for the last.
#define RILL_SMULL(sum, pair) "smull v" #pair ".8h, v31.8b, v31.8b\n\t"
#define RILL_SMLAL(sum, pair) "smlal2 v" #pair ".8h, v31.16b, v31.16b\n\t"
#define RILL_SADALP(sum, pair) "sadalp v" #sum ".4s, v" #pair ".8h\n\t"
#define RILL_PEAK RILL_TWELVE(RILL_SMULL) RILL_TWELVE(RILL_SMLAL) RILL_TWELVE(RILL_SADALP)
constexpr std::uint64_t kPeakStep = 16;

#include "platform/kernels/neon_limits.h"

}  // namespace

extern const KernelSet kSet;
constinit const KernelSet kSet = RILL_KERNEL_ROW("neon", cpu_feature::kNeon);

}  // namespace rill::kernels::neon
