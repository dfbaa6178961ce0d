// What a soak must notice: each of its verdicts, brought about on purpose.

#include "apps/soak_watch.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "core/memory_plan.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RILL_NEED_STILL_MEMORY GTEST_SKIP() << "sanitizers take memory as they go"
#else
#define RILL_NEED_STILL_MEMORY static_cast<void>(0)
#endif

namespace rill::apps {
namespace {

/// Tokens whose NLL scatters around a mean for each half of the run.
void run(SoakWatch& watch, double first_half, double second_half, int tokens = 40000) {
  std::mt19937 random(1);
  std::normal_distribution<double> scatter(0.0, 1.0);
  for (int i = 0; i < tokens; ++i) watch.add(1e-3, (i < tokens / 2 ? first_half : second_half) + scatter(random));
}

std::string verdict(SoakWatch& watch) {
  watch.end();
  return std::string(watch.verdict().message());
}

TEST(SoakWatch, IsContentWithAStreamThatStaysAsItIs) {
  RILL_NEED_STILL_MEMORY;
  SoakWatch watch({.tokens = 40000});
  for (int time = 0; time < 2; ++time) {  // the first brings code in
    watch = SoakWatch({.tokens = 40000});
    watch.begin();
    run(watch, 1.5, 1.5);
    static_cast<void>(verdict(watch));
  }
  EXPECT_EQ(verdict(watch), "");
  EXPECT_EQ(watch.tokens(), 40000U);
  EXPECT_FALSE(watch.goes_on());
  EXPECT_NEAR(watch.median_s(), 1e-3, 1e-5);
  EXPECT_NEAR(watch.first_quarter().mean(), 1.5, 0.05);
  EXPECT_EQ(watch.first_quarter().tokens, 10000U);
  EXPECT_EQ(watch.last_quarter().tokens, 10000U);
}

TEST(SoakWatch, NoticesTextThatTheModelLikesLessOrMore) {
  RILL_NEED_STILL_MEMORY;
  for (const double after : {1.0, 2.0}) {
    SoakWatch watch({.tokens = 40000});
    watch.begin();
    run(watch, 1.5, after);
    EXPECT_NE(verdict(watch).find("the NLL of its own text went from 1."), std::string::npos);
  }
  SoakWatch tolerant({.tokens = 40000, .drift_nats = 1});
  tolerant.begin();
  run(tolerant, 1.5, 2.0);
  EXPECT_EQ(verdict(tolerant), "");
}

TEST(SoakWatch, TakesNoChanceForADrift) {
  RILL_NEED_STILL_MEMORY;
  SoakWatch watch({.tokens = 400});  // too few blocks to tell
  watch.begin();
  run(watch, 1.5, 2.5, 400);
  EXPECT_EQ(verdict(watch), "");
}

TEST(SoakWatch, NoticesAnAllocation) {
  RILL_NEED_STILL_MEMORY;
  SoakWatch watch({.tokens = 1000});
  watch.begin();
  std::vector<int>* volatile taken = new std::vector<int>(1);
  delete taken;
  EXPECT_NE(verdict(watch).find(" allocations after the start, expected none"), std::string::npos) << verdict(watch);
}

TEST(SoakWatch, NoticesAPageOfGrowthEvenIfItIsGivenBack) {
  SoakWatch watch({.tokens = 1000, .report_every_s = 1e-9});
  watch.begin();
  {
    const Result<PageBlock> pages = PageBlock::take(std::uint64_t{1} << 20U);
    ASSERT_TRUE(pages.ok());
    watch.add(1e-3, 1.0);
    testing::internal::CaptureStderr();
    watch.report();
    EXPECT_NE(testing::internal::GetCapturedStderr().find("soak: 0.0 min, 1 tokens"), std::string::npos);
  }
  EXPECT_NE(verdict(watch).find("RSS went from "), std::string::npos) << verdict(watch);
}

TEST(SoakWatch, NoticesATokenThatTakesTooLong) {
  RILL_NEED_STILL_MEMORY;
  SoakWatch watch({.tokens = 10, .longest_token_s = 0.5});
  watch.begin();
  watch.add(0.4, 1.0);
  EXPECT_EQ(verdict(watch), "");
  watch.add(0.6, 1.0);
  EXPECT_NE(verdict(watch).find("a token took 0.6 s, expected at most 0.5"), std::string::npos) << verdict(watch);
}

TEST(SoakWatch, EndsWhenItsHoursAreOver) {
  SoakWatch watch({.hours = 1e-12});
  watch.begin();
  EXPECT_TRUE(watch.goes_on());
  watch.add(1e-3, 1.0);
  EXPECT_FALSE(watch.goes_on());
}

}  // namespace
}  // namespace rill::apps
