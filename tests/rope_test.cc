// Rotary phases against long double, and their promise that only distances count.

#include "core/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

namespace rill {
namespace {

TEST(RopePhases, AreWithinARoundingOfTheExactCosineAndSine) {
  std::vector<std::uint64_t> turns;
  for (int i = 0; i < 32; ++i)
    turns.push_back(static_cast<std::uint64_t>(std::ldexp(std::pow(10000.0, -i / 32.0) / (2 * std::numbers::pi), 64)));
  std::vector<float> cosines(32);
  std::vector<float> sines(32);
  for (const std::uint64_t position : {0ULL, 1ULL, 2ULL, 77ULL, 4095ULL, 1000000ULL, 0xffffffffULL}) {
    rope_phases(turns, position, cosines, sines);
    for (std::size_t i = 0; i < 32; ++i) {
      const long double angle =
          std::ldexp(static_cast<long double>(turns[i] * position), -64) * 2 * std::numbers::pi_v<long double>;
      EXPECT_NEAR(cosines[i], static_cast<double>(std::cos(angle)), 6e-8) << position << ", " << i;
      EXPECT_NEAR(sines[i], static_cast<double>(std::sin(angle)), 6e-8) << position << ", " << i;
    }
  }
}

TEST(RopePhases, OfADistanceAreTheSameWhereverInTheStreamItLies) {
  const std::vector<std::uint64_t> turns = {0x28be60db9391054aULL, 0x0412345678abcdefULL, 3};
  for (const std::uint64_t start :
       {std::uint64_t{10}, std::uint64_t{1} << 32U, std::uint64_t{1} << 63U, ~std::uint64_t{0} - 3}) {
    for (std::uint64_t distance = 0; distance < 8; ++distance) {
      for (const std::uint64_t turn : turns) {
        EXPECT_EQ(turn * (start + distance) - turn * start, turn * distance) << "wraps as angles do";
      }
    }
    // The rotation from start to start + 7, made of the two phases, is the rotation by 7.
    std::vector<float> c0(3), s0(3), c1(3), s1(3), c(3), s(3);
    rope_phases(turns, start, c0, s0);
    rope_phases(turns, start + 7, c1, s1);
    rope_phases(turns, 7, c, s);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(c1[i] * c0[i] + s1[i] * s0[i], c[i], 3e-7);
      EXPECT_NEAR(s1[i] * c0[i] - c1[i] * s0[i], s[i], 3e-7);
    }
  }
}

}  // namespace
}  // namespace rill
