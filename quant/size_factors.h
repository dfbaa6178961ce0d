#pragma once
// What elements of unlike sizes are divided by so that they become alike.

#include <span>

namespace rill::quant {

/// Bounds of a factor: the int8 scales of what it divides may become subnormal numbers of binary16, but keep most bits.
inline constexpr double kLargestFactor = 64.0;

/// Each element's size over the power of two next to the geometric mean of all, within 1/64 and 64; ones where all
/// sizes are zero or one is not finite. Sizes below 2^-10 of the largest count as that. The same on every machine: what
/// C libraries round each in their own way, logarithms, gives that exponent alone (short of a tie).
/// @param sizes    [n], none below zero
/// @param factors  [n]
void set_factors(std::span<const double> sizes, std::span<float> factors);

}  // namespace rill::quant
