// The sampler against the distributions that its options define.

#include "core/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <random>
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

/// A vocabulary of random logits, and what the options' definitions make of it, by sorting and in double.
struct Definition {
  std::vector<float> logits;
  std::vector<Token> by_probability;
  std::vector<double> share;  ///< before the filters

  Definition(std::size_t size, unsigned seed, double temperature) : logits(size), by_probability(size), share(size) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal(0, 2);
    for (float& logit : logits) logit = normal(generator);
    double sum = 0;
    for (std::size_t i = 0; i < size; ++i) sum += share[i] = std::exp(static_cast<double>(logits[i]) / temperature);
    for (double& one : share) one /= sum;
    std::iota(by_probability.begin(), by_probability.end(), Token{0});
    std::sort(by_probability.begin(), by_probability.end(), [&](Token a, Token b) { return logits[a] > logits[b]; });
  }

  /// How many of the most probable tokens the filters keep.
  std::size_t kept(const SamplingOptions& options) const {
    const std::size_t most = options.top_k > 0 ? std::min<std::size_t>(options.top_k, share.size()) : share.size();
    double whole = 0;  // what top-p is a share of
    for (std::size_t i = 0; i < most; ++i) whole += share[by_probability[i]];
    std::size_t count = 0;
    double mass = 0;
    for (const Token token : by_probability) {
      if (count == most) break;
      if (count > 0 && mass >= static_cast<double>(options.top_p) * whole) break;
      if (share[token] < static_cast<double>(options.min_p) * share[by_probability.front()]) break;
      mass += share[token];
      ++count;
    }
    return count;
  }
};

/// Draws from one definition; returns how often each token came.
std::vector<int> frequencies(const Definition& definition, const SamplingOptions& options, int times) {
  Sampler sampler;
  sampler.configure(options);
  const std::size_t size = definition.logits.size();
  std::vector<float> weights(size);
  std::vector<std::uint32_t> order(size);
  std::vector<int> counts(size);
  for (int i = 0; i < times; ++i) {
    ++counts[sampler.sample(definition.logits, weights, order, *kernels::kernel_sets().front())];
  }
  return counts;
}

TEST(SamplerFilters, DrawTheSoftmaxOfWhatTheyKeepByAChiSquareTest) {
  constexpr int kTimes = 20000;
  for (const SamplingOptions& options : std::vector<SamplingOptions>{
           {.temperature = 1, .seed = 1},
           {.temperature = 0.8F, .top_k = 10, .seed = 2},
           {.temperature = 1.2F, .top_p = 0.9F, .seed = 3},
           {.temperature = 1, .min_p = 0.05F, .seed = 4},
           {.temperature = 1.5F, .top_k = 20, .top_p = 0.8F, .min_p = 0.02F, .seed = 5},
           {.temperature = 2, .top_k = 5, .top_p = 0.8F, .seed = 6},
       }) {
    const Definition definition(40, static_cast<unsigned>(options.seed), static_cast<double>(options.temperature));
    const std::size_t kept = definition.kept(options);
    const std::vector<int> counts = frequencies(definition, options, kTimes);
    double mass = 0;
    for (std::size_t i = 0; i < kept; ++i) mass += definition.share[definition.by_probability[i]];
    double chi_square = 0;
    double cells = 0;
    double rare = 0;  // cells that expect fewer than five draws are one cell together
    int rare_count = 0;
    for (std::size_t i = 0; i < 40; ++i) {
      const Token token = definition.by_probability[i];
      if (i >= kept) {
        EXPECT_EQ(counts[token], 0) << "a token that the filters take out, seed " << options.seed;
        continue;
      }
      const double expected = kTimes * definition.share[token] / mass;
      if (expected < 5) {
        rare += expected;
        rare_count += counts[token];
        continue;
      }
      chi_square += (counts[token] - expected) * (counts[token] - expected) / expected;
      ++cells;
    }
    if (rare > 5) {
      chi_square += (rare_count - rare) * (rare_count - rare) / rare;
      ++cells;
    }
    // A chi-square of n degrees has mean n and variance 2 n; five deviations above it never happen.
    EXPECT_LT(chi_square, cells - 1 + 5 * std::sqrt(2 * cells)) << "seed " << options.seed << ", " << kept << " kept";
  }
}

