// What a soak must notice: each of its verdicts, brought about on purpose.

#include "apps/soak_watch.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
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

/// What a watch says in the end of what `work` does. Done twice, and the second time counts: the first brings code in,
/// and pages with it.
template <typename Work>
std::string verdict_on(const SoakLimits& limits, const Work& work) {
  std::string verdict;
  for (int time = 0; time < 2; ++time) {
    SoakWatch watch(limits);
    watch.begin();
    work(watch);
    watch.end();
    verdict = std::string(watch.verdict().message());
  }
  return verdict;
}

TEST(SoakWatch, IsContentWithAStreamThatStaysAsItIs) {
  RILL_NEED_STILL_MEMORY;
  EXPECT_EQ(verdict_on({.tokens = 40000}, [](SoakWatch& watch) { run(watch, 1.5, 1.5); }), "");
}

TEST(SoakWatch, CountsTokensTimesAndQuarters) {
  SoakWatch watch({.tokens = 40000});
  watch.begin();
  run(watch, 1.5, 1.5);
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
    const auto drift = [&](SoakWatch& watch) { run(watch, 1.5, after); };
    EXPECT_NE(verdict_on({.tokens = 40000}, drift).find("the NLL of its own text went from 1."), std::string::npos);
    EXPECT_EQ(verdict_on({.tokens = 40000, .drift_nats = 1}, drift), "");
  }
}

TEST(SoakWatch, TakesNoChanceForADrift) {
  RILL_NEED_STILL_MEMORY;
  EXPECT_EQ(verdict_on({.tokens = 400}, [](SoakWatch& watch) { run(watch, 1.5, 2.5, 400); }), "")
      << "too few blocks to tell";
}

TEST(SoakWatch, NoticesAnAllocation) {
  RILL_NEED_STILL_MEMORY;
  const std::string verdict = verdict_on({.tokens = 1000}, [](SoakWatch&) {
    std::vector<int>* volatile taken = new std::vector<int>(1);
    delete taken;
  });
  EXPECT_NE(verdict.find(" allocations after the start, expected none"), std::string::npos) << verdict;
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
  watch.end();
  EXPECT_NE(watch.verdict().message().find("RSS went from "), std::string::npos) << watch.verdict().message();
}

TEST(SoakWatch, NoticesATokenThatTakesTooLong) {
  RILL_NEED_STILL_MEMORY;
  const SoakLimits limits = {.tokens = 10, .longest_token_s = 0.5};
  const auto four_tokens = [](SoakWatch& watch) {
    for (int i = 0; i < 4; ++i) watch.add(0.4, 1.0);
  };
  EXPECT_EQ(verdict_on(limits, four_tokens), "");
  const std::string verdict = verdict_on(limits, [](SoakWatch& watch) { watch.add(0.6, 1.0); });
  EXPECT_NE(verdict.find("a token took 0.6 s, expected at most 0.5"), std::string::npos) << verdict;
}

TEST(SoakWatch, SaysThatItMeasuredTooLittle) {
  RILL_NEED_STILL_MEMORY;
  EXPECT_NE(verdict_on({.tokens = 10}, [](SoakWatch& watch) { watch.add(1e-3, 1.0); }).find("after 1 tokens"),
            std::string::npos);
}

TEST(SoakWatch, NoticesMoreMemoryThanThePlanAllows) {
  RILL_NEED_STILL_MEMORY;
  const SoakLimits limits = {.tokens = 40000, .most_rss_bytes = 4096};
  const std::string verdict = verdict_on(limits, [](SoakWatch& watch) { run(watch, 1.5, 1.5); });
  EXPECT_NE(verdict.find("expected at most 4096, the plan and some"), std::string::npos) << verdict;
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
