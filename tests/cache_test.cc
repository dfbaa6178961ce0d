// The cache's bookkeeping against the paper's rule, token by token; and where a slot's bytes lie.

#include "core/cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace rill {
namespace {

/// The rule of StreamingLLM's reference code: a step sees what is cached; then it is added; then what is too much goes.
class PaperRule {
 public:
  PaperRule(std::size_t sinks, std::size_t window) : sinks_(sinks), window_(window) {}
  const std::vector<std::size_t>& cached() const { return cached_; }
  void add(std::size_t token) {
    cached_.push_back(token);
    if (cached_.size() > sinks_ + window_) cached_.erase(cached_.begin() + static_cast<std::ptrdiff_t>(sinks_));
  }

 private:
  std::size_t sinks_;
  std::size_t window_;
  std::vector<std::size_t> cached_;
};

struct Case {
  std::uint32_t sinks;
  std::uint32_t window;
  std::size_t chunk;
  std::uint32_t local_window = 0;  ///< of the layer; 0: it sees all that is cached
};

std::vector<Case> all_cases() {
  std::vector<Case> cases = {{20, 5, 7}};  // more sinks than a chunk
  for (const std::uint32_t sinks : {0U, 1U, 4U}) {
    for (const std::uint32_t window : {1U, 6U, 16U}) {
      for (const std::size_t chunk : {1U, 3U, 7U, 40U}) cases.push_back({sinks, window, chunk});
    }
  }
  for (const std::uint32_t local : {1U, 5U, 12U, 14U, 30U}) {  // inside the window, between it and the sinks, beyond
    for (const std::size_t chunk : {1U, 7U, 40U}) cases.push_back({3, 12, chunk, local});
  }
  return cases;
}

class EveryWindow : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Chunks, EveryWindow, testing::ValuesIn(all_cases()), [](const auto& one) {
  return std::to_string(one.param.sinks) + "_sinks_window_" + std::to_string(one.param.window) + "_chunk_" +
         std::to_string(one.param.chunk) + "_local_" + std::to_string(one.param.local_window);
});

TEST_P(EveryWindow, EachTokenSeesWhatThePapersRuleLetsItSee) {
  const Case c = GetParam();
  Occupancy occupancy(stream_policy(c.sinks, c.window));
  PaperRule rule(c.sinks, c.window);
  ModelConfig config;
  config.local_window = c.local_window;
  const Reach reach = reach_of(occupancy.policy(), config, c.local_window > 0);
  EXPECT_LE(reach.ring, c.window);
  std::vector<std::size_t> sink_slots(c.sinks, SIZE_MAX);  // which token lies where
  std::vector<std::size_t> ring_slots(reach.ring, SIZE_MAX);
  for (std::size_t begin = 0; begin < 200; begin += c.chunk) {
    for (std::size_t i = 0; i < c.chunk; ++i) {
      // Alone, or together with neighbours that share its sinks: a token sees the same.
      const std::size_t first = occupancy.last_alike(i / 6 * 6, i) == i ? i / 6 * 6 : i;
      const std::size_t last = occupancy.last_alike(i, std::min(first + 5, c.chunk - 1));
      const View view = occupancy.view(first, last, reach);
      const Sight sight = occupancy.sight(i, first, last, reach);
      std::vector<std::size_t> seen(sight.visible(), SIZE_MAX);
      std::size_t as_sinks = 0;
      std::size_t keys = 0;
      for (std::size_t s = 0; s < view.size; ++s) {
        const Segment& segment = view.segments[s];
        EXPECT_EQ(segment.at, keys);
        keys += segment.count;
        const Span span = sight.of(segment);
        EXPECT_TRUE(segment.at <= span.begin && span.begin <= span.end && span.end <= keys) << "stays in the segment";
        for (std::size_t key = span.begin; key < span.end; ++key) {
          const std::size_t slot = segment.first + key - segment.at;
          seen.at(sight.index(segment, key)) = segment.place == Segment::Place::kSinks  ? sink_slots.at(slot)
                                               : segment.place == Segment::Place::kRing ? ring_slots.at(slot)
                                                                                        : begin + slot;
        }
        if (segment.is_sink) as_sinks += span.count();
      }
      EXPECT_EQ(view.visible, keys);
      std::vector<std::size_t> expected = rule.cached();
      EXPECT_EQ(occupancy.cache_position(i), expected.size());
      if (c.local_window > 0 && expected.size() > c.local_window) {  // the nearest by their index in the cache
        expected.erase(expected.begin(), expected.end() - c.local_window);
      }
      const auto sinks = std::count_if(expected.begin(), expected.end(), [&](std::size_t t) { return t < c.sinks; });
      expected.push_back(begin + i);  // itself
      ASSERT_EQ(seen, expected) << "token " << begin + i;
      EXPECT_EQ(sight.visible(), expected.size());
      EXPECT_EQ(as_sinks, static_cast<std::size_t>(sinks));
      rule.add(begin + i);
    }
    occupancy.for_each_kept(c.chunk, reach, [&](std::size_t staged, Segment::Place place, std::size_t slot) {
      (place == Segment::Place::kSinks ? sink_slots : ring_slots).at(slot) = begin + staged;
    });
    occupancy.advance(c.chunk);
    EXPECT_EQ(occupancy.live(), rule.cached().size());
  }
}