TEST(SamplerFilters, KeepTheSmallestSetOfRandomVocabularies) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    const Definition definition(200, seed, /*temperature=*/3);  // flat: every kept token comes up
    const SamplingOptions options = {.temperature = 3,
                                     .top_k = seed % 3 == 0 ? 1 + seed : 0,
                                     .top_p = seed % 4 == 0 ? 1.0F : 0.01F * static_cast<float>(seed + 3),
                                     .min_p = seed % 5 == 0 ? 0.4F : 0.0F,
                                     .seed = seed};
    const std::size_t kept = definition.kept(options);
    if (kept > 60) continue;  // its rarest might not come up in so few draws
    const std::vector<int> counts = frequencies(definition, options, 4000);
    for (std::size_t i = 0; i < 200; ++i) {
      EXPECT_EQ(counts[definition.by_probability[i]] > 0, i < kept) << "rank " << i << ", seed " << seed;
    }
  }
}

TEST(SamplerFilters, ReachAmongTokensOfLessThanAThousandthOfTheLargest) {
  constexpr int kTimes = 5000;
  constexpr std::size_t kTokens = 4000;
  const Definition definition(kTokens, 12, /*temperature=*/0.4);
  const auto share = [&](std::size_t rank) { return definition.share[definition.by_probability[rank]]; };
  std::size_t likely = 0;
  while (share(likely) * 1024 >= share(0)) ++likely;
  for (const std::size_t kept : {likely, likely + 1, 2 * likely, kTokens / 2}) {
    const std::vector<int> counts =
        frequencies(definition, {.temperature = 0.4F, .top_k = static_cast<std::uint32_t>(kept), .seed = kept}, kTimes);
    double mass = 0;
    double expected = 0;  // draws of what is kept beyond the likely
    int drawn = 0;
    for (std::size_t rank = 0; rank < kTokens; ++rank) {
      const int count = counts[definition.by_probability[rank]];
      EXPECT_TRUE(rank < kept || count == 0) << "rank " << rank << " of " << kept;
      if (rank < kept) mass += share(rank);
      if (rank >= likely && rank < kept) expected += kTimes * share(rank);
      if (rank >= likely) drawn += count;
    }
    expected /= mass;
    EXPECT_NEAR(drawn, expected, 5 * std::sqrt(expected) + 1) << kept << " kept, " << likely << " likely";
    EXPECT_TRUE(kept < 2 * likely || expected > 25) << "too few to see anything: " << expected;
  }
}

TEST(SamplerFilters, TakeTheSmallerTokenOfEqualOnes) {
  Definition definition(50, 1, 1);
  definition.logits.assign(50, 0.25F);
  const std::vector<int> counts = frequencies(definition, {.temperature = 1, .top_k = 3, .seed = 9}, 300);
  for (std::size_t i = 0; i < 50; ++i) EXPECT_EQ(counts[i] > 0, i < 3) << i;
}

TEST_F(SamplerTest, TheRepeatPenaltyMultipliesWhatIsNegative) {
  logits_ = {-1.0F, -1.5F, -3.0F, -4.0F, -5.0F, -6.0F, -7.0F};
  EXPECT_EQ(draw({.temperature = 0, .repeat_penalty = 1.4F}, 1, std::vector<Token>{0}), (std::map<Token, int>{{0, 1}}));
  EXPECT_EQ(draw({.temperature = 0, .repeat_penalty = 1.6F}, 1, std::vector<Token>{0}), (std::map<Token, int>{{1, 1}}));
}

TEST_F(SamplerTest, TheRepeatPenaltyLooks64TokensBack) {
  std::vector<Token> seen(64, 5);
  seen[0] = 1;
  EXPECT_EQ(draw({.temperature = 0, .repeat_penalty = 9}, 1, seen), (std::map<Token, int>{{4, 1}}));
  sampler_.observe(std::vector<Token>{5});
  EXPECT_EQ(sample(*kernels::kernel_sets().front()), 1) << "the 65th back";
  sampler_.observe(std::vector<Token>{1, 4});
  EXPECT_EQ(sample(*kernels::kernel_sets().front()), 2);
  sampler_.forget();
  EXPECT_EQ(sample(*kernels::kernel_sets().front()), 1);
}

