#pragma once
// Tests that run once for every kernel set that was built, and are skipped for those that this CPU lacks. A test file
// says RILL_TEST_EVERY_KERNEL_SET() once and then writes TEST_P(EveryKernelSet, ...), inside rill::kernels.

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "platform/cpu.h"
#include "platform/kernels/kernels.h"

namespace rill::kernels {

class EveryKernelSet : public testing::TestWithParam<const KernelSet*> {
 protected:
  void SetUp() override {
    if (!detect_cpu().has(GetParam()->needs)) GTEST_SKIP() << "this CPU cannot run " << GetParam()->name;
  }
  const KernelSet& set() const { return *GetParam(); }
  /// The set that defines what all others equal.
  const KernelSet& reference() const { return *kernel_sets().front(); }
};

#define RILL_TEST_EVERY_KERNEL_SET()                                                                             \
  INSTANTIATE_TEST_SUITE_P(Table, EveryKernelSet, testing::ValuesIn(kernel_sets().begin(), kernel_sets().end()), \
                           [](const auto& test) { return std::string(test.param->name); })

inline std::vector<std::uint32_t> bits(const std::vector<float>& values) {
  std::vector<std::uint32_t> result;
  for (const float value : values) result.push_back(std::bit_cast<std::uint32_t>(value));
  return result;
}

inline std::vector<float> random_floats(std::size_t n, unsigned seed, float spread = 1.0F) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<float> values(n);
  for (float& value : values) value = normal(generator);
  return values;
}

}  // namespace rill::kernels