TEST(DensePolicy, HasRoomUntilItsCapacity) {
  Occupancy occupancy(dense_policy(10));
  EXPECT_EQ(occupancy.room(), 10U);
  occupancy.advance(7);
  EXPECT_EQ(occupancy.room(), 3U);
  occupancy.advance(3);
  EXPECT_EQ(occupancy.room(), 0U);
  EXPECT_EQ(Occupancy(stream_policy(1, 1)).room(), SIZE_MAX);
}

TEST(DensePolicy, SeesEverythingUpToItsCapacity) {
  constexpr std::size_t kCapacity = 10;
  Occupancy occupancy(dense_policy(kCapacity));
  for (std::size_t token = 0; token < kCapacity; ++token) {
    EXPECT_EQ(occupancy.cache_position(0), token);
    EXPECT_EQ(occupancy.room(), kCapacity - token);
    occupancy.advance(1);
  }
  occupancy.clear();
  EXPECT_EQ(occupancy.room(), kCapacity);
  EXPECT_EQ(occupancy.live(), 0U);
}

/// Slots that own their arrays, every element different from its neighbours.
struct OwnedSlots {
  OwnedSlots(std::size_t heads, std::size_t slots, std::size_t stride, int first)
      : keys(heads * slots * stride),
        values(heads * slots * stride),
        key_scales(heads * slots),
        value_scales(heads * slots),
        view{keys.data(), values.data(), key_scales.data(), value_scales.data(), slots, stride} {
    for (std::size_t i = 0; i < keys.size(); ++i) {
      keys[i] = static_cast<std::int8_t>((first + 7 * static_cast<int>(i)) % 251 - 125);
      values[i] = static_cast<std::int8_t>((first + 11 * static_cast<int>(i)) % 241 - 120);
    }
    std::iota(key_scales.begin(), key_scales.end(), static_cast<float>(first));
    std::iota(value_scales.begin(), value_scales.end(), static_cast<float>(first) + 1000);
  }
  OwnedSlots(const OwnedSlots&) = delete;
  OwnedSlots& operator=(const OwnedSlots&) = delete;

  /// By the header's picture: [head][slots / 16][stride / 4][16][4].
  std::int8_t& key(std::size_t head, std::size_t slot, std::size_t c) {
    return keys[(((head * (view.slots / 16) + slot / 16) * (view.stride / 4) + c / 4) * 16 + slot % 16) * 4 + c % 4];
  }
  /// [head][stride / 16][slots / 4][16][4]
  std::int8_t& value(std::size_t head, std::size_t slot, std::size_t c) {
    return values[(((head * (view.stride / 16) + c / 16) * (view.slots / 4) + slot / 4) * 16 + c % 16) * 4 + slot % 4];
  }

  std::vector<std::int8_t> keys;
  std::vector<std::int8_t> values;
  std::vector<float> key_scales;
  std::vector<float> value_scales;
  Slots view;
};

void expect_same(const OwnedSlots& actual, const OwnedSlots& expected) {
  EXPECT_EQ(actual.keys, expected.keys);
  EXPECT_EQ(actual.values, expected.values);
  EXPECT_EQ(actual.key_scales, expected.key_scales);
  EXPECT_EQ(actual.value_scales, expected.value_scales);
}

TEST(Slots, AreWrittenInTheirOwnPlaceAndNowhereElse) {
  constexpr std::size_t kHeads = 3;
  constexpr std::size_t kSlots = 48;
  constexpr std::size_t kStride = 32;
  OwnedSlots actual(kHeads, kSlots, kStride, 1);
  OwnedSlots expected(kHeads, kSlots, kStride, 1);
  for (const auto& [head, slot] : {std::pair{0U, 0U}, {0U, 15U}, {0U, 16U}, {1U, 47U}, {2U, 31U}, {2U, 47U}}) {
    std::vector<std::int8_t> key(kStride);
    std::vector<std::int8_t> value(kStride);
    std::iota(key.begin(), key.end(), static_cast<std::int8_t>(slot));
    std::iota(value.begin(), value.end(), static_cast<std::int8_t>(-100));
    actual.view.write(head, slot, key.data(), 0.5F, value.data(), 0.25F);
    for (std::size_t c = 0; c < kStride; ++c) {
      expected.key(head, slot, c) = key[c];
      expected.value(head, slot, c) = value[c];
    }
    expected.key_scales[head * kSlots + slot] = 0.5F;
    expected.value_scales[head * kSlots + slot] = 0.25F;
    expect_same(actual, expected);
  }
}

TEST(Slots, AreCopiedFromSlotsOfAnotherNumberForEveryHead) {
  constexpr std::size_t kHeads = 3;
  constexpr std::size_t kStride = 32;
  OwnedSlots staged(kHeads, 16, kStride, 1);
  OwnedSlots ring(kHeads, 48, kStride, 90);
  OwnedSlots expected(kHeads, 48, kStride, 90);
  for (const auto& [from, to] : {std::pair{0U, 47U}, {15U, 0U}, {7U, 16U}, {7U, 31U}}) {
    ring.view.copy_from(staged.view, from, kHeads, to);
    for (std::size_t head = 0; head < kHeads; ++head) {
      for (std::size_t c = 0; c < kStride; ++c) {
        expected.key(head, to, c) = staged.key(head, from, c);
        expected.value(head, to, c) = staged.value(head, from, c);
      }
      expected.key_scales[head * 48 + to] = staged.key_scales[head * 16 + from];
      expected.value_scales[head * 48 + to] = staged.value_scales[head * 16 + from];
    }
    expect_same(ring, expected);
  }
}

}  // namespace
}  // namespace rill
