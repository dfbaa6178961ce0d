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
  for (std::size_t i = 0; i < size; ++i) top = std::fabs(x[i]) > top ? std::fabs(x[i]) : top;
  const bool is_number = top >= kLeast && top <= 1e30F;
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

/// Everything that is the same for all queries of one layer.
struct LayerAttention {
  const ModelConfig& config;
  const StreamCache& cache;
  const AttentionBuffers& b;
  const kernels::KernelSet& kernels;
  Slots sinks;
  Slots ring;
  float score_scale;  // 1 / sqrt(d)

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

  kernels::Query make_query(const float* q, const float* cosines, const float* sines, std::int8_t* values,
                            float* rotated) const {
    kernels.rotate(q, cosines, sines, config.head_size / 2, rotated);
    const kernels::Query query = quantize_query(rotated, config.head_size, ring.stride, score_scale, values);
    return query;
  }

  /// One query head of one token. @param out [d]
  void attend_head(const float* q, std::size_t token, std::size_t kv_head, const Scratch& s, float* out) const {
    const std::size_t half = config.head_size / 2;
    const std::size_t stride = ring.stride;
    const View view = cache.occupancy.view(token);
    const kernels::Query ring_query =
        make_query(q, &b.cosines[token * half], &b.sines[token * half], s.ring_query, s.vector);
    kernels::Query sink_query = ring_query;
    if (view.segments[0].is_sink && view.cached != cache.position + token) {  // only then do the two rotations differ
      sink_query = make_query(q, &b.sink_cosines[token * half], &b.sink_sines[token * half], s.sink_query, s.vector);
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

    const float sum = kernels.exponentiate(s.scores, count);
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
    std::copy_n(s.mixed, config.head_size, out);
  }
};

/// Writes the rotated keys and the values of tokens [begin, end) into the staged slots.
void stage(const ModelConfig& config, std::span<const float> qkv, std::size_t qkv_stride, std::size_t begin,
           std::size_t end, AttentionBuffers& b, const kernels::KernelSet& kernels, const Scratch& s) {
  const std::size_t d = config.head_size;
  const std::size_t stride = b.staged.stride;
  for (std::size_t token = begin; token < end; ++token) {
    for (std::size_t head = 0; head < config.kv_heads; ++head) {
      const float* key = qkv.data() + token * qkv_stride + (config.heads + head) * d;
      const float* value = key + config.kv_heads * d;
      std::int32_t unused = 0;
      kernels.rotate(key, &b.cosines[token * d / 2], &b.sines[token * d / 2], d / 2, s.vector);
      const float key_scale = quantize_head(kernels, s.vector, d, stride, s.ring_query, &unused);
      const float value_scale = quantize_head(kernels, value, d, stride, s.sink_query, &unused);
      b.staged.write(head, token, s.ring_query, key_scale, s.sink_query, value_scale);
    }
  }
}

}  // namespace

AttentionItems plan_attention(MemoryPlan& plan, const ModelConfig& config, const CachePolicy& policy, std::size_t chunk,
                              std::size_t threads) {
  const Size n(chunk);
  const Size phases = n * Size(config.head_size / 2);
  const Size stride(head_stride(config));
  const Size most_slots =
      round_up(Size(std::max({std::uint64_t{policy.sinks}, std::uint64_t{policy.window}, std::uint64_t{chunk}})), 16);
  const Size visible = Size(policy.sinks) + Size(policy.window) + Size(1);
  constexpr Lifetime kLife = Lifetime::kOneCall;
  AttentionItems items;
  items.staged = plan_slots(plan, {"staged keys", "staged values", "staged key scales", "staged value scales"}, config,
                            chunk, 1, kLife);
  items.cosines = plan.add<float>("rope cosines", phases, kLife);
  items.sines = plan.add<float>("rope sines", phases, kLife);
  items.sink_cosines = plan.add<float>("rope cosines for sinks", phases, kLife);
  items.sink_sines = plan.add<float>("rope sines for sinks", phases, kLife);
  items.raw_scores = plan.add<float>("scores by slot", (most_slots + Size(16)) * Size(threads), kLife);
  items.scores = plan.add<float>("scores in order", round_up(visible, 16) * Size(threads), kLife);
  items.vectors = plan.add<float>("head vectors", Size(2) * stride * Size(threads), kLife);
  items.quantized = plan.add<std::int8_t>("queries in two bytes", Size(4) * stride * Size(threads), kLife);
  return items;
}

AttentionBuffers cut_attention(const Arena& arena, const AttentionItems& items, const ModelConfig& config) {
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
  const std::size_t threads = b.vectors.size() / (2 * head_stride(config));
  b.raw_scores_stride = b.raw_scores.size() / threads;
  b.scores_stride = b.scores.size() / threads;
  return b;
}

void prepare_phases(std::span<const std::uint64_t> rope_turns, const StreamCache& cache, std::size_t n,
                    AttentionBuffers& b) {
  const std::size_t half = rope_turns.size();
  for (std::size_t i = 0; i < n; ++i) {
    rope_phases(rope_turns, cache.position + i, b.cosines.subspan(i * half, half), b.sines.subspan(i * half, half));
    const View view = cache.occupancy.view(i);
    if (view.segments[0].is_sink) {
      rope_phases(rope_turns, view.cached, b.sink_cosines.subspan(i * half, half),
                  b.sink_sines.subspan(i * half, half));
    }
  }
}

void attend(const ModelConfig& config, std::size_t layer, std::span<const float> qkv, std::size_t qkv_stride,
            std::size_t n, const StreamCache& cache, AttentionBuffers& b, const kernels::KernelSet& kernels,
            WorkerPool& pool, std::span<float> mixed) {
  const std::size_t d = config.head_size;
  const std::size_t heads_per_kv = config.heads / config.kv_heads;
  const std::size_t stride = b.staged.stride;
  pool.run(n, [&](const WorkerPool::Part& part) {
    stage(config, qkv, qkv_stride, part.begin, part.end, b, kernels, scratch_of(b, stride, part.thread));
  });
  const LayerAttention attention = {
      .config = config,
      .cache = cache,
      .b = b,
      .kernels = kernels,
      .sinks = slots_of_layer(*cache.arena, cache.sinks, config, cache.first_layer + layer),
      .ring = slots_of_layer(*cache.arena, cache.ring, config, cache.first_layer + layer),
      .score_scale = 1.0F / std::sqrt(static_cast<float>(d))};
  pool.run(n * config.heads, [&](const WorkerPool::Part& part) {
    const Scratch scratch = scratch_of(b, stride, part.thread);
    for (std::size_t i = part.begin; i < part.end; ++i) {
      const std::size_t token = i / config.heads;
      const std::size_t head = i % config.heads;
      attention.attend_head(qkv.data() + token * qkv_stride + head * d, token, head / heads_per_kv, scratch,
                            mixed.data() + (token * config.heads + head) * d);
    }
  });
}

void commit(const ModelConfig& config, std::size_t layer, std::size_t n, const StreamCache& cache,
            const AttentionBuffers& b) {
  Slots sinks = slots_of_layer(*cache.arena, cache.sinks, config, cache.first_layer + layer);
  Slots ring = slots_of_layer(*cache.arena, cache.ring, config, cache.first_layer + layer);
  cache.occupancy.for_each_kept(n, [&](std::size_t staged, Segment::Place place, std::size_t slot) {
    (place == Segment::Place::kSinks ? sinks : ring).copy_from(b.staged, staged, config.kv_heads, slot);
  });
}

}  // namespace rill
