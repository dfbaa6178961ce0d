#pragma once
// Orthogonal matrices of any size that are fast to apply: what `rill quantize --rotate` turns a model's spaces by.

#include <cstddef>
#include <span>
#include <vector>

namespace rill::quant {

/// y = (C (x) H) S x: fixed random signs S, a Walsh-Hadamard transform H of the largest power of two that divides n,
/// and a discrete cosine transform C of what is left, the last two scaled to be orthogonal. Every input spreads over
/// every output. The same matrix for the same n, always. Source: randomised Hadamard transforms, as in QuaRot (arXiv
/// 2404.00456, section 3); C stands in for the Hadamard matrices of sizes 12, 20, ... that are tabulated there.
class OrthogonalMap {
 public:
  /// @param n  at least 1
  explicit OrthogonalMap(std::size_t n);

  std::size_t size() const { return signs_.size(); }
  /// x becomes Q x. @param x  [n]
  void apply(std::span<double> x) const;
  /// x becomes Q^T x, which takes apply() back.
  void apply_transposed(std::span<double> x) const;

 private:
  void mix_runs(std::span<double> x, bool is_transposed) const;

  std::vector<double> signs_;    // [n]
  std::size_t power_ = 1;        // size of H
  std::vector<double> cosines_;  // [n / power, n / power]
};

/// x becomes its Walsh-Hadamard transform in runs of `block` elements, not scaled: what kernels::KernelSet::hadamard
/// does, in double precision.
/// @param block  a power of two that divides x.size()
void hadamard(std::size_t block, std::span<double> x);

}  // namespace rill::quant
