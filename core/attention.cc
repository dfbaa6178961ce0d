#include "core/attention.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/rope.h"

namespace rill {
namespace {

/// One thread's scratch memory.
struct Scratch {
  float* raw_scores;
  float* scores;
  float* vector;            // [stride]
  float* mixed;             // [stride]
  std::int8_t* ring_query;  // [2 stride], high and low parts
  std::int8_t* sink_query;  // [2 stride]
};

Scratch scratch_of(const AttentionBuffers& b, std::size_t stride, std::size_t thread) {
  return {.raw_scores = b.raw_scores.data() + thread * b.raw_scores_stride,
          .scores = b.scores.data() + thread * b.scores_stride,
          .vector = b.vectors.data() + thread * 2 * stride,
          .mixed = b.vectors.data() + thread * 2 * stride + stride,
          .ring_query = b.quantized.data() + thread * 4 * stride,
          .sink_query = b.quantized.data() + thread * 4 * stride + 2 * stride};
}

/// Quantises one head's vector with one scale.
/// @returns its scale; the offset for the dot product goes to *offset
float quantize_head(const kernels::KernelSet& kernels, const float* x, std::size_t size, std::size_t stride,
                    std::int8_t* values, std::int32_t* offset) {
  float scale = 0;
  kernels.quantize(x, size, {.values = values, .scales = &scale, .offsets = offset, .columns = stride, .groups = 1});
  return scale;
}

/// Quantises a query to 15 bits, one scale, in two bytes: to nearest even, the largest at 127 * 128.
/// @param values  [2 stride]
kernels::Query quantize_query(const float* x, std::size_t size, std::size_t stride, float score_scale,
                              std::int8_t* values) {
  constexpr float kMost = 127 * 128;
  constexpr float kMagic = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer, for |x| < 2^22
  constexpr float kLeast = 1e-30F;       // as in the kernels' quantize
  float top = 0;
  bool is_number = true;  // a hostile file's NaN must not reach the integers
  for (std::size_t i = 0; i < size; ++i) {
    is_number = is_number && std::fabs(x[i]) <= 1e30F;
    top = std::fabs(x[i]) > top ? std::fabs(x[i]) : top;
  }
  is_number = is_number && top >= kLeast;
  const float factor = is_number ? kMost / top : 0.0F;
  kernels::Query query = {
      .high = values, .low = values + stride, .scale = is_number ? top / kMost * score_scale : 0.0F};
  std::int32_t high_sum = 0;
  std::int32_t low_sum = 0;
  std::fill_n(values, 2 * stride, std::int8_t{0});
  for (std::size_t i = 0; i < size && is_number; ++i) {
    const std::int32_t value =
        std::bit_cast<std::int32_t>(x[i] * factor + kMagic) - std::bit_cast<std::int32_t>(kMagic);
    const std::int32_t high = (value + 64) >> 7;
    values[i] = static_cast<std::int8_t>(high);
    values[stride + i] = static_cast<std::int8_t>(value - 128 * high);
    high_sum += high;
    low_sum += value - 128 * high;
  }
  query.high_offset = -128 * high_sum;
  query.low_offset = -128 * low_sum;
  return query;
}

/// A head's vector at its position: the rotated dimensions, then those that are not.
void rotate_head(const kernels::KernelSet& kernels, const float* x, const float* cosines, const float* sines,
                 std::size_t rotated, std::size_t size, float* out) {
  kernels.rotate(x, cosines, sines, rotated / 2, out);
  std::copy_n(x + rotated, size - rotated, out + rotated);
}

/// Everything that is the same for all queries of one layer.
struct LayerAttention {
  const Weights& m;
  const Layer& layer;
  const StreamCache& cache;
  const AttentionBuffers& b;
  const kernels::KernelSet& kernels;
  Reach reach;
  Slots sinks;
  Slots ring;
  float score_scale;
  std::size_t rotated;  // dimensions of a head that rotate in this layer

  const Slots& slots(Segment::Place place) const {
    switch (place) {
      case Segment::Place::kSinks:
        return sinks;
      case Segment::Place::kRing:
        return ring;
      default:
        return b.staged;
    }
  }
  /// Where a token's phases begin, in any of the four arrays of them.
  std::size_t phase(std::size_t token) const {
    return layer.rope_table * b.table_stride + token * (m.config.rotated_size() / 2);
  }

