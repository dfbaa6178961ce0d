#pragma once
// The KV cache: pinned sinks and a ring, in int8, of a size that never changes.
//
// Per layer and KV head, slots with one key and one value each, int8 with one float32 scale per slot:
//
//   | sinks: the stream's first S tokens, for ever | ring: the W tokens after them, oldest overwritten first |
//   keys    [tiles of 16 slots][stride / 4][16][4]      stride = head size rounded up to 16
//   values  [tiles of 16 elements][slots / 4][16][4]
//
// Both are tiles as the weights are: a key is a row, whose elements meet a query's; an element of the values is a row,
// whose slots meet a query's weights. One kernel reads both.
//
// Keys are stored rotated at their absolute position and never touched again: the distance between a query and a ring
// key is then the distance in the cache. Only the sinks' distance freezes at S + W; for them the query is rotated a
// second time, at its position in the cache (DESIGN 6; StreamingLLM, arXiv 2309.17453, section 3.2).
//
// A layer with a window of its own (Mistral, Gemma) has a ring of that size and sees of the cache, sinks and all, only
// what is that near, counted in the cache: its model was trained to see no more.
//
// A chunk's own keys and values are staged, attended to, and committed afterwards, layer by layer: its first query
// still needs the oldest slot.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/memory_plan.h"
#include "core/model_config.h"
#include "platform/kernels/kernels.h"

namespace rill {

/// What a token can see of those before it. One concept for all methods of the paper: how many slots are pinned, how
/// many form the ring, and what happens when the ring is full.
struct CachePolicy {
  std::string_view name;
  std::uint32_t sinks = 4;      ///< S, start_size in the reference
  std::uint32_t window = 1020;  ///< W, recent_size: the tokens before it that a token sees; >= 1
  bool evicts = true;           ///< false: the stream ends when the ring is full
  bool recomputes = false;      ///< each further token begins anew with the W tokens before it: O(W) more work

  /// Whether the stream goes on after the window is full.
  constexpr bool is_endless() const { return evicts || recomputes; }
};

inline constexpr CachePolicy stream_policy(std::uint32_t sinks, std::uint32_t window) {
  return {.name = "stream", .sinks = sinks, .window = window, .evicts = true};
}
inline constexpr CachePolicy window_policy(std::uint32_t window) {
  return {.name = "window", .sinks = 0, .window = window, .evicts = true};
}
inline constexpr CachePolicy dense_policy(std::uint32_t capacity) {
  return {.name = "dense", .sinks = 0, .window = capacity, .evicts = false};
}
/// Sliding window with recomputation: the baseline of the paper (section 3.1).
inline constexpr CachePolicy recompute_policy(std::uint32_t window) {
  return {.name = "recompute", .sinks = 0, .window = window, .evicts = false, .recomputes = true};
}

/// How far one layer sees.
struct Reach {
  std::size_t ring = 0;             ///< slots of its ring: the policy's window, or less
  std::size_t distance = SIZE_MAX;  ///< greatest distance in the cache at which it sees a token
};
Reach reach_of(const CachePolicy& policy, const ModelConfig& config, bool is_local);

/// Slots of one kind, for all layers of all sessions: where the bytes are.
struct SlotItems {
  Item<std::int8_t> keys;
  Item<std::int8_t> values;
  Item<float> key_scales;
  Item<float> value_scales;
  std::size_t slots = 0;  ///< a layer's, rounded up to whole tiles
  std::size_t layers_per_session = 0;
};

/// One layer's slots of one kind. Borrowed from the arena.
struct Slots {
  std::int8_t* keys = nullptr;    ///< [kv_heads][slots / 16][stride / 4][16][4]
  std::int8_t* values = nullptr;  ///< [kv_heads][stride / 16][slots / 4][16][4]
  float* key_scales = nullptr;    ///< [kv_heads][slots]
  float* value_scales = nullptr;  ///< [kv_heads][slots]
  std::size_t slots = 0;
  std::size_t stride = 0;

  const std::int8_t* head_keys(std::size_t head) const { return keys + head * slots * stride; }
  const std::int8_t* head_values(std::size_t head) const { return values + head * slots * stride; }
  const float* head_key_scales(std::size_t head) const { return key_scales + head * slots; }
  const float* head_value_scales(std::size_t head) const { return value_scales + head * slots; }

