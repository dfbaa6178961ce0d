#include "quant/orthogonal_map.h"

#include <cmath>
#include <numbers>
#include <random>

namespace rill::quant {

OrthogonalMap::OrthogonalMap(std::size_t n) : signs_(n) {
  std::mt19937_64 random(n);  // its bits are the same everywhere
  for (double& sign : signs_) sign = (random() >> 63U) == 0 ? 1.0 : -1.0;
  while (n % (2 * power_) == 0) power_ *= 2;
  const std::size_t runs = n / power_;
  const auto count = static_cast<double>(runs);
  cosines_.resize(runs * runs);
  for (std::size_t k = 0; k < runs; ++k) {
    const double scale = std::sqrt((k == 0 ? 1.0 : 2.0) / count);
    for (std::size_t i = 0; i < runs; ++i) {
      const double angle = std::numbers::pi / count * (static_cast<double>(i) + 0.5) * static_cast<double>(k);
      cosines_[k * runs + i] = scale * std::cos(angle);
    }
  }
}

void OrthogonalMap::apply(std::span<double> x) const {
  for (std::size_t i = 0; i < size(); ++i) x[i] *= signs_[i];
  mix_runs(x, false);
}

void OrthogonalMap::apply_transposed(std::span<double> x) const {
  mix_runs(x, true);
  for (std::size_t i = 0; i < size(); ++i) x[i] *= signs_[i];
}

/// H in every run, C across the runs: the two commute.
void OrthogonalMap::mix_runs(std::span<double> x, bool is_transposed) const {
  hadamard(power_, x);
  const std::size_t runs = size() / power_;
  const double scale = 1.0 / std::sqrt(static_cast<double>(power_));
  std::vector<double> across(runs);
  for (std::size_t column = 0; column < power_; ++column) {
    for (std::size_t run = 0; run < runs; ++run) across[run] = x[run * power_ + column] * scale;
    for (std::size_t k = 0; k < runs; ++k) {
      double sum = 0;
      for (std::size_t i = 0; i < runs; ++i) {
        sum += across[i] * (is_transposed ? cosines_[i * runs + k] : cosines_[k * runs + i]);
      }
      x[k * power_ + column] = sum;
    }
  }
}

void hadamard(std::size_t block, std::span<double> x) {
  for (std::size_t stride = 1; stride < block; stride *= 2) {
    for (std::size_t begin = 0; begin < x.size(); begin += 2 * stride) {
      for (std::size_t i = begin; i < begin + stride; ++i) {
        const double a = x[i];
        x[i] = a + x[i + stride];
        x[i + stride] = a - x[i + stride];
      }
    }
  }
}

}  // namespace rill::quant
