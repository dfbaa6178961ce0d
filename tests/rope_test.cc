// Rotary phases against long double, and their promise that only distances count.

#include "core/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <random>
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

TEST(RopePhases, AreOneOfTheTwoFloatsNextToTheExactValueAtEveryPosition) {
  std::mt19937_64 generator(11);
  std::vector<std::uint64_t> turns = {0, 1, std::uint64_t{1} << 61U, std::uint64_t{1} << 62U,
                                      (std::uint64_t{3} << 62U) - 1};
  for (int i = 0; i < 59; ++i) turns.push_back(generator());
  std::vector<float> cosines(turns.size());
  std::vector<float> sines(turns.size());
  const std::uint64_t far = std::uint64_t{1} << 63U;
  for (const std::uint64_t position :
       {std::uint64_t{0}, std::uint64_t{10}, std::uint64_t{1} << 32U, far, far + 1, ~std::uint64_t{0}}) {
    rope_phases(turns, position, cosines, sines);
    for (std::size_t i = 0; i < turns.size(); ++i) {
      // Modulo 2^64: whole turns are the product's upper half. On x86, 64 bits fit a long double's mantissa.
      const std::uint64_t fraction = turns[i] * position;
      const long double angle =
          std::ldexp(static_cast<long double>(fraction), -64) * 2 * std::numbers::pi_v<long double>;
      const auto expect_next_to = [&](float actual, long double exact) {
        const auto nearest = static_cast<float>(exact);
        const float step = std::nextafter(std::fabs(nearest), 2.0F) - std::fabs(nearest);
        // What is left of the oracle's own quarter turns, whose cosine or sine is zero: 1e-18 on x86.
        constexpr long double kLeft = 10 * std::numeric_limits<long double>::epsilon();
        EXPECT_LE(std::fabs(static_cast<long double>(actual) - exact), static_cast<long double>(step) + kLeft)
            << turns[i] << " at " << position;
      };
      expect_next_to(cosines[i], std::cos(angle));
      expect_next_to(sines[i], std::sin(angle));
    }
  }
}

TEST(RopePhases, AtASumOfPositionsHaveTheBitsOfTheSumOfTheirPhases) {
  std::mt19937_64 generator(12);
  std::vector<std::uint64_t> turns(16);
  for (std::uint64_t& turn : turns) turn = generator();
  using Floats = std::vector<float>;
  Floats cosines(16), sines(16), sum_cosines(16), sum_sines(16);
  for (const std::uint64_t start :
       {std::uint64_t{10}, std::uint64_t{1} << 32U, std::uint64_t{1} << 63U, ~std::uint64_t{0}}) {
    for (const std::uint64_t distance : {0ULL, 1ULL, 7ULL, 1023ULL, 0x123456789abcdefULL}) {
      rope_phases(turns, start + distance, cosines, sines);
      // A position of 1 takes the angle as it is given: here the sum of the two.
      std::vector<std::uint64_t> angles(16);
      for (std::size_t i = 0; i < 16; ++i) angles[i] = turns[i] * start + turns[i] * distance;
      rope_phases(angles, 1, sum_cosines, sum_sines);
      EXPECT_EQ(cosines, sum_cosines);
      EXPECT_EQ(sines, sum_sines);
      // Seen from the start, the angle is the distance's: the same bits wherever the start lies.
      for (std::size_t i = 0; i < 16; ++i) angles[i] -= turns[i] * start;
      rope_phases(turns, distance, cosines, sines);
      rope_phases(angles, 1, sum_cosines, sum_sines);
      EXPECT_EQ(cosines, sum_cosines);
      EXPECT_EQ(sines, sum_sines);
    }
  }
}

TEST(RopePhases, BeginAgainAfterWholeTurnsAndAreMirroredBeforeTheFirstPosition) {
  const std::uint64_t cycle = std::uint64_t{1} << 20U;
  const std::vector<std::uint64_t> turns = {(std::uint64_t{1} << 44U) * 3, (std::uint64_t{1} << 44U) * 0x12345,
                                            (std::uint64_t{1} << 44U) * 0xfffff};  // whole turns in 2^20 positions
  std::vector<float> c(3), s(3), other_c(3), other_s(3);
  for (const std::uint64_t position : {1ULL, 5ULL, 4097ULL, 700000ULL}) {
    rope_phases(turns, position, c, s);
    for (const std::uint64_t cycles : {1ULL, 4096ULL, 0x80000000000ULL}) {
      rope_phases(turns, position + cycles * cycle, other_c, other_s);
      EXPECT_EQ(c, other_c);
      EXPECT_EQ(s, other_s);
    }
    rope_phases(turns, ~position + 1, other_c, other_s);  // 2^64 - position
    EXPECT_EQ(c, other_c);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(s[i], -other_s[i]);
  }
}

}  // namespace
}  // namespace rill
