// The cache's bookkeeping against the paper's rule, token by token; and where a slot's bytes lie.

#include "core/cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <numeric>
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
};

class EveryWindow : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Chunks, EveryWindow,
                         testing::Values(Case{0, 1, 1}, Case{0, 6, 1}, Case{1, 6, 3}, Case{4, 16, 7}, Case{4, 6, 40},
                                         Case{1, 1, 40}, Case{4, 16, 1}, Case{0, 16, 40}, Case{20, 5, 7}));

TEST_P(EveryWindow, EachTokenSeesWhatThePapersRuleLetsItSee) {
  const Case c = GetParam();
  Occupancy occupancy(stream_policy(c.sinks, c.window));
  PaperRule rule(c.sinks, c.window);
  std::vector<std::size_t> sink_slots(c.sinks, SIZE_MAX);  // which token lies where
  std::vector<std::size_t> ring_slots(c.window, SIZE_MAX);
  for (std::size_t begin = 0; begin < 200; begin += c.chunk) {
    for (std::size_t i = 0; i < c.chunk; ++i) {
      const View view = occupancy.view(i);
      std::vector<std::size_t> seen;
      std::size_t as_sinks = 0;
      for (std::size_t s = 0; s < view.size; ++s) {
        const Segment& segment = view.segments[s];
        for (std::size_t slot = segment.first; slot < segment.first + segment.count; ++slot) {
          seen.push_back(segment.place == Segment::Place::kSinks  ? sink_slots.at(slot)
                         : segment.place == Segment::Place::kRing ? ring_slots.at(slot)
                                                                  : begin + slot);
        }
        if (segment.is_sink) as_sinks += segment.count;
      }
      std::vector<std::size_t> expected = rule.cached();
      expected.push_back(begin + i);  // itself
      ASSERT_EQ(seen, expected) << "token " << begin + i;
      EXPECT_EQ(view.cached, expected.size() - 1);
      EXPECT_EQ(as_sinks, std::min<std::size_t>(c.sinks, begin + i));
      rule.add(begin + i);
    }
    occupancy.for_each_kept(c.chunk, [&](std::size_t staged, Segment::Place place, std::size_t slot) {
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

TEST(Slots, LieAsTilesOf16SlotsTimesFourInputsAndAreCopiedWhole) {
  constexpr std::size_t kSlots = 32;
  constexpr std::size_t kStride = 16;
  constexpr std::size_t kHeads = 2;
  std::vector<std::int8_t> keys(kHeads * kSlots * kStride);
  std::vector<std::int8_t> values(kHeads * kSlots * kStride);
  std::vector<float> key_scales(kHeads * kSlots);
  std::vector<float> value_scales(kHeads * kSlots);
  Slots slots = {keys.data(), values.data(), key_scales.data(), value_scales.data(), kSlots, kStride};
  std::vector<std::int8_t> key(kStride);
  std::iota(key.begin(), key.end(), std::int8_t{1});
  slots.write(1, 18, key.data(), 0.5F, key.data(), 0.25F);
  // Head 1, second tile (slots 16 to 31), slot 2 of it: input c at c / 4 * 64 + 2 * 4 + c % 4.
  for (std::size_t c = 0; c < kStride; ++c) EXPECT_EQ(keys[(kSlots + 16) * kStride + c / 4 * 64 + 8 + c % 4], key[c]);
  EXPECT_EQ(values[(kSlots + 18) * kStride + 3], 4);
  EXPECT_EQ(key_scales[kSlots + 18], 0.5F);
  slots.copy_from(slots, 18, kHeads, 5);
  for (std::size_t c = 0; c < kStride; ++c) EXPECT_EQ(keys[kSlots * kStride + c / 4 * 64 + 20 + c % 4], key[c]);
  EXPECT_EQ(value_scales[kSlots + 5], 0.25F);
}

}  // namespace
}  // namespace rill
