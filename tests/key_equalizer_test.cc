// `rill quantize` evens out the elements of keys: what stands out takes no bits from the rest, and the network stays.

#include "quant/key_equalizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "core/model_format.h"
#include "tests/support/int8_error.h"
#include "tests/support/synthetic_model.h"

namespace rill::quant {
namespace {

constexpr float kLarge = 40;  // times the others: as in Qwen2.5

/// Makes one rotated pair of each key large, and what meets it in the queries small: the same network.
void make_a_pair_stand_out(SyntheticModel& source) {
  const ModelConfig& c = source.config();
  const auto scale_pair = [&](const std::string& name, std::uint32_t heads, float by) {
    std::vector<float>& weights = source.values(name);
    for (std::uint32_t head = 0; head < heads; ++head) {
      for (const std::uint32_t element : {1U, 1 + c.head_size / 2}) {
        float* const row = weights.data() + std::size_t{head * c.head_size + element} * c.hidden;
        for (std::uint32_t k = 0; k < c.hidden; ++k) row[k] *= by;
      }
    }
  };
  for (std::uint32_t layer = 0; layer < c.layers; ++layer) {
    scale_pair("key." + std::to_string(layer), c.kv_heads, kLarge);
    scale_pair("query." + std::to_string(layer), c.heads, 1 / kLarge);
  }
}

TEST(KeyEqualizer, WhatStandsOutInAKeyTakesNoBitsFromTheRest) {
  SyntheticModel source(SyntheticModel::small_config());
  for (const char* const queries : {"query.0", "query.1"}) {
    for (float& weight : source.values(queries)) weight *= 8;  // random scores are all alike: nothing hangs on them
  }
  const double error = int8_error(source);
  make_a_pair_stand_out(source);
  EXPECT_LE(int8_error(source), 1.2 * error);
}

TEST(KeyEqualizer, QueriesGetWhatKeysAreDividedByAndValuesNothing) {
  SyntheticModel source(SyntheticModel::small_config());
  make_a_pair_stand_out(source);
  const ModelConfig& c = source.config();
  const Result<KeyEqualizer> equalizer = KeyEqualizer::of(source, 1);
  ASSERT_TRUE(equalizer.ok()) << equalizer.status().message();
  const std::span<const float> factors = equalizer->factors();
  ASSERT_EQ(factors.size(), std::size_t{c.kv_heads} * c.head_size);
  for (std::uint32_t head = 0; head < c.kv_heads; ++head) {
    const std::span<const float> of_head = factors.subspan(std::size_t{head} * c.head_size, c.head_size);
    for (std::uint32_t i = 0; i < c.head_size; ++i) {
      EXPECT_EQ(of_head[i], of_head[(i + c.head_size / 2) % c.head_size]) << "a rotated pair's";
      EXPECT_TRUE(of_head[i] <= 64 && of_head[i] >= 1.0F / 64);
    }
    EXPECT_GT(of_head[1], 0.3 * kLarge);
  }

  const TensorSpec qkv{
      .pattern = format::kQkv, .layer = 1, .rows = std::uint64_t{c.heads + 2 * c.kv_heads} * c.head_size, .columns = 3};
  std::vector<float> rows(static_cast<std::size_t>(qkv.rows * qkv.columns), 1.0F);
  equalizer->apply(qkv, 0, rows);
  for (std::uint32_t row = 0; row < qkv.rows; ++row) {
    const std::uint32_t head = row / c.head_size;
    const bool is_query = head < c.heads;
    const bool is_key = !is_query && head < c.heads + c.kv_heads;
    const std::uint32_t kv_head = is_query ? head / (c.heads / c.kv_heads) : head - c.heads;
    const float factor = is_query || is_key ? factors[kv_head * c.head_size + row % c.head_size] : 1.0F;
    const float expected = is_query ? factor : 1 / factor;
    for (std::uint32_t k = 0; k < 3; ++k) EXPECT_EQ(rows[row * 3 + k], expected) << row;
  }
}

TEST(KeyEqualizer, AHeadsFactorsAreAboutOneInTheMean) {
  const SyntheticModel source(SyntheticModel::small_config());
  const Result<KeyEqualizer> equalizer = KeyEqualizer::of(source, 0);
  ASSERT_TRUE(equalizer.ok());
  const std::size_t head_size = source.config().head_size;
  for (std::size_t at = 0; at < equalizer->factors().size(); at += head_size) {
    double logarithms = 0;
    for (const float factor : equalizer->factors().subspan(at, head_size)) logarithms += std::log(double{factor});
    EXPECT_LE(std::fabs(logarithms / static_cast<double>(head_size)), std::log(2.0) / 2 + 1e-6);
  }
}

TEST(KeyEqualizer, LeavesWeightsAloneThatAFactorCouldTakeOutOfReach) {
  SyntheticModel source(SyntheticModel::small_config());
  make_a_pair_stand_out(source);
  source.values("query.0").front() = 1e6F;
  const Result<KeyEqualizer> equalizer = KeyEqualizer::of(source, 0);
  ASSERT_TRUE(equalizer.ok());
  for (const float factor : equalizer->factors()) EXPECT_EQ(factor, 1.0F);
}

TEST(KeyEqualizer, LivesWithKeysOfZeros) {
  SyntheticModel source(SyntheticModel::small_config());
  for (float& weight : source.values("key.0")) weight = 0;
  const Result<KeyEqualizer> equalizer = KeyEqualizer::of(source, 0);
  ASSERT_TRUE(equalizer.ok());
  for (const float factor : equalizer->factors()) EXPECT_EQ(factor, 1.0F);
}

}  // namespace
}  // namespace rill::quant