  kernels::Query make_query(const float* q, const float* cosines, const float* sines, std::int8_t* values,
                            float* vector) const {
    const std::size_t size = m.config.head_size;
    if (rotated > 0) {
      rotate_head(kernels, q, cosines, sines, rotated, size, vector);
      q = vector;
    }
    return quantize_query(q, size, ring.stride, score_scale, values);
  }

  /// Scores of all that a token sees, in the order of the cache.
  void score(const float* q, std::size_t token, std::size_t head, std::size_t kv_head, const View& view,
             const Scratch& s) const {
    const std::size_t stride = ring.stride;
    const std::size_t at = phase(token);
    const kernels::Query ring_query = make_query(q, b.cosines.data() + at, b.sines.data() + at, s.ring_query, s.vector);
    kernels::Query sink_query = ring_query;
    if (rotated > 0 && view.has_sinks() && cache.sinks_are_frozen(token)) {
      sink_query = make_query(q, b.sink_cosines.data() + at, b.sink_sines.data() + at, s.sink_query, s.vector);
    }
    std::size_t count = 0;
    for (std::size_t i = 0; i < view.size; ++i) {
      const Segment& segment = view.segments[i];
      const Slots& from = slots(segment.place);
      const std::size_t tile = segment.first / kernels::kTileRows;
      const std::size_t end_tile = (segment.first + segment.count + kernels::kTileRows - 1) / kernels::kTileRows;
      kernels.score(segment.is_sink ? sink_query : ring_query, stride,
                    from.head_keys(kv_head) + tile * kernels::kTileRows * stride,
                    from.head_key_scales(kv_head) + tile * kernels::kTileRows, end_tile - tile, s.raw_scores);
      std::copy_n(s.raw_scores + segment.first % kernels::kTileRows, segment.count, s.scores + count);
      count += segment.count;
    }
    if (m.config.attention_cap > 0) kernels.soft_cap(static_cast<float>(m.config.attention_cap), count, s.scores);
    if (!m.alibi.empty()) {  // what is seen are the nearest tokens, so an index is a distance (DESIGN 6)
      const float slope = m.alibi[head];
      for (std::size_t i = 0; i < count; ++i) s.scores[i] -= slope * static_cast<float>(count - 1 - i);
    }
  }

  /// Turns scores into weights. @returns their sum, with what a built-in sink takes of it
  float soften(std::size_t head, std::size_t count, float* scores) const {
    switch (m.config.softmax) {
      case Softmax::kStandard:
        return kernels.exponentiate(scores, count);
      case Softmax::kPlusOne:
        scores[count] = 0.0F;
        break;
      case Softmax::kSinkLogit:
        scores[count] = layer.sink_logits[head];
        break;
    }
    return kernels.exponentiate(scores, count + 1);
  }

  /// One query head of one token. @param out [d]
  void attend_head(const float* q, std::size_t token, std::size_t head, const Scratch& s, float* out) const {
    const std::size_t kv_head = head / (m.config.heads / m.config.kv_heads);
    const std::size_t stride = ring.stride;
    const View view = cache.occupancy.view(token, reach);
    score(q, token, head, kv_head, view, s);
    const float sum = soften(head, view.visible, s.scores);
    std::fill_n(s.mixed, stride, 0.0F);
    std::size_t done = 0;
    for (std::size_t i = 0; i < view.size; ++i) {
      const Segment& segment = view.segments[i];
      const Slots& from = slots(segment.place);
      kernels.mix(from.head_values(kv_head) + segment.first * stride, from.head_value_scales(kv_head) + segment.first,
                  s.scores + done, segment.count, stride, s.mixed);
      done += segment.count;
    }
    kernels.scale(1.0F / sum, stride, s.mixed);
    std::copy_n(s.mixed, m.config.head_size, out);
  }

