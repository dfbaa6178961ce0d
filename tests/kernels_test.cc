// Every kernel set gives the bits that the definition gives: the integer kernels, and what leads to them.

#include "platform/kernels/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
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
        TileShape{576, 1536, 32}, TileShape{33, 172, 32}, TileShape{20, 608, 304}, TileShape{20, 1536, 768}}) {
    for (const std::size_t tokens : {1U, 2U, 3U, 5U, 6U, 7U, 13U, 39U}) {
      MultiplyCase c = random_case(shape, tokens, ++seed);
      std::vector<float> out(tokens * shape.padded_rows(), -1.0F);
      set().multiply(c.matrix(), 0, shape.row_blocks(), c.activations(set()), tokens, out.data(), shape.padded_rows());
      EXPECT_EQ(bits(out), bits(multiply_by_definition(c))) << shape.rows << " x " << shape.columns << ", " << tokens;
    }
  }
}

TEST_P(EveryKernelSet, MultiplyIsExactForWeightsThatOnlyADamagedFileHas) {
  const auto expect_exact = [&](MultiplyCase& c, const char* what) {
    const std::size_t stride = c.shape.padded_rows();
    std::vector<float> out(c.tokens * stride);
    set().multiply(c.matrix(), 0, c.shape.row_blocks(), c.activations(set()), c.tokens, out.data(), stride);
    EXPECT_EQ(bits(out), bits(multiply_by_definition(c))) << what << ", " << c.tokens << " tokens";
  };
  for (const std::size_t tokens : {3U, 39U}) {
    for (const std::size_t group : {32U, 64U}) {
      MultiplyCase c = random_case({32, 128, group}, tokens, 5, /*hostile=*/true);
      expect_exact(c, "some of -128");
      // Neighbouring products as large as they get, of both signs.
      for (std::size_t g = 0; g < c.shape.groups(); ++g) {
        for (std::size_t block = 0; block < c.shape.row_blocks(); ++block) {
          std::byte* const tiles = c.blocks.data() + block * c.shape.block_bytes() + c.shape.tiles_offset(g);
          std::fill_n(tiles, c.shape.group_bytes(), std::byte{0x80});
        }
      }
      for (const std::int8_t x : {std::int8_t{127}, std::int8_t{-127}}) {
        std::fill(c.values.begin(), c.values.end(), x);
        expect_exact(c, "all of -128");
      }
    }
  }
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

/// Some rows of integers and, in a set's own form, what dot_wide reads of them.
struct WideCase {
  std::vector<std::vector<int>> rows;
  std::vector<std::int8_t> values;
  std::vector<std::int32_t> sums;

  WideCase(const KernelSet& set, std::size_t count, std::size_t columns, unsigned seed)
      : values(columns / 16 * count * kernels::kWideBytes), sums(count) {
    std::mt19937 generator(seed);
    std::uniform_int_distribution<int> element(0, 127 * 128);
    for (std::size_t q = 0; q < count; ++q) {
      std::vector<float> x(columns);
      for (auto& v : x) v = static_cast<float>(element(generator));
      rows.emplace_back(x.begin(), x.end());
      sums[q] = set.quantize_weights(x.data(), columns, 1.0F, 0, columns / 16, count, &values[q * kernels::kWideBytes]);
    }
  }
  kernels::WideRows view() const {
    return {
        .values = values.data(), .sums = sums.data(), .columns = values.size() / rows.size() / 2, .count = rows.size()};
  }
};

TEST_P(EveryKernelSet, WideDotProductsAreExactForAnyNumberOfRowsAndBlocks) {
  for (const std::size_t columns : {16U, 64U, 80U, 208U}) {
    for (std::size_t count = 1; count <= kernels::kMostQueries; ++count) {
      for (const std::size_t blocks : {1U, 3U, 4U, 6U}) {
        const auto seed = static_cast<unsigned>(columns + count + blocks);
        const WideCase x(set(), count, columns, seed);
        std::mt19937 generator(seed);
        std::uniform_int_distribution<int> byte(-128, 127);
        const std::size_t stride = 16 * columns + 64;
        std::vector<std::int8_t> tiles(blocks * stride);
        for (auto& v : tiles) v = static_cast<std::int8_t>(byte(generator));
        const std::size_t out_stride = 16 * blocks + 16;
        std::vector<std::int32_t> out(count * out_stride, 7);
        std::vector<std::int32_t> expected = out;
        for (std::size_t i = 0; i < out.size(); ++i) {
          const std::size_t row = i % out_stride;
          if (row >= 16 * blocks) continue;  // behind the blocks
          std::int64_t sum = 0;
          for (std::size_t c = 0; c < columns; ++c) {
            sum += x.rows[i / out_stride][c] * tiles[row / 16 * stride + c / 4 * 64 + row % 16 * 4 + c % 4];
          }
          expected[i] = static_cast<std::int32_t>(sum);
        }
        const kernels::TileBlocks at = {.tiles = tiles.data(), .stride = stride, .count = blocks};
        set().dot_wide(x.view(), at, /*adds=*/false, out.data(), out_stride);
        EXPECT_EQ(out, expected) << columns << " columns, " << count << " rows, " << blocks << " blocks";
        set().dot_wide(x.view(), at, /*adds=*/true, out.data(), out_stride);
        for (std::size_t i = 0; i < out.size(); ++i) {
          ASSERT_EQ(out[i], i % out_stride < 16 * blocks ? 2 * expected[i] : 7) << "added";
        }
      }
    }
  }
}

TEST_P(EveryKernelSet, WideDotProductsOfTheLargestHeadStayExact) {
  // 1024 elements at their largest: the dot product is 127 * 128 * 128 * 1024, just below 2^31; a damaged cache's -128.
  const std::size_t stride = 1024;
  const std::vector<std::int8_t> keys(16 * stride, -128);
  std::vector<std::int8_t> values(2 * stride);
  for (const float sign : {1.0F, -1.0F}) {
    const std::vector<float> x(stride, sign);
    std::int32_t sum = 0;
    set().quantize_query(x.data(), stride, stride, 1, values.data(), &sum);
    std::vector<std::int32_t> out(16);
    set().dot_wide({.values = values.data(), .sums = &sum, .columns = stride, .count = 1},
                   {.tiles = keys.data(), .stride = 0, .count = 1}, /*adds=*/false, out.data(), 16);
    for (const std::int32_t product : out) EXPECT_EQ(product, (sign < 0 ? 1 : -1) * 127 * 128 * 128 * 1024);
  }
}

/// The elements of one row of `count`, found by their products with ones.
std::vector<std::int32_t> elements_of(const KernelSet& k, const kernels::WideRows& x, std::size_t q) {
  std::vector<std::int32_t> elements;
  for (std::size_t c = 0; c < x.columns; ++c) {
    std::vector<std::int8_t> tiles(16 * x.columns);
    tiles[c / 4 * 64 + c % 4] = 1;
    std::vector<std::int32_t> out(x.count * 16);
    k.dot_wide(x, {.tiles = tiles.data(), .stride = 0, .count = 1}, /*adds=*/false, out.data(), 16);
    elements.push_back(out[q * 16]);
  }
  return elements;
}

TEST_P(EveryKernelSet, QuantizeQueryKeepsFifteenBits) {
  for (const std::size_t n : {16U, 24U, 64U}) {
    const std::size_t stride = (n + 15) / 16 * 16;
    const std::size_t count = 3;
    const std::vector<float> x = random_floats(n, 12);
    std::vector<std::int8_t> values(stride * count * 2);
    std::array<std::int32_t, 3> sums{};
    const float scale =  // the second of three
        set().quantize_query(x.data(), n, stride, count, values.data() + kernels::kWideBytes, &sums[1]);
    float top = 0;
    for (const float v : x) top = std::max(top, std::fabs(v));
    EXPECT_EQ(scale, top / (127.0F * 128.0F));
    const kernels::WideRows rows = {.values = values.data(), .sums = sums.data(), .columns = stride, .count = count};
    const std::vector<std::int32_t> elements = elements_of(set(), rows, 1);
    for (std::size_t i = 0; i < stride; ++i) {
      const double expected = i < n ? static_cast<double>(x[i]) / static_cast<double>(scale) : 0.0;
      EXPECT_NEAR(elements[i], expected, 0.51) << i;
    }
    EXPECT_EQ(elements_of(set(), rows, 0), std::vector<std::int32_t>(stride)) << "another query's place";
  }
  // What only a hostile file has: zero, and no scale that could spread.
  for (const float odd : {0.0F, 1e-36F, 3e38F, std::numeric_limits<float>::infinity()}) {
    const std::vector<float> x(16, odd);
    std::vector<std::int8_t> values(32);
    std::int32_t sum = 0;
    EXPECT_EQ(set().quantize_query(x.data(), 16, 16, 1, values.data(), &sum), 0.0F) << odd;
  }
}

TEST_P(EveryKernelSet, WeightsAreScaledSoThatTheirProductsFitASum) {
  const auto scale_of = [this](const std::vector<float>& x) { return set().weight_scale(x.data(), x.size()); };
  // One large weight: 14 bits of it. Many alike: their sum is 2^23.
  EXPECT_EQ(scale_of({0.25F, 1.0F, 0.5F}), 1.0F / (127.0F * 128.0F));
  EXPECT_EQ(scale_of(std::vector<float>(4096, 0.5F)), 2048.0F / 8388608.0F);
  std::vector<float> x = random_floats(100'003, 3);
  double sum = 0;
  for (auto& v : x) sum += v = std::fabs(v);
  EXPECT_NEAR(scale_of(x) / (sum / 8388608.0), 1.0, 1e-4);
  // What only a hostile file has.
  for (const float odd : {0.0F, 1e-36F, 3e38F, std::numeric_limits<float>::infinity()}) {
    EXPECT_EQ(scale_of(std::vector<float>(17, odd)), 0.0F) << odd;
  }
}

TEST_P(EveryKernelSet, WeightsBecomeIntegersInTheirColumnsWithZerosAround) {
  const std::size_t count = 2;
  const std::size_t blocks = 4;
  for (const std::size_t first : {0U, 3U, 16U, 21U}) {
    for (const std::size_t n : {0U, 1U, 9U, 13U, 40U}) {
      std::vector<float> x = random_floats(n + 1, 9);
      for (auto& v : x) v = std::fabs(v);
      x.back() = 1e6F;  // not its own
      const float scale = n == 0 ? 1.0F : set().weight_scale(x.data(), n);
      std::vector<std::int8_t> values(blocks * count * kernels::kWideBytes, 99);
      std::array<std::int32_t, 2> sums{};
      for (std::size_t q = 0; q < count; ++q) {
        sums[q] = set().quantize_weights(x.data(), n, scale, first, blocks, count, &values[q * kernels::kWideBytes]);
      }
      const std::vector<std::int32_t> elements =
          elements_of(set(), {.values = values.data(), .sums = sums.data(), .columns = 16 * blocks, .count = count}, 1);
      for (std::size_t c = 0; c < elements.size(); ++c) {
        const bool is_inside = c >= first && c < first + n;
        EXPECT_NEAR(elements[c], is_inside ? static_cast<double>(x[c - first]) / static_cast<double>(scale) : 0.0, 0.51)
            << n << " from " << first << ", column " << c;
      }
    }
  }
}

TEST_P(EveryKernelSet, IntegersBecomeFloatsTimesTheirScales) {
  for (const std::size_t n : {1U, 16U, 37U}) {
    std::vector<std::int32_t> x(n);
    for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<std::int32_t>(i * 98'765'431U);
    const std::vector<float> scales = random_floats(n, 2);
    std::vector<float> out(n + 1, 7.0F);
    set().dequantize(x.data(), 0.3F, n, out.data());
    for (std::size_t i = 0; i < n; ++i) EXPECT_EQ(out[i], static_cast<float>(x[i]) * 0.3F);
    set().dequantize_each(x.data(), scales.data(), 0.3F, n, out.data());
    for (std::size_t i = 0; i < n; ++i) EXPECT_EQ(out[i], static_cast<float>(x[i]) * (0.3F * scales[i]));
    EXPECT_EQ(out[n], 7.0F);
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
  x[40] = x[95] = std::numeric_limits<float>::quiet_NaN();
  const Quantized expected = quantize(reference(), x, 32);
  const Quantized actual = quantize(set(), x, 32);
  EXPECT_EQ(actual.values, expected.values);
  EXPECT_EQ(actual.scales, expected.scales) << "and none of them is NaN";
  std::vector<float> scores = random_floats(40, 4);
  scores[16] = scores[39] = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> same = scores;
  EXPECT_EQ(set().exponentiate(scores.data(), 32), reference().exponentiate(same.data(), 32));
  EXPECT_EQ(set().weight_scale(scores.data() + 8, 32), reference().weight_scale(same.data() + 8, 32));
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
