#include "quant/size_factors.h"

#include <algorithm>
#include <cmath>

namespace rill::quant {
namespace {

/// Elements smaller than this part of the largest, dead ones among them, count as that large.
constexpr double kSmallestPart = 0x1p-10;

}  // namespace

void set_factors(std::span<const double> sizes, std::span<float> factors) {
  std::ranges::fill(factors, 1.0F);
  const auto is_finite = [](double size) { return std::isfinite(size); };
  if (sizes.empty() || !std::ranges::all_of(sizes, is_finite)) return;
  const double largest = *std::ranges::max_element(sizes);
  if (!(largest > 0)) return;
  const auto bounded = [&](double size) { return std::max(size, largest * kSmallestPart); };
  double exponents = 0;
  for (const double size : sizes) exponents += std::log2(bounded(size));
  const double mean = std::ldexp(1.0, static_cast<int>(std::lround(exponents / static_cast<double>(sizes.size()))));
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    factors[i] = static_cast<float>(std::clamp(bounded(sizes[i]) / mean, 1 / kLargestFactor, kLargestFactor));
  }
}

}  // namespace rill::quant