  /// Writes the rotated keys and the values of tokens [begin, end) into the staged slots.
  void stage(std::span<const float> qkv, std::size_t qkv_stride, std::size_t begin, std::size_t end, Slots staged,
             const Scratch& s) const {
    const ModelConfig& c = m.config;
    const std::size_t d = c.head_size;
    for (std::size_t token = begin; token < end; ++token) {
      for (std::size_t head = 0; head < c.kv_heads; ++head) {
        const float* key = qkv.data() + token * qkv_stride + (c.heads + head) * d;
        const float* value = key + c.kv_heads * d;
        if (rotated > 0) {
          rotate_head(kernels, key, b.cosines.data() + phase(token), b.sines.data() + phase(token), rotated, d,
                      s.vector);
          key = s.vector;
        }
        std::int32_t unused = 0;
        const float key_scale = quantize_head(kernels, key, d, staged.stride, s.ring_query, &unused);
        const float value_scale = quantize_head(kernels, value, d, staged.stride, s.sink_query, &unused);
        staged.write(head, token, s.ring_query, key_scale, s.sink_query, value_scale);
      }
    }
  }
};

/// One layer's slots that outlive the chunk.
struct CachedSlots {
  Slots sinks;
  Slots ring;
};

CachedSlots cached_slots(const ModelConfig& config, const Layer& layer, const StreamCache& cache) {
  const SlotItems& rings = layer.is_local ? cache.items.local_ring : cache.items.ring;
  const std::size_t layers_of_kind = rings.layers_per_session;
  return {.sinks = slots_of_layer(*cache.arena, cache.items.sinks, config, cache.session * config.layers + layer.index),
          .ring = slots_of_layer(*cache.arena, rings, config, cache.session * layers_of_kind + layer.ring_index)};
}

}  // namespace

CacheItems plan_cache(MemoryPlan& plan, const ModelConfig& config, const CachePolicy& policy, std::uint32_t sessions) {
  constexpr Lifetime kLife = Lifetime::kWholeRun;
  std::uint64_t local = 0;
  for (std::uint32_t l = 0; l < config.layers; ++l) local += config.is_local(l) ? 1 : 0;
  const auto add = [&](const std::array<std::string_view, 4>& names, std::uint64_t slots, std::uint64_t layers) {
    SlotItems items = plan_slots(plan, names, config, slots, layers * sessions, kLife);
    items.layers_per_session = static_cast<std::size_t>(layers);
    return items;
  };
  CacheItems items;
  items.sinks = add({"sink keys", "sink values", "sink key scales", "sink value scales"}, policy.sinks, config.layers);
  items.ring = add({"ring keys", "ring values", "ring key scales", "ring value scales"},
                   reach_of(policy, config, false).ring, config.layers - local);
  if (local > 0) {
    items.local_ring = add({"local ring keys", "local ring values", "local ring key scales", "local ring value scales"},
                           reach_of(policy, config, true).ring, local);
  }
  return items;
}

AttentionItems plan_attention(MemoryPlan& plan, const ModelConfig& config, const CachePolicy& policy, std::size_t chunk,
                              std::size_t threads) {
  const bool has_rope = config.position == Position::kRope;
  const Size phases = has_rope ? Size(chunk) * Size(config.rotated_size() / 2) * Size(config.rope_tables) : Size(0);
  const Size stride(head_stride(config));
  const Size most_slots =
      round_up(Size(std::max({std::uint64_t{policy.sinks}, std::uint64_t{policy.window}, std::uint64_t{chunk}})), 16);
  const Size visible = Size(policy.sinks) + Size(policy.window) + Size(1);
  const Size sink_logit(config.softmax == Softmax::kStandard ? 0 : 1);
  constexpr Lifetime kLife = Lifetime::kOneCall;
  AttentionItems items;
  items.staged = plan_slots(plan, {"staged keys", "staged values", "staged key scales", "staged value scales"}, config,
                            chunk, 1, kLife);
  items.cosines = plan.add<float>("rope cosines", phases, kLife);
  items.sines = plan.add<float>("rope sines", phases, kLife);
  items.sink_cosines = plan.add<float>("rope cosines for sinks", phases, kLife);
  items.sink_sines = plan.add<float>("rope sines for sinks", phases, kLife);
  items.raw_scores = plan.add<float>("scores by slot", (most_slots + Size(16)) * Size(threads), kLife);
  items.scores = plan.add<float>("scores in order", round_up(visible + sink_logit, 16) * Size(threads), kLife);
  items.vectors = plan.add<float>("head vectors", Size(2) * stride * Size(threads), kLife);
  items.quantized = plan.add<std::int8_t>("queries in two bytes", Size(4) * stride * Size(threads), kLife);
  return items;
}

AttentionBuffers cut_attention(const Arena& arena, const AttentionItems& items, const ModelConfig& config,
                               std::size_t threads) {
  AttentionBuffers b;
  b.staged = slots_of_layer(arena, items.staged, config, 0);
  b.cosines = arena[items.cosines];
  b.sines = arena[items.sines];
  b.sink_cosines = arena[items.sink_cosines];
  b.sink_sines = arena[items.sink_sines];
  b.raw_scores = arena[items.raw_scores];
  b.scores = arena[items.scores];
  b.vectors = arena[items.vectors];
  b.quantized = arena[items.quantized];
  b.raw_scores_stride = b.raw_scores.size() / threads;
  b.scores_stride = b.scores.size() / threads;
  b.table_stride = b.cosines.size() / config.rope_tables;
  return b;
}

void prepare_phases(const Weights& m, const StreamCache& cache, std::size_t n, AttentionBuffers& b) {
  const std::size_t half = m.config.rotated_size() / 2;
  if (half == 0) return;
  for (std::size_t table = 0; table < m.config.rope_tables; ++table) {
    const std::span<const std::uint64_t> turns = m.rope_turns.subspan(table * half, half);
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t at = table * b.table_stride + i * half;
      rope_phases(turns, cache.position + i, b.cosines.subspan(at, half), b.sines.subspan(at, half));
      if (cache.occupancy.policy().sinks > 0 && cache.sinks_are_frozen(i)) {
        rope_phases(turns, cache.occupancy.cache_position(i), b.sink_cosines.subspan(at, half),
                    b.sink_sines.subspan(at, half));
      }
    }
  }
}

