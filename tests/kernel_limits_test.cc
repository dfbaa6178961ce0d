// The two functions of a kernel set that `rill bench` takes as limits do the work that they claim.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <new>
#include <random>
#include <vector>

#include "platform/kernels/kernels.h"
#include "tests/support/every_kernel_set.h"

namespace rill::kernels {
namespace {

RILL_TEST_EVERY_KERNEL_SET();

TEST_P(EveryKernelSet, LimitReadingSumsUpEveryWord) {
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

TEST_P(EveryKernelSet, LimitDotProductsCountInProportionToTheirRounds) {
  const std::uint64_t one = GetParam()->dot_products(1);
  EXPECT_GT(one, 0U);
  EXPECT_EQ(GetParam()->dot_products(0), 0U);
  EXPECT_EQ(GetParam()->dot_products(1000), 1000 * one);
}

}  // namespace
}  // namespace rill::kernels
