// Every kernel set gives the bits that the definition gives: the integer kernels, and what leads to them.

#include "platform/kernels/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "platform/cpu.h"
#include "platform/half.h"
#include "tests/support/every_kernel_set.h"

namespace rill::kernels {
namespace {

/// A packed matrix with random weights and scales, and rows of random activations.
struct MultiplyCase {
  TileShape shape;
  std::size_t tokens;
  std::vector<std::byte> blocks;
  std::vector<std::int8_t> values;
  std::vector<std::int8_t> stored;  // the values as a set wants them
  std::vector<float> scales;

  Matrix matrix() const { return {.blocks = blocks.data(), .shape = shape}; }
  Activations activations(const KernelSet& set) {
    stored.clear();
    for (const std::int8_t v : values) stored.push_back(static_cast<std::int8_t>(v + set.shift));
    return {
        .values = stored.data(), .scales = scales.data(), .columns = shape.padded_columns(), .groups = shape.groups()};
  }
  std::int8_t weight(std::size_t row, std::size_t column) const {
    const std::byte* block = blocks.data() + row / 16 * shape.block_bytes();
    // As platform/kernels/tiles.h draws it, written out: pairs of groups, 64 bytes of scales in front of each.
    const std::size_t group = column / shape.group;
    const std::size_t tiles = (group / 2 + 1) * 64 + group * shape.group * 16;
    return static_cast<std::int8_t>(block[tiles + column % shape.group / 4 * 64 + row % 16 * 4 + column % 4]);
  }
  float weight_scale(std::size_t row, std::size_t group) const {
    std::uint16_t half = 0;
    const std::size_t line = group / 2 * 64 + group / 2 * 2 * shape.group * 16;
    std::memcpy(&half, blocks.data() + row / 16 * shape.block_bytes() + line + (group % 2 * 16 + row % 16) * 2, 2);
    return half_to_float(half);
  }
};

/// @param hostile  weights of -128, which only a damaged file has, and scales at the ends of their range
MultiplyCase random_case(TileShape shape, std::size_t tokens, unsigned seed, bool hostile = false) {
  std::mt19937 generator(seed);
  MultiplyCase c{.shape = shape, .tokens = tokens, .blocks = {}, .values = {}, .stored = {}, .scales = {}};
  c.blocks.resize(shape.row_blocks() * shape.block_bytes());
  std::uniform_int_distribution<int> byte(-127, 127);
  for (std::size_t b = 0; b < shape.row_blocks(); ++b) {
    std::byte* block = c.blocks.data() + b * shape.block_bytes();
    for (std::size_t i = 0; i < shape.block_bytes(); ++i) {
      block[i] = static_cast<std::byte>(hostile && i % 3 == 0 ? -128 : byte(generator));
    }
    for (std::size_t i = 0; i < shape.groups() * 16; ++i) {
      const std::uint16_t half = hostile ? static_cast<std::uint16_t>(i % 2 == 0 ? 1 : 0x7bff)
                                         : float_to_half(0.01F * static_cast<float>(byte(generator)));
      std::memcpy(block + shape.scales_offset(i / 16) + i % 16 * 2, &half, 2);
    }
  }
  for (std::size_t i = 0; i < tokens * shape.padded_columns(); ++i) {
    c.values.push_back(static_cast<std::int8_t>(hostile ? (i % 2 == 0 ? 127 : -127) : byte(generator)));
  }
  c.scales = random_floats(tokens * shape.groups(), seed + 1);
  return c;
}

/// The definition, word by word: exact integer groups, then one multiply and one fused multiply-add, ascending.
std::vector<float> multiply_by_definition(MultiplyCase& c) {
  std::vector<float> out(c.tokens * c.shape.padded_rows());
  for (std::size_t t = 0; t < c.tokens; ++t) {
    for (std::size_t r = 0; r < c.shape.padded_rows(); ++r) {
      float y = 0;
      for (std::size_t g = 0; g < c.shape.groups(); ++g) {
        std::int64_t dot = 0;
        for (std::size_t i = g * c.shape.group; i < (g + 1) * c.shape.group; ++i) {
          dot += std::int64_t{c.weight(r, i)} * c.values[t * c.shape.padded_columns() + i];
        }
        y = std::fma(static_cast<float>(dot), c.weight_scale(r, g) * c.scales[t * c.shape.groups() + g], y);
      }
      out[t * c.shape.padded_rows() + r] = y;
    }
  }
  return out;
}

RILL_TEST_EVERY_KERNEL_SET();

TEST_P(EveryKernelSet, MultiplyHasTheBitsThatTheDefinitionGives) {
  unsigned seed = 1;
  for (const TileShape shape :
       {TileShape{16, 32, 32}, TileShape{50, 96, 32}, TileShape{7, 20, 16}, TileShape{48, 256, 64},
        TileShape{576, 1536, 32}, TileShape{33, 172, 32}, TileShape{20, 608, 304}}) {
    for (const std::size_t tokens : {1U, 2U, 3U, 5U, 6U, 7U, 13U, 39U}) {
      MultiplyCase c = random_case(shape, tokens, ++seed);
      std::vector<float> out(tokens * shape.padded_rows(), -1.0F);
      set().multiply(c.matrix(), 0, shape.row_blocks(), c.activations(set()), tokens, out.data(), shape.padded_rows());
      EXPECT_EQ(bits(out), bits(multiply_by_definition(c))) << shape.rows << " x " << shape.columns << ", " << tokens;
    }
  }
}

TEST_P(EveryKernelSet, MultiplyIsExactForWeightsThatOnlyADamagedFileHas) {
  MultiplyCase c = random_case({32, 128, 64}, 3, 5, /*hostile=*/true);
  std::vector<float> out(3 * 32);
  set().multiply(c.matrix(), 0, 2, c.activations(set()), 3, out.data(), 32);
  EXPECT_EQ(bits(out), bits(multiply_by_definition(c)));
}

TEST_P(EveryKernelSet, MultiplyWritesOnlyTheRowBlocksItWasGiven) {
  MultiplyCase c = random_case({80, 64, 32}, 2, 9);
  std::vector<float> expected = multiply_by_definition(c);
  std::vector<float> out(2 * 80, 7.0F);
  set().multiply(c.matrix(), 1, 4, c.activations(set()), 2, out.data(), 80);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const bool given = i % 80 >= 16 && i % 80 < 64;
    EXPECT_EQ(out[i], given ? expected[i] : 7.0F) << i;
  }
}

TEST_P(EveryKernelSet, ScoreIsTheExactDotProductTimesBothScales) {
  for (const std::size_t stride : {16U, 64U, 80U, 128U}) {
    for (std::size_t count = 1; count <= kernels::kMostQueries; ++count) {
      const std::size_t tiles = 3;
      const std::size_t out_stride = tiles * 16 + 16;
      std::mt19937 generator(static_cast<unsigned>(stride + count));
      std::uniform_int_distribution<int> byte(-127, 127);
      std::vector<std::int8_t> keys(tiles * 16 * stride);
      for (auto& k : keys) k = static_cast<std::int8_t>(byte(generator));
      std::vector<int> parts(stride * count * 2);  // [stride / 4][count][high, low][4]
      for (std::size_t i = 0; i < parts.size(); ++i) parts[i] = i / 4 % 2 == 0 ? byte(generator) : byte(generator) / 2;
      std::vector<std::int8_t> values;
      for (const int part : parts) values.push_back(static_cast<std::int8_t>(part + set().shift));
      const std::vector<float> query_scales = random_floats(count, 8);
      const std::vector<float> scales = random_floats(tiles * 16, 3);
      std::vector<float> out(count * out_stride, 7.0F);
      set().score({.values = values.data(), .scales = query_scales.data(), .count = count}, stride, keys.data(),
                  scales.data(), tiles, out.data(), out_stride);
      for (std::size_t q = 0; q < count; ++q) {
        for (std::size_t slot = 0; slot < out_stride; ++slot) {
          if (slot >= tiles * 16) {
            EXPECT_EQ(out[q * out_stride + slot], 7.0F) << "behind the tiles";
            continue;
          }
          std::int32_t dot = 0;
          for (std::size_t i = 0; i < stride; ++i) {
            const int* four = &parts[(i / 4 * count + q) * 8];
            dot += keys[slot / 16 * 16 * stride + i / 4 * 64 + slot % 16 * 4 + i % 4] *
                   (128 * four[i % 4] + four[4 + i % 4]);
          }
          EXPECT_EQ(out[q * out_stride + slot], static_cast<float>(dot) * (query_scales[q] * scales[slot])) << slot;
        }
      }
    }
  }
}

TEST_P(EveryKernelSet, ScoreOfTheLargestHeadStaysExact) {
  // 1024 elements at their largest: the dot product is 127 * 128 * 128 * 1024, just below 2^31; a damaged cache's -128.
  const std::size_t stride = 1024;
  const std::vector<std::int8_t> keys(16 * stride, -128);
  std::vector<float> x(stride, 1.0F);
  std::vector<std::int8_t> values(2 * stride);
  const float scale = set().quantize_query(x.data(), stride, stride, 1, values.data());
  const std::vector<float> scales(16, 1.0F);
  std::vector<float> out(16);
  set().score({.values = values.data(), .scales = &scale, .count = 1}, stride, keys.data(), scales.data(), 1,
              out.data(), 16);
  for (const float score : out) EXPECT_EQ(score, -127.0F * 128 * 128 * 1024 * scale);
}

TEST_P(EveryKernelSet, QuantizeQueryKeepsFifteenBits) {
  for (const std::size_t n : {16U, 24U, 64U}) {
    const std::size_t stride = (n + 15) / 16 * 16;
    const std::size_t count = 3;
    const std::vector<float> x = random_floats(n, 12);
    std::vector<std::int8_t> values(stride * count * 2, 99);
    const float scale = set().quantize_query(x.data(), n, stride, count, values.data() + 8);  // the second of three
    float top = 0;
    for (const float v : x) top = std::max(top, std::fabs(v));
    EXPECT_EQ(scale, top / (127.0F * 128.0F));
    for (std::size_t i = 0; i < stride; ++i) {
      const std::int8_t* four = &values[(i / 4 * count + 1) * 8];
      const int high = static_cast<std::int8_t>(four[i % 4] - set().shift);
      const int low = static_cast<std::int8_t>(four[4 + i % 4] - set().shift);
      EXPECT_LE(std::abs(low), 64);
      const double expected = i < n ? static_cast<double>(x[i]) / static_cast<double>(scale) : 0.0;
      EXPECT_NEAR(128 * high + low, expected, 0.51) << i;
    }
    EXPECT_EQ(values[0], 99) << "another query's place";
  }
  // What only a hostile file has: zero, and no scale that could spread.
  for (const float odd : {0.0F, 1e-36F, 3e38F, std::numeric_limits<float>::infinity()}) {
    const std::vector<float> x(16, odd);
    std::vector<std::int8_t> values(32);
    EXPECT_EQ(set().quantize_query(x.data(), 16, 16, 1, values.data()), 0.0F) << odd;
  }
}

TEST_P(EveryKernelSet, MixAddsTheValuesInAscendingOrder) {
  for (const std::size_t stride : {16U, 64U, 80U, 144U}) {
    for (std::size_t queries = 1; queries <= kernels::kMostQueries; ++queries) {
      const std::size_t count = 19;
      const std::size_t weights_stride = count + 5;
      std::mt19937 generator(4);
      std::uniform_int_distribution<int> byte(-127, 127);
      std::vector<std::int8_t> values(count * stride);
      for (auto& v : values) v = static_cast<std::int8_t>(byte(generator));
      const std::vector<float> weights = random_floats(queries * weights_stride, 6);
      std::vector<float> out = random_floats(queries * stride, 7);
      std::vector<float> expected = out;
      for (std::size_t i = 0; i < queries * stride; ++i) {
        for (std::size_t j = 0; j < count; ++j) {
          expected[i] = std::fma(weights[i / stride * weights_stride + j],
                                 static_cast<float>(values[j * stride + i % stride]), expected[i]);
        }
      }
      set().mix(values.data(), count, stride, weights.data(), weights_stride, queries, out.data());
      EXPECT_EQ(bits(out), bits(expected));
    }
  }
}

struct Quantized {
  std::vector<std::int8_t> values;
  std::vector<float> scales;
};

Quantized quantize(const KernelSet& k, const std::vector<float>& x, std::size_t group) {
  const std::size_t groups = (x.size() + group - 1) / group;
  Quantized q{.values = std::vector<std::int8_t>(groups * group, 99), .scales = std::vector<float>(groups)};
  k.quantize(x.data(), x.size(),
             {.values = q.values.data(), .scales = q.scales.data(), .columns = groups * group, .groups = groups});
  for (std::int8_t& v : q.values) v = static_cast<std::int8_t>(v - k.shift);
  return q;
}

TEST_P(EveryKernelSet, QuantizeRoundsToNearestEvenWithTheLargestAt127) {
  // max 254: scale 2, so halves fall exactly between two integers.
  const std::vector<float> x = {254.0F, 1.0F, 3.0F, 5.0F, -1.0F, -3.0F, -254.0F, 0.0F, 2.0F};
  const Quantized q = quantize(set(), x, 32);
  EXPECT_EQ(q.scales[0], 2.0F);
  EXPECT_EQ(std::vector<std::int8_t>(q.values.begin(), q.values.begin() + 9),
            (std::vector<std::int8_t>{127, 0, 2, 2, 0, -2, -127, 0, 1}));
  for (std::size_t i = 9; i < 32; ++i) EXPECT_EQ(q.values[i], 0) << "the padding";
}

TEST_P(EveryKernelSet, QuantizeOfAZeroOrVanishingGroupHasScaleZero) {
  std::vector<float> x(64, 0.0F);
  x[40] = 1e-38F;
  const Quantized q = quantize(set(), x, 32);
  EXPECT_EQ(q.scales, (std::vector<float>{0.0F, 0.0F}));
  EXPECT_EQ(q.values, std::vector<std::int8_t>(64, 0));
}

TEST_P(EveryKernelSet, QuantizeHasTheReferencesBitsEvenForInfinityAndNan) {
  std::vector<float> x = random_floats(96, 3, 100.0F);
  x[5] = std::numeric_limits<float>::infinity();
  x[40] = std::numeric_limits<float>::quiet_NaN();
  const Quantized expected = quantize(reference(), x, 32);
  const Quantized actual = quantize(set(), x, 32);
  EXPECT_EQ(actual.values, expected.values);
}

TEST(KernelTable, HasTheScalarSetFirstAndFindsEverySetByName) {
  ASSERT_FALSE(kernel_sets().empty());
  EXPECT_EQ(kernel_sets().front()->name, "scalar");
  for (const KernelSet* set : kernel_sets()) EXPECT_EQ(find_kernel_set(set->name), set);
  EXPECT_EQ(find_kernel_set("mmx"), nullptr);
  EXPECT_EQ(best_kernel_set(cpu_feature::kNone).name, "scalar");
  EXPECT_TRUE(detect_cpu().has(best_kernel_set(detect_cpu()).needs));
}

}  // namespace
}  // namespace rill::kernels