TEST_F(SamplerTest, ALargestLogitThatATinyTemperatureCannotHoldIsStillTaken) {
  for (const float temperature : {1e-3F, 1e-20F, 1e-37F, 1e-38F, 1e-40F, 1e-45F}) {
    logits_ = {-30.0F, 4.0F, 30.0F, 0.0F, 29.0F, 0.5F, -20.0F};
    EXPECT_EQ(draw({.temperature = temperature}, 5), (std::map<Token, int>{{2, 5}})) << temperature;
    EXPECT_EQ(draw({.temperature = temperature, .top_p = 0.9F}, 5), (std::map<Token, int>{{2, 5}})) << temperature;
  }
}

TEST(SamplerFilters, NeverDrawAnAllButImpossibleTokenWhereTheSumWasRoundedUp) {
  // In each lane of the float32 sum, a one and then numbers that all round up: the sum exceeds its parts by 3e-5.
  constexpr std::size_t kSize = 16 * 1000;
  std::vector<float> logits(kSize, -16.2F);  // exp: 9.2e-8, where a one's last place is 1.2e-7
  for (std::size_t i = 16; i < 32; ++i) logits[i] = 0;
  logits[0] = -1000;
  std::uint64_t seed = 0;
  const auto first_draw = [&] { return static_cast<double>(std::mt19937_64(seed)() >> 11U) * 0x1p-53; };
  while (first_draw() < 1 - 5e-6) ++seed;
  Sampler sampler;
  sampler.configure({.temperature = 1, .seed = seed});
  std::vector<float> weights(kSize);
  std::vector<std::uint32_t> order(kSize);
  EXPECT_NE(sampler.sample(logits, weights, order, *kernels::find_kernel_set("scalar")), 0) << "seed " << seed;
}

/// Options whose every step uses the kernels' exp or scale.
class SamplerSeeds : public testing::TestWithParam<SamplingOptions> {};
INSTANTIATE_TEST_SUITE_P(Options, SamplerSeeds,
                         testing::Values(SamplingOptions{.temperature = 1, .seed = 1},
                                         SamplingOptions{.temperature = 0.7F, .top_k = 40, .seed = 2},
                                         SamplingOptions{.temperature = 1.4F, .top_p = 0.9F, .seed = 3},
                                         SamplingOptions{.temperature = 1, .min_p = 0.1F, .seed = 4},
                                         SamplingOptions{.temperature = 1, .repeat_penalty = 1.3F, .seed = 5}));

TEST_P(SamplerSeeds, GiveTheSameTokensOnEveryKernelSetAndAnotherSeedGivesOthers) {
  const Definition definition(1003, 17, 1);  // not a multiple of the lanes
  const auto tokens_of = [&](SamplingOptions options, const kernels::KernelSet& set) {
    Sampler sampler;
    sampler.configure(options);
    std::vector<float> weights(definition.logits.size());
    std::vector<std::uint32_t> order(definition.logits.size());
    std::vector<Token> tokens;
    for (int i = 0; i < 200; ++i) {
      tokens.push_back(sampler.sample(definition.logits, weights, order, set));
      sampler.observe(std::span(&tokens.back(), 1));
    }
    return tokens;
  };
  const std::vector<Token> expected = tokens_of(GetParam(), *kernels::find_kernel_set("scalar"));
  for (const kernels::KernelSet* set : kernels::kernel_sets()) {
    if (!detect_cpu().has(set->needs)) continue;
    EXPECT_EQ(tokens_of(GetParam(), *set), expected) << set->name;
  }
  SamplingOptions other = GetParam();
  other.seed += 100;
  EXPECT_NE(tokens_of(other, *kernels::find_kernel_set("scalar")), expected);
}

}  // namespace
}  // namespace rill
