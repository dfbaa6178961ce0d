// The measures that other tests rely on, against values worked out by hand.

#include "tests/support/golden.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace rill {
namespace {

TEST(Measures, CosineIgnoresAShiftAndAScaleAndTakesTheWorstRow) {
  const std::vector<float> expected = {1, 2, 3, 1, 2, 3};
  EXPECT_DOUBLE_EQ(worst_row_cosine(std::vector<float>{12, 14, 16, 0, 5, 10}, expected, 3), 1.0);
  // Second row (3, 1, 2) against (1, 2, 3): (1, -1, 0) . (-1, 0, 1) / 2 = -1/2.
  EXPECT_DOUBLE_EQ(worst_row_cosine(std::vector<float>{1, 2, 3, 3, 1, 2}, expected, 3), -0.5);
}

TEST(Measures, RmsIsInStandardDeviationsOfWhatIsExpected) {
  // Differences all 1; deviation of (0, 4) is 2.
  EXPECT_DOUBLE_EQ(rms_over_deviation(std::vector<float>{1, 3}, std::vector<float>{0, 4}), 0.5);
}

TEST(Measures, DivergenceIsInNatsAndIgnoresAShift) {
  const auto l = [](double p) { return static_cast<float>(std::log(p)); };
  const std::vector<float> half = {l(0.5), l(0.5)};
  const std::vector<float> quarter = {l(0.25) + 7, l(0.75) + 7};
  // KL((1/2, 1/2) || (1/4, 3/4)) = (ln 2 + ln(2/3)) / 2
  EXPECT_NEAR(mean_kl_nats(quarter, half, 2), 0.5 * (std::log(2.0) + std::log(2.0 / 3.0)), 1e-6);
  EXPECT_NEAR(nll_nats(quarter, 0), std::log(4.0), 1e-6);
}

TEST(Measures, NotANumberIsAsBadAsCanBe) {
  const std::vector<float> expected = {1, 2};
  const std::vector<float> broken = {1, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_LT(worst_row_cosine(broken, expected, 2), -1.0);
  EXPECT_TRUE(std::isinf(rms_over_deviation(broken, expected)));
  EXPECT_TRUE(std::isinf(mean_kl_nats(broken, expected, 2)));
  EXPECT_TRUE(std::isinf(largest_difference(broken, expected)));
}

}  // namespace
}  // namespace rill
