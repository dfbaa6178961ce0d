// The float half of every kernel set: it has the reference's bits, and the reference is what its papers say.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "platform/kernels/kernels.h"
#include "tests/support/every_kernel_set.h"

namespace rill::kernels {
namespace {

RILL_TEST_EVERY_KERNEL_SET();

constexpr ActivationFunction kActivationFunctions[] = {ActivationFunction::kSilu, ActivationFunction::kGelu,
                                                       ActivationFunction::kGeluTanh,
                                                       ActivationFunction::kClampedSwish};

TEST_P(EveryKernelSet, FloatKernelsHaveTheReferencesBitsAtEveryLength) {
  for (std::size_t n = 1; n <= 70; ++n) {
    const std::vector<float> x = random_floats(n, 11, 5.0F);
    const std::vector<float> y = random_floats(n, 12, 3.0F);
    const auto run = [&](const KernelSet& k) {
      std::vector<float> all;
      std::vector<float> scores = x;
      all.push_back(k.exponentiate(scores.data(), n));
      all.insert(all.end(), scores.begin(), scores.end());
      std::vector<float> out(n);
      k.rms_normalize(x.data(), y.data(), n, 1e-5F, out.data());
      all.insert(all.end(), out.begin(), out.end());
      k.layer_normalize(x.data(), y.data(), x.data(), n, 1e-5F, out.data());
      all.insert(all.end(), out.begin(), out.end());
      for (const ActivationFunction function : kActivationFunctions) {
        k.activate(function, x.data(), n, 7.0F, out.data());
        all.insert(all.end(), out.begin(), out.end());
        k.activate_gated(function, x.data(), y.data(), n, 7.0F, out.data());
        all.insert(all.end(), out.begin(), out.end());
      }
      k.soft_cap(2.0F, n, out.data());
      all.insert(all.end(), out.begin(), out.end());
      k.add(y.data(), n, out.data());
      k.scale(0.3F, n, out.data());
      all.insert(all.end(), out.begin(), out.end());
      const std::size_t half = n / 2;
      k.rotate(x.data(), y.data(), y.data() + half, half, out.data());
      all.insert(all.end(), out.begin(), out.end());
      return all;
    };
    EXPECT_EQ(bits(run(set())), bits(run(reference()))) << n;
  }
}

TEST_P(EveryKernelSet, ExponentiateIsExpWithinTwoUlp) {
  for (float x = -86.5F; x < 0; x += 0.0371F) {
    std::vector<float> scores = {x, 0.0F};
    set().exponentiate(scores.data(), 2);
    const double expected = std::exp(static_cast<double>(x));
    EXPECT_NEAR(scores[0] / expected, 1.0, 2 * 1.2e-7) << x;
    EXPECT_EQ(scores[1], 1.0F);
  }
}

/// The functions of ActivationFunction from their definitions, in double.
double activation(ActivationFunction function, double x, double limit) {
  switch (function) {
    case ActivationFunction::kSilu:
      return x / (1 + std::exp(-x));
    case ActivationFunction::kGelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case ActivationFunction::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case ActivationFunction::kClampedSwish:
      break;
  }
  const double clamped = std::min(x, limit);
  return clamped / (1 + std::exp(-1.702 * clamped));
}

TEST_P(EveryKernelSet, ActivationsAreWhatTheirPapersSay) {
  constexpr float kLimit = 3.0F;
  std::vector<float> x = random_floats(100, 1, 4.0F);
  x[0] = 0.0F;
  x[1] = -60.0F;
  x[2] = 60.0F;
  const std::vector<float> y = random_floats(100, 2, 4.0F);
  std::vector<float> plain(100);
  std::vector<float> gated(100);
  for (const ActivationFunction function : kActivationFunctions) {
    set().activate(function, x.data(), 100, kLimit, plain.data());
    set().activate_gated(function, x.data(), y.data(), 100, kLimit, gated.data());
    for (std::size_t i = 0; i < 100; ++i) {
      const double expected = activation(function, x[i], kLimit);
      EXPECT_NEAR(plain[i], expected, 1e-6 * (1 + std::fabs(expected))) << "at " << x[i];
      const bool is_clamped = function == ActivationFunction::kClampedSwish;
      const double up = is_clamped ? std::clamp<double>(y[i], -kLimit, kLimit) + 1 : static_cast<double>(y[i]);
      EXPECT_NEAR(gated[i], expected * up, 1e-6 * (1 + std::fabs(expected)) * (1 + std::fabs(up))) << "at " << x[i];
    }
  }
}

TEST_P(EveryKernelSet, SoftCapIsATanh) {
  std::vector<float> x = random_floats(50, 4, 20.0F);
  x[0] = 0.0F;
  x[1] = 1e6F;
  x[2] = -1e6F;
  std::vector<float> capped = x;
  set().soft_cap(5.0F, 50, capped.data());
  for (std::size_t i = 0; i < 50; ++i) EXPECT_NEAR(capped[i], 5 * std::tanh(x[i] / 5.0), 2e-6) << "at " << x[i];
}

TEST_P(EveryKernelSet, NormsAreWhatTheirPapersSay) {
  for (const std::size_t n : {5U, 64U, 100U}) {
    std::vector<float> x = random_floats(n, 1, 4.0F);
    for (float& v : x) v += 3.0F;
    const std::vector<float> gain = random_floats(n, 2);
    const std::vector<float> bias = random_floats(n, 3);
    double squares = 0;
    double mean = 0;
    for (const float v : x) squares += static_cast<double>(v) * v / static_cast<double>(n);
    for (const float v : x) mean += v / static_cast<double>(n);
    double variance = 0;
    for (const float v : x) variance += (v - mean) * (v - mean) / static_cast<double>(n);
    std::vector<float> rms(n);
    std::vector<float> layer = x;  // in place
    set().rms_normalize(x.data(), gain.data(), n, 1e-5F, rms.data());
    set().layer_normalize(layer.data(), gain.data(), bias.data(), n, 1e-5F, layer.data());
    for (std::size_t i = 0; i < n; ++i) {
      EXPECT_NEAR(rms[i], x[i] / std::sqrt(squares + 1e-5) * gain[i], 4e-6);
      EXPECT_NEAR(layer[i], (x[i] - mean) / std::sqrt(variance + 1e-5) * gain[i] + bias[i], 4e-6) << n;
    }
  }
}

/// H x from its definition: the sign of element (i, j) is minus where the bits that both indices have are odd in
/// number.
std::vector<double> hadamard_by_definition(const std::vector<float>& x, std::size_t block) {
  std::vector<double> out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t begin = i / block * block;
    for (std::size_t j = begin; j < begin + block; ++j) {
      out[i] +=
          std::popcount((i - begin) & (j - begin)) % 2 == 0 ? static_cast<double>(x[j]) : -static_cast<double>(x[j]);
    }
  }
  return out;
}

TEST_P(EveryKernelSet, HadamardIsTheTransformAndHasTheReferencesBits) {
  for (const std::size_t block : {16U, 32U, 128U, 512U}) {
    const std::vector<float> x = random_floats(3 * block, 9, 2.0F);
    std::vector<float> turned = x;
    std::vector<float> expected = x;
    set().hadamard(block, x.size(), turned.data());
    reference().hadamard(block, x.size(), expected.data());
    EXPECT_EQ(bits(turned), bits(expected)) << block;
    const std::vector<double> exact = hadamard_by_definition(x, block);
    for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(turned[i], exact[i], 2e-5 * std::sqrt(block)) << block;
  }
}

}  // namespace
}  // namespace rill::kernels
