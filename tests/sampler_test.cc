// The sampler against the distributions that its options define.

#include "core/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <vector>

#include "platform/cpu.h"

namespace rill {
namespace {

class SamplerTest : public testing::Test {
 protected:
  std::map<Token, int> draw(const SamplingOptions& options, int times, std::span<const Token> seen = {}) {
    sampler_.configure(options);
    sampler_.forget();
    sampler_.observe(seen);
    std::map<Token, int> counts;
    for (int i = 0; i < times; ++i) ++counts[sample(*kernels::kernel_sets().front())];
    return counts;
  }
  Token sample(const kernels::KernelSet& set) { return sampler_.sample(logits_, weights_, order_, set); }

  std::vector<float> logits_ = {1.0F, 3.0F, 2.0F, -1.0F, 3.0F, 0.5F, -20.0F};
  std::vector<float> weights_ = std::vector<float>(7);
  std::vector<std::uint32_t> order_ = std::vector<std::uint32_t>(7);
  Sampler sampler_;
};

TEST_F(SamplerTest, GreedyTakesTheFirstOfTheLargest) {
  EXPECT_EQ(draw({.temperature = 0}, 5), (std::map<Token, int>{{1, 5}}));
}

TEST_F(SamplerTest, FrequenciesAreTheSoftmaxAtTheTemperature) {
  constexpr int kTimes = 20000;
  for (const float temperature : {0.5F, 1.0F, 2.0F}) {
    const auto counts = draw({.temperature = temperature, .seed = 5}, kTimes);
    double sum = 0;
    for (const float logit : logits_) sum += std::exp(static_cast<double>(logit / temperature));
    for (Token token = 0; token < 7; ++token) {
      const double p = std::exp(static_cast<double>(logits_[token] / temperature)) / sum;
      const double deviation = std::sqrt(kTimes * p * (1 - p));
      const double count = counts.contains(token) ? counts.at(token) : 0;
      EXPECT_NEAR(count, kTimes * p, 4.5 * deviation + 1) << "token " << token << " at " << temperature;
    }
  }
}

TEST_F(SamplerTest, FiltersKeepTheTokensThatTheirPapersKeep) {
  const auto kept = [&](const SamplingOptions& options) {
    std::vector<Token> tokens;
    for (const auto& [token, count] : draw(options, 3000)) tokens.push_back(token);
    return tokens;
  };
  EXPECT_EQ(kept({.temperature = 1, .top_k = 3}), (std::vector<Token>{1, 2, 4}));
  EXPECT_EQ(kept({.temperature = 1, .top_k = 1}), (std::vector<Token>{1}));
  // Shares: 1 and 4 have 0.377 each, 2 has 0.139, 0 has 0.051, 5 has 0.031, 3 has 0.007: three reach 0.8.
  EXPECT_EQ(kept({.temperature = 1, .top_p = 0.8F}), (std::vector<Token>{1, 2, 4}));
  EXPECT_EQ(kept({.temperature = 1, .top_p = 0.3F}), (std::vector<Token>{1}));
  EXPECT_EQ(kept({.temperature = 1, .min_p = 0.3F}), (std::vector<Token>{1, 2, 4})) << "exp(-1) = 0.37 of the top";
  EXPECT_EQ(kept({.temperature = 1, .min_p = 0.4F}), (std::vector<Token>{1, 4}));
}

TEST_F(SamplerTest, TheRepeatPenaltyMovesRecentTokensDownOnce) {
  const std::vector<Token> seen = {1, 4, 1, 1};
  EXPECT_EQ(draw({.temperature = 0, .repeat_penalty = 1.4F}, 1, seen), (std::map<Token, int>{{1, 1}}))
      << "3 / 1.4 is still above 2";
  EXPECT_EQ(draw({.temperature = 0, .repeat_penalty = 1.6F}, 1, seen), (std::map<Token, int>{{2, 1}}));
}

TEST_F(SamplerTest, TheSameSeedGivesTheSameTokensOnEveryKernelSet) {
  std::vector<std::vector<Token>> all;
  for (const kernels::KernelSet* set : kernels::kernel_sets()) {
    if (!detect_cpu().has(set->needs)) continue;
    sampler_.configure({.temperature = 1.3F, .top_k = 5, .top_p = 0.95F, .seed = 99});
    std::vector<Token> tokens;
    for (int i = 0; i < 200; ++i) tokens.push_back(sample(*set));
    all.push_back(tokens);
    EXPECT_EQ(tokens, all.front()) << set->name;
  }
}

}  // namespace
}  // namespace rill
