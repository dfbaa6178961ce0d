#pragma once
// What this CPU can do, as bits that a kernel set asks for.

#include <cstdint>

namespace rill {

/// A set of CPU features.
struct CpuFeatures {
  std::uint32_t bits = 0;

  constexpr bool has(CpuFeatures needed) const { return (bits & needed.bits) == needed.bits; }
  friend constexpr CpuFeatures operator|(CpuFeatures a, CpuFeatures b) { return {a.bits | b.bits}; }
};

namespace cpu_feature {
inline constexpr CpuFeatures kNone{0};
inline constexpr CpuFeatures kAvx2{1U << 0U};     ///< AVX2 with FMA and F16C, registers saved by the system
inline constexpr CpuFeatures kAvxVnni{1U << 1U};  ///< 256-bit VNNI in VEX encoding
inline constexpr CpuFeatures kAvx512{1U << 2U};   ///< AVX-512 F, BW, VL, DQ, registers saved by the system
inline constexpr CpuFeatures kAvx512Vnni{1U << 3U};
inline constexpr CpuFeatures kNeon{1U << 4U};     ///< 64-bit ARM's, or 32-bit ARM's with VFPv4 (scalar multiply-adds)
inline constexpr CpuFeatures kDotprod{1U << 5U};  ///< dot products of four bytes: Cortex-A55, A75, A76 and later
inline constexpr CpuFeatures kI8mm{1U << 6U};  ///< products of 2 x 8 matrices of bytes: Cortex-A510, A710, X2 and later
}  // namespace cpu_feature

/// The features of the CPU that this runs on. Asks the CPU anew each time: keep the answer.
CpuFeatures detect_cpu();

/// The first logical CPU of this one's core; itself where the system does not say.
int first_sibling(int cpu);

/// Physical cores that this process may use, at least 1: logical ones that share a core count once.
unsigned physical_cores();

}  // namespace rill