void attend(const Weights& m, const Layer& layer, std::span<const float> qkv, std::size_t qkv_stride, std::size_t n,
            const StreamCache& cache, AttentionBuffers& b, const kernels::KernelSet& kernels, WorkerPool& pool,
            std::span<float> mixed) {
  const ModelConfig& c = m.config;
  const std::size_t d = c.head_size;
  const std::size_t stride = b.staged.stride;
  const CachedSlots cached = cached_slots(c, layer, cache);
  const LayerAttention attention = {.m = m,
                                    .layer = layer,
                                    .cache = cache,
                                    .b = b,
                                    .kernels = kernels,
                                    .reach = reach_of(cache.occupancy.policy(), c, layer.is_local),
                                    .sinks = cached.sinks,
                                    .ring = cached.ring,
                                    .score_scale = c.attention_scale > 0 ? static_cast<float>(c.attention_scale)
                                                                         : 1.0F / std::sqrt(static_cast<float>(d)),
                                    .rotated = layer.rotates ? c.rotated_size() : 0};
  pool.run(n, [&](const WorkerPool::Part& part) {
    attention.stage(qkv, qkv_stride, part.begin, part.end, b.staged, scratch_of(b, stride, part.thread));
  });
  pool.run(n * c.heads, [&](const WorkerPool::Part& part) {
    const Scratch scratch = scratch_of(b, stride, part.thread);
    for (std::size_t i = part.begin; i < part.end; ++i) {
      const std::size_t token = i / c.heads;
      const std::size_t head = i % c.heads;
      attention.attend_head(qkv.data() + token * qkv_stride + head * d, token, head, scratch,
                            mixed.data() + (token * c.heads + head) * d);
    }
  });
}

void commit(const ModelConfig& config, const Layer& layer, std::size_t n, const StreamCache& cache,
            const AttentionBuffers& b) {
  CachedSlots cached = cached_slots(config, layer, cache);
  const Reach reach = reach_of(cache.occupancy.policy(), config, layer.is_local);
  cache.occupancy.for_each_kept(n, reach, [&](std::size_t staged, Segment::Place place, std::size_t slot) {
    (place == Segment::Place::kSinks ? cached.sinks : cached.ring).copy_from(b.staged, staged, config.kv_heads, slot);
  });
}

}  // namespace rill
