#include "core/cache.h"

#include <algorithm>
#include <cstring>

namespace rill {

namespace {

using kernels::kTileBytes;
using kernels::kTileColumns;
using kernels::kTileRows;

/// Where a slot's key begins among a head's keys: a row, four elements in each tile.
std::size_t key_offset(std::size_t slot, std::size_t stride) {
  return slot / kTileRows * kTileRows * stride + slot % kTileRows * kTileColumns;
}
/// Where a slot's value begins among a head's values: a column, an element in each row.
std::size_t value_offset(std::size_t slot) { return slot / kTileColumns * kTileBytes + slot % kTileColumns; }

}  // namespace

void Slots::write(std::size_t head, std::size_t slot, const std::int8_t* key, float key_scale, const std::int8_t* value,
                  float value_scale) {
  std::int8_t* const key_to = keys + head * slots * stride + key_offset(slot, stride);
  std::int8_t* const value_to = values + head * slots * stride + value_offset(slot);
  for (std::size_t c = 0; c < stride; c += kTileColumns) std::memcpy(key_to + c * kTileRows, key + c, kTileColumns);
  for (std::size_t c = 0; c < stride; c += kTileRows) {
    for (std::size_t r = 0; r < kTileRows; ++r) value_to[c * slots + r * kTileColumns] = value[c + r];
  }
  key_scales[head * slots + slot] = key_scale;
  value_scales[head * slots + slot] = value_scale;
}

void Slots::copy_from(const Slots& from, std::size_t from_slot, std::size_t kv_heads, std::size_t to_slot) {
  for (std::size_t head = 0; head < kv_heads; ++head) {
    const std::int8_t* const key = from.head_keys(head) + key_offset(from_slot, stride);
    const std::int8_t* const value = from.head_values(head) + value_offset(from_slot);
    std::int8_t* const key_to = keys + head * slots * stride + key_offset(to_slot, stride);
    std::int8_t* const value_to = values + head * slots * stride + value_offset(to_slot);
    for (std::size_t c = 0; c < stride; c += kTileColumns) {
      std::memcpy(key_to + c * kTileRows, key + c * kTileRows, kTileColumns);
    }
    for (std::size_t c = 0; c < stride; c += kTileRows) {
      for (std::size_t r = 0; r < kTileBytes; r += kTileColumns) value_to[c * slots + r] = value[c * from.slots + r];
    }
    key_scales[head * slots + to_slot] = from.head_key_scales(head)[from_slot];
    value_scales[head * slots + to_slot] = from.head_value_scales(head)[from_slot];
  }
}

SlotItems plan_slots(MemoryPlan& plan, const std::array<std::string_view, 4>& names, const ModelConfig& config,
                     std::uint64_t slots, std::uint64_t layers, Lifetime lifetime) {
  const Size padded = round_up(Size(slots), kernels::kTileRows);
  const Size scales = padded * Size(config.kv_heads) * Size(layers);
  const Size bytes = scales * Size(head_stride(config));
  SlotItems items;
  items.slots = static_cast<std::size_t>(padded.value);
  items.keys = plan.add<std::int8_t>(names[0], bytes, lifetime);
  items.values = plan.add<std::int8_t>(names[1], bytes, lifetime);
  items.key_scales = plan.add<float>(names[2], scales, lifetime);
  items.value_scales = plan.add<float>(names[3], scales, lifetime);
  return items;
}

Slots slots_of_layer(const Arena& arena, const SlotItems& items, const ModelConfig& config, std::size_t index) {
  const std::size_t stride = head_stride(config);
  const std::size_t scales = index * config.kv_heads * items.slots;
  return {.keys = arena[items.keys].data() + scales * stride,
          .values = arena[items.values].data() + scales * stride,
          .key_scales = arena[items.key_scales].data() + scales,
          .value_scales = arena[items.value_scales].data() + scales,
          .slots = items.slots,
          .stride = stride};
}

Reach reach_of(const CachePolicy& policy, const ModelConfig& config, bool is_local) {
  if (!is_local || config.local_window >= policy.sinks + std::uint64_t{policy.window}) return {.ring = policy.window};
  return {.ring = std::min(policy.window, config.local_window), .distance = config.local_window};
}

std::size_t Occupancy::cache_position(std::size_t before) const {
  const std::size_t new_sinks = new_sinks_of(before);
  const std::uint64_t passed = passed_ + (before - new_sinks);
  return sinks_ + new_sinks + static_cast<std::size_t>(std::min<std::uint64_t>(passed, policy_.window));
}

Span Sight::of(const Segment& segment) const {
  const Span& seen = segment.is_sink ? sinks : window;
  const std::size_t end = segment.at + segment.count;
  return {.begin = std::clamp(seen.begin, segment.at, end), .end = std::clamp(seen.end, segment.at, end)};
}

Occupancy::Horizon Occupancy::horizon(std::size_t before, const Reach& reach) const {
  const std::size_t sinks = sinks_ + new_sinks_of(before);
  const std::size_t position = cache_position(before);
  return {.first_sink = position > reach.distance ? std::min(position - reach.distance, sinks) : 0,
          .window = std::min(position - sinks, reach.ring)};
}

View Occupancy::view(std::size_t first, std::size_t last, const Reach& reach) const {
  using Place = Segment::Place;
  View view;
  const auto see = [&](Place place, bool is_sink, std::size_t from, std::size_t count) {
    if (count == 0) return;
    view.segments[view.size++] = {
        .place = place, .is_sink = is_sink, .first = from, .count = count, .at = view.visible};
    view.visible += count;
    if (is_sink) view.sinks += count;
  };
  // The first token sees the oldest keys, the last one the newest: what lies between is the view.
  const std::size_t staged_sinks = new_sinks_of(first);
  const Horizon oldest = horizon(first, reach);
  if (oldest.first_sink < sinks_) see(Place::kSinks, true, oldest.first_sink, sinks_ - oldest.first_sink);
  const std::size_t first_staged = oldest.first_sink > sinks_ ? oldest.first_sink - sinks_ : 0;
  see(Place::kStaged, true, first_staged, staged_sinks - first_staged);

  // The window: the last of the ring's tokens (oldest first) followed by the staged ones.
  const std::size_t from_staged = std::min(first - staged_sinks, oldest.window);
  const std::size_t from_ring = oldest.window - from_staged;
  const auto slot = static_cast<std::size_t>((passed_ % reach.ring + reach.ring - from_ring) % reach.ring);
  const std::size_t until_end = std::min(from_ring, reach.ring - slot);
  see(Place::kRing, false, slot, until_end);
  see(Place::kRing, false, 0, from_ring - until_end);
  see(Place::kStaged, false, first - from_staged, last - first + from_staged + 1);  // themselves, right behind
  return view;
}

Sight Occupancy::sight(std::size_t token, std::size_t first, std::size_t last, const Reach& reach) const {
  const Horizon oldest = horizon(first, reach);
  const Horizon own = horizon(token, reach);
  const std::size_t sinks = sinks_ + new_sinks_of(first) - oldest.first_sink;  // of the view
  const std::size_t end = sinks + oldest.window + (last - first) + 1;
  const std::size_t window_end = end - (last - token);
  return {.sinks = {.begin = own.first_sink - oldest.first_sink, .end = sinks},
          .window = {.begin = window_end - 1 - own.window, .end = window_end}};
}

void Occupancy::advance(std::size_t staged) {
  const std::size_t new_sinks = new_sinks_of(staged);
  sinks_ += new_sinks;
  passed_ += staged - new_sinks;
}

std::size_t Occupancy::room() const {
  if (policy_.is_endless()) return SIZE_MAX;
  const auto in_ring = static_cast<std::size_t>(std::min<std::uint64_t>(passed_, policy_.window));
  return policy_.sinks - sinks_ + (policy_.window - in_ring);
}

bool Occupancy::allows(const Counts& counts) const {
  if (counts.sinks > policy_.sinks || (counts.sinks < policy_.sinks && counts.passed > 0)) return false;
  if (policy_.evicts) return counts.passed <= UINT64_MAX / 2;  // further no stream comes, and sums cannot wrap
  return counts.passed <= std::uint64_t{policy_.window} + (policy_.recomputes ? 1 : 0);
}

void Occupancy::restore(const Counts& counts) {
  sinks_ = static_cast<std::size_t>(counts.sinks);
  passed_ = counts.passed;
}

}  // namespace rill