  /// @param key, value  [stride] int8, zeros behind the head size
  void write(std::size_t head, std::size_t slot, const std::int8_t* key, float key_scale, const std::int8_t* value,
             float value_scale);
  /// Copies one slot of all heads from other slots.
  void copy_from(const Slots& from, std::size_t from_slot, std::size_t kv_heads, std::size_t to_slot);
};

/// Adds the items of `slots` slots for each of `layers` layers.
/// @param names  of keys, values, key scales, value scales; static text
SlotItems plan_slots(MemoryPlan& plan, const std::array<std::string_view, 4>& names, const ModelConfig& config,
                     std::uint64_t slots, std::uint64_t layers, Lifetime lifetime);
/// One layer's view. @param index  layer, counted over all sessions
Slots slots_of_layer(const Arena& arena, const SlotItems& items, const ModelConfig& config, std::size_t index);

/// Bytes between two heads' vectors: the head size rounded up to 16.
constexpr std::size_t head_stride(const ModelConfig& config) {
  return round_up(std::size_t{config.head_size}, std::size_t{16});
}

/// A run of slots that queries attend to, in the order of the stream.
struct Segment {
  enum class Place : std::uint8_t { kSinks, kRing, kStaged };
  Place place = Place::kStaged;
  bool is_sink = false;  ///< attended to with the query rotated at its cache position
  std::size_t first = 0;
  std::size_t count = 0;
  std::size_t at = 0;  ///< keys of the view before it
};

/// Keys [begin, end) of a view.
struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;

  std::size_t count() const { return end - begin; }
};

/// What a token sees of a view: of its sinks the last, of its window all but the oldest and the newest.
struct Sight {
  Span sinks;
  Span window;  ///< its last key is the token's own

  std::size_t visible() const { return sinks.count() + window.count(); }
  /// What it sees of a segment, as keys of the view: within the segment, and empty if nothing.
  Span of(const Segment& segment) const;
  /// Where a key that the token sees stands among all that it sees.
  std::size_t index(const Segment& segment, std::size_t key) const {
    return segment.is_sink ? key - sinks.begin : sinks.count() + key - window.begin;
  }
};

/// What a run of a chunk's tokens sees between them: the nearest of the cached tokens, in the order of the cache, and
/// themselves.
struct View {
  std::array<Segment, 6> segments{};
  std::size_t size = 0;
  std::size_t sinks = 0;    ///< keys that are sinks
  std::size_t visible = 0;  ///< all keys

  bool has_sinks() const { return sinks > 0; }
};

/// Which slots are live and where the next token goes. The same for all layers but for their reach. Counts only:
/// positions may wrap, these do not.
class Occupancy {
 public:
  Occupancy() = default;
  explicit Occupancy(const CachePolicy& policy) : policy_(policy) {}

  /// The cache position of the token that follows `before` staged tokens: how many cached tokens it comes after.
  std::size_t cache_position(std::size_t before) const;
  /// What the tokens [first, last] of a chunk see in a layer. As long as sinks fill up, each token has a view of its
  /// own: last <= last_alike(first, last).
  View view(std::size_t first, std::size_t last, const Reach& reach) const;
  /// What one of them sees of it.
  Sight sight(std::size_t token, std::size_t first, std::size_t last, const Reach& reach) const;
  std::size_t last_alike(std::size_t first, std::size_t last) const {
    return first < policy_.sinks - sinks_ ? first : last;
  }
  /// Calls place(staged index, segment place, slot) for every staged token that a layer keeps. A chunk longer than its
  /// ring leaves only its end.
  template <typename Place>
  void for_each_kept(std::size_t staged, const Reach& reach, Place place) const {
    const std::size_t new_sinks = new_sinks_of(staged);
    for (std::size_t j = 0; j < new_sinks; ++j) place(j, Segment::Place::kSinks, sinks_ + j);
    const std::size_t new_ring = staged - new_sinks;
    for (std::size_t j = new_ring > reach.ring ? new_ring - reach.ring : 0; j < new_ring; ++j) {
      place(new_sinks + j, Segment::Place::kRing, static_cast<std::size_t>((passed_ + j) % reach.ring));
    }
  }
  /// Counts a chunk in, after its last layer.
  void advance(std::size_t staged);
  /// Tokens that still fit; SIZE_MAX for a policy whose stream is endless.
  std::size_t room() const;
  std::size_t live() const { return cache_position(0); }
  const CachePolicy& policy() const { return policy_; }
  void clear() {
    sinks_ = 0;
    passed_ = 0;
  }

  /// All that it counts, to be saved with a stream.
  struct Counts {
    std::uint64_t sinks = 0;   ///< live sinks
    std::uint64_t passed = 0;  ///< tokens that went through the ring
  };
  Counts counts() const { return {.sinks = sinks_, .passed = passed_}; }
  /// True for counts that this policy can come to.
  bool allows(const Counts& counts) const;
  /// @param counts  allowed
  void restore(const Counts& counts);

 private:
  /// Where a token's sight begins.
  struct Horizon {
    std::size_t first_sink;  ///< of the sinks, cached and staged
    std::size_t window;      ///< tokens before it in its window
  };
  Horizon horizon(std::size_t before, const Reach& reach) const;
  std::size_t new_sinks_of(std::size_t staged) const {
    const std::size_t free = policy_.sinks - sinks_;
    return staged < free ? staged : free;
  }

  CachePolicy policy_{};
  std::size_t sinks_ = 0;     ///< live sinks
  std::uint64_t passed_ = 0;  ///< tokens that went through the ring; the next one's slot is this modulo a layer's ring
};

}  // namespace rill
