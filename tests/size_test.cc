// Sizes out of headers: whatever is multiplied and added, what does not fit 64 bits is never taken for a small number.

#include "platform/size.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace rill {
namespace {

constexpr std::uint64_t kMost = ~std::uint64_t{0};

TEST(Size, RemembersThatAnyStepOfAFormulaWrapped) {
  EXPECT_FALSE((Size(kMost) * Size(1)).wrapped);
  EXPECT_TRUE((Size(kMost / 2 + 1) * Size(2)).wrapped);
  EXPECT_TRUE((Size(1ULL << 32U) * Size(1ULL << 32U)).wrapped);
  EXPECT_FALSE((Size(kMost - 1) + Size(1)).wrapped);
  EXPECT_TRUE((Size(kMost) + Size(1)).wrapped);
  // What wrapped stays so, even times zero.
  const Size wrapped = Size(kMost) + Size(1);
  EXPECT_TRUE((wrapped * Size(0)).wrapped);
  EXPECT_TRUE((Size(0) + wrapped).wrapped);
  EXPECT_TRUE(divide_up(wrapped, 7).wrapped);
  EXPECT_TRUE(round_up(wrapped, 64).wrapped);
}

TEST(Size, RoundsUpToTheVeryEndAndNotPastIt) {
  EXPECT_EQ(divide_up(Size(kMost), 2).value, std::uint64_t{1} << 63U);
  EXPECT_EQ(divide_up(Size(0), 4096).value, 0U);
  EXPECT_EQ(round_up(Size(kMost - 63), 64).value, kMost - 63);
  EXPECT_FALSE(round_up(Size(kMost - 63), 64).wrapped);
  EXPECT_TRUE(round_up(Size(kMost - 62), 64).wrapped);
}

TEST(Size, FitsOnlyWhatLiesInsideWhateverTheOffset) {
  EXPECT_TRUE(fits(Size(10), 90, 100));
  EXPECT_FALSE(fits(Size(11), 90, 100));
  EXPECT_TRUE(fits(Size(0), 100, 100));
  EXPECT_FALSE(fits(Size(0), 101, 100));
  EXPECT_FALSE(fits(Size(kMost), 1, 100)) << "offset and size together are 0 again";
  EXPECT_FALSE(fits(Size(2), kMost, 100));
  EXPECT_FALSE(fits(Size(kMost) + Size(1), 0, 100)) << "0, if it were not remembered";
}

}  // namespace
}  // namespace rill
