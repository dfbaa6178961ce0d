// `rill bench`: what it reads to find how fast memory and caches are.

#include "apps/machine_limits.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "platform/cpu.h"

namespace rill::apps {
namespace {

constexpr std::uint64_t kMost = 32ULL << 20U;

/// What a probe finds in one repetition; nothing if it cannot start.
MachineLimits limits_for(std::uint64_t working_set_bytes, bool on_huge_pages) {
  const ThreadPinning pinning;
  Result<LimitProbe> probe = LimitProbe::start({.threads = {1},
                                                .kernels = &kernels::best_kernel_set(detect_cpu()),
                                                .seconds = 1e-4,
                                                .most_bytes = kMost,
                                                .working_set_bytes = working_set_bytes,
                                                .on_huge_pages = on_huge_pages},
                                               pinning);
  if (!probe.ok()) return {};
  probe->repeat();
  return probe->limits();
}

std::uint64_t cache_buffer_for(std::uint64_t working_set_bytes) {
  return limits_for(working_set_bytes, false).cache_buffer_bytes;
}

TEST(LimitProbe, ReadsAsMuchOfACacheAsTheModelDoes) {
  EXPECT_EQ(cache_buffer_for(1ULL << 20U), 1ULL << 20U);
  EXPECT_EQ(cache_buffer_for((1ULL << 20U) + 1), (1ULL << 20U) + (64U << 10U)) << "whole shares of a thread";
  const std::uint64_t cache = last_level_cache_bytes() > 0 ? last_level_cache_bytes() : kMost;
  EXPECT_EQ(cache_buffer_for(1ULL << 40U), std::min(cache / 2, kMost)) << "a model that no cache holds";
}

TEST(LimitProbe, ReadsThePagesThatItIsAskedFor) {
  EXPECT_EQ(limits_for(0, false).pages, "ordinary");
  std::ifstream setting("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string enabled;
  if (!std::getline(setting, enabled) || enabled.find("[never]") != std::string::npos) {
    GTEST_SKIP() << "this system gives no huge pages";
  }
  EXPECT_EQ(limits_for(0, true).pages, "huge");
  EXPECT_EQ(pages_of({}), "ordinary");
}

}  // namespace
}  // namespace rill::apps
