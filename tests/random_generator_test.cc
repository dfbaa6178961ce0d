// The generator against the standard library's, and against the number that the standard itself names.

#include "core/random_generator.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <type_traits>

namespace rill {
namespace {

TEST(RandomGenerator, GivesTheStandardsTenThousandthNumber) {
  RandomGenerator generator;
  for (int i = 1; i < 10000; ++i) generator();
  EXPECT_EQ(generator(), 9981545732273789042U);  // ISO C++ [rand.predef]
}

TEST(RandomGenerator, IsStdMt19937_64NumberForNumber) {
  for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{12345}, ~std::uint64_t{0}}) {
    RandomGenerator ours;
    ours.seed(seed);
    std::mt19937_64 theirs(seed);
    for (int i = 0; i < 2000; ++i) ASSERT_EQ(ours(), theirs()) << "number " << i << " of seed " << seed;
  }
}

TEST(RandomGenerator, GoesOnFromItsBytes) {
  static_assert(std::is_trivially_copyable_v<RandomGenerator>);
  for (const int drawn : {0, 1, 311, 312, 313, 1000}) {
    RandomGenerator first;
    first.seed(7);
    for (int i = 0; i < drawn; ++i) first();
    RandomGenerator second;
    std::memcpy(static_cast<void*>(&second), &first, sizeof first);
    for (int i = 0; i < 700; ++i) ASSERT_EQ(second(), first()) << i << " after " << drawn;
  }
}

}  // namespace
}  // namespace rill
