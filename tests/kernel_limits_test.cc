// The two functions of a kernel set that `rill bench` takes as limits do the work that they claim.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "platform/cpu.h"
#include "platform/kernels/kernels.h"

namespace rill::kernels {
namespace {

class EveryKernelSetsLimits : public testing::TestWithParam<const KernelSet*> {
 protected:
  void SetUp() override {
    if (!detect_cpu().has(GetParam()->needs)) GTEST_SKIP() << "this CPU cannot run " << GetParam()->name;
  }
};
INSTANTIATE_TEST_SUITE_P(Table, EveryKernelSetsLimits, testing::ValuesIn(kernel_sets().begin(), kernel_sets().end()),
                         [](const auto& test) { return std::string(test.param->name); });

TEST_P(EveryKernelSetsLimits, ReadingSumsUpEveryWord) {
  struct alignas(64) Line {
    std::uint64_t words[8];
  };
  std::mt19937_64 generator(1);
  for (const std::size_t kib : {1U, 3U, 64U}) {
    std::vector<Line> lines(kib * 16);
    std::uint64_t expected = 0;
    for (Line& line : lines) {
      for (std::uint64_t& word : line.words) expected += word = generator();
    }
    EXPECT_EQ(GetParam()->read(reinterpret_cast<const std::byte*>(lines.data()), kib * 1024), expected) << kib;
  }
}

TEST_P(EveryKernelSetsLimits, DotProductsCountInProportionToTheirRounds) {
  const std::uint64_t one = GetParam()->dot_products(1);
  EXPECT_GT(one, 0U);
  EXPECT_EQ(GetParam()->dot_products(0), 0U);
  EXPECT_EQ(GetParam()->dot_products(1000), 1000 * one);
}

}  // namespace
}  // namespace rill::kernels
