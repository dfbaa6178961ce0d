#include "core/attention.h"

#include <algorithm>
#include <cmath>

#include "core/rope.h"

namespace rill {
namespace {

using kernels::kMostQueries;

/// One thread's scratch memory.
struct Scratch {
  std::int32_t* products;     // [kMostQueries, products_stride] of a segment
  std::int8_t* weights;       // in the same place: a segment's, as WideRows
  std::int32_t* mixed;        // [kMostQueries, stride]
  float* scores;              // [kMostQueries, scores_stride], later weights
  float* vector;              // [stride]
  std::int8_t* ring_queries;  // [2 kMostQueries stride] as WideRows
  std::int8_t* sink_queries;  // [2 kMostQueries stride]
};

Scratch scratch_of(const AttentionBuffers& b, std::size_t stride, std::size_t thread) {
  std::int32_t* const products = b.products.data() + thread * kMostQueries * b.products_stride;
  std::int8_t* const queries = b.quantized.data() + thread * 4 * kMostQueries * stride;
  return {.products = products,
          .weights = reinterpret_cast<std::int8_t*>(products),
          .mixed = b.mixed.data() + thread * kMostQueries * stride,
          .scores = b.scores.data() + thread * kMostQueries * b.scores_stride,
          .vector = b.vectors.data() + thread * stride,
          .ring_queries = queries,
          .sink_queries = queries + 2 * kMostQueries * stride};
}

/// Whole tiles of 16 slots around a segment.
struct Tiles {
  std::size_t first;  // slot
  std::size_t count;

  explicit Tiles(const Segment& segment)
      : first(segment.first / kernels::kTileRows * kernels::kTileRows),
        count((segment.first + segment.count - first + kernels::kTileRows - 1) / kernels::kTileRows) {}
};

/// A head's vector at its position: the rotated dimensions, then those that are not.
void rotate_head(const kernels::KernelSet& kernels, const float* x, const float* cosines, const float* sines,
                 std::size_t rotated, std::size_t size, float* out) {
  kernels.rotate(x, cosines, sines, rotated / 2, out);
  std::copy_n(x + rotated, size - rotated, out + rotated);
}

/// Query heads that share one KV head, of one token or of neighbours: they read the same keys and values.
struct QueryBlock {
  std::size_t kv_head = 0;
  std::size_t first = 0;  // counted over the tokens' heads of that KV head
  std::size_t count = 0;
  std::size_t heads = 0;  // query heads for each KV head

  std::size_t token(std::size_t query) const { return (first + query) / heads; }
  std::size_t head(std::size_t query) const { return kv_head * heads + (first + query) % heads; }
};

/// Everything that is the same for all queries of one layer.
struct LayerAttention {
  const Weights& m;
  const Layer& layer;
  const StreamCache& cache;
  const AttentionBuffers& b;
  const kernels::KernelSet& kernels;
  std::span<const float> qkv;
  std::size_t qkv_stride;
  Reach reach;
  Slots sinks;
  Slots ring;
  Slots staged;  // the chunk's own
  float score_scale;
  std::size_t rotated;  // dimensions of a head that rotate in this layer

  const Slots& slots(Segment::Place place) const {
    switch (place) {
      case Segment::Place::kSinks:
        return sinks;
      case Segment::Place::kRing:
        return ring;
      default:
        return staged;
    }
  }
  /// Where a token's phases begin, in any of the four arrays of them.
  std::size_t phase(std::size_t token) const {
    return layer.rope_table * b.table_stride + token * (m.config.rotated_size() / 2);
  }
  const float* query(std::size_t token, std::size_t head) const {
    return qkv.data() + token * qkv_stride + head * m.config.head_size;
  }

  /// A block's queries as integers.
  struct BlockQueries {
    std::array<float, kMostQueries> scales{};
    std::array<std::int32_t, kMostQueries> sums{};
    const std::int8_t* values = nullptr;

    kernels::WideRows rows(std::size_t columns, std::size_t count) const {
      return {.values = values, .sums = sums.data(), .columns = columns, .count = count};
    }
  };

  /// A block's queries, each rotated by its phases among the given ones.
  BlockQueries make_queries(const QueryBlock& block, const float* cosines, const float* sines, std::int8_t* values,
                            const Scratch& s) const {
    const std::size_t size = m.config.head_size;
    BlockQueries made;
    made.values = values;
    for (std::size_t i = 0; i < block.count; ++i) {
      const float* q = query(block.token(i), block.head(i));
      if (rotated > 0) {
        const std::size_t at = phase(block.token(i));
        rotate_head(kernels, q, cosines + at, sines + at, rotated, size, s.vector);
        q = s.vector;
      }
      made.scales[i] = score_scale * kernels.quantize_query(q, size, ring.stride, block.count,
                                                            values + i * kernels::kWideBytes, &made.sums[i]);
    }
    return made;
  }

  /// Scores of all that a block's queries see, each query's in the order of the cache, without those that it cannot
  /// see.
  void score(const QueryBlock& block, const View& view, const std::array<Sight, kMostQueries>& sights,
             const Scratch& s) const {
    const BlockQueries to_ring = make_queries(block, b.cosines.data(), b.sines.data(), s.ring_queries, s);
    BlockQueries to_sinks = to_ring;
    if (rotated > 0 && view.has_sinks() && cache.sinks_are_frozen(block.token(block.count - 1))) {
      to_sinks = make_queries(block, b.sink_cosines.data(), b.sink_sines.data(), s.sink_queries, s);
    }
    for (std::size_t i = 0; i < view.size; ++i) {
      const Segment& segment = view.segments[i];
      const Slots& from = slots(segment.place);
      const Tiles tiles(segment);
      const BlockQueries& queries = segment.is_sink ? to_sinks : to_ring;
      kernels.dot_wide(queries.rows(ring.stride, block.count),
                       {.tiles = from.head_keys(block.kv_head) + tiles.first * ring.stride,
                        .stride = kernels::kTileRows * ring.stride,
                        .count = tiles.count},
                       /*adds=*/false, s.products, b.products_stride);
      for (std::size_t q = 0; q < block.count; ++q) {
        const Span seen = sights[q].of(segment);
        if (seen.count() == 0) continue;
        const std::size_t slot = segment.first + seen.begin - segment.at;
        kernels.dequantize_each(s.products + q * b.products_stride + (slot - tiles.first),
                                from.head_key_scales(block.kv_head) + slot, queries.scales[q], seen.count(),
                                s.scores + q * b.scores_stride + sights[q].index(segment, seen.begin));
      }
    }
  }

  /// Turns one query's scores into weights. @returns their sum, with what a built-in sink takes of it
  float soften(std::size_t head, std::size_t count, float* scores) const {
    if (m.config.attention_cap > 0) kernels.soft_cap(static_cast<float>(m.config.attention_cap), count, scores);
    if (!m.alibi.empty()) {  // what is seen are the nearest tokens, so an index is a distance (DESIGN 6)
      const float slope = m.alibi[head];
      for (std::size_t i = 0; i < count; ++i) scores[i] -= slope * static_cast<float>(count - 1 - i);
    }
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

  /// One query's weights times the scales of the values that they meet, in their place. @returns the scale at which
  /// they become integers
  float weigh(std::size_t kv_head, const View& view, const Sight& sight, float* weights) const {
    for (std::size_t i = 0; i < view.size; ++i) {
      const Segment& segment = view.segments[i];
      const Span seen = sight.of(segment);
      if (seen.count() == 0) continue;
      float* const x = weights + sight.index(segment, seen.begin);
      const float* const scales =
          slots(segment.place).head_value_scales(kv_head) + segment.first + seen.begin - segment.at;
      kernels.multiply_elements(x, scales, seen.count(), x);
    }
    return kernels.weight_scale(weights, sight.visible());
  }

  /// The values of all that a block's queries see, times their weights as integers of those scales: exact sums, so that
  /// neither the order of the segments nor where they begin matters.
  void mix(const QueryBlock& block, const View& view, const std::array<Sight, kMostQueries>& sights,
           const std::array<float, kMostQueries>& scales, const Scratch& s) const {
    for (std::size_t i = 0; i < view.size; ++i) {
      const Segment& segment = view.segments[i];
      const Slots& from = slots(segment.place);
      const Tiles tiles(segment);
      std::array<std::int32_t, kMostQueries> sums{};
      for (std::size_t q = 0; q < block.count; ++q) {
        const Span seen = sights[q].of(segment);
        const float* const weights =
            s.scores + q * b.scores_stride + (seen.count() == 0 ? 0 : sights[q].index(segment, seen.begin));
        const std::size_t first = seen.count() == 0 ? 0 : segment.first + seen.begin - segment.at - tiles.first;
        sums[q] = kernels.quantize_weights(weights, seen.count(), scales[q], first, tiles.count, block.count,
                                           s.weights + q * kernels::kWideBytes);
      }
      kernels.dot_wide(
          {.values = s.weights, .sums = sums.data(), .columns = tiles.count * kernels::kTileRows, .count = block.count},
          {.tiles = from.head_values(block.kv_head) + tiles.first * kernels::kTileRows,
           .stride = kernels::kTileRows * from.slots,
           .count = ring.stride / kernels::kTileRows},
          /*adds=*/i > 0, s.mixed, ring.stride);
    }
  }

  /// @param mixed  [n, H d]
  void attend_block(const QueryBlock& block, const Scratch& s, std::span<float> mixed) const {
    const std::size_t first = block.token(0);
    const std::size_t last = block.token(block.count - 1);
    const View view = cache.occupancy.view(first, last, reach);
    std::array<Sight, kMostQueries> sights{};
    for (std::size_t q = 0; q < block.count; ++q) {
      sights[q] = cache.occupancy.sight(block.token(q), first, last, reach);
    }
    score(block, view, sights, s);
    std::array<float, kMostQueries> sums{};
    std::array<float, kMostQueries> scales{};
    for (std::size_t q = 0; q < block.count; ++q) {
      float* const weights = s.scores + q * b.scores_stride;
      sums[q] = soften(block.head(q), sights[q].visible(), weights);
      scales[q] = weigh(block.kv_head, view, sights[q], weights);
    }
    mix(block, view, sights, scales, s);
    for (std::size_t q = 0; q < block.count; ++q) {
      const std::size_t head = block.token(q) * m.config.heads + block.head(q);
      kernels.dequantize(s.mixed + q * ring.stride, scales[q] / sums[q], m.config.head_size,
                         mixed.data() + head * m.config.head_size);
    }
  }

  /// The queries [begin, end) of the chunk's n tokens, counted KV head by KV head, in blocks that share keys and
  /// values.
  void attend_queries(std::size_t begin, std::size_t end, std::size_t n, const Scratch& s,
                      std::span<float> mixed) const {
    const std::size_t heads = m.config.heads / m.config.kv_heads;
    const std::size_t each = n * heads;  // of one KV head
    while (begin < end) {
      QueryBlock block = {.kv_head = begin / each, .first = begin % each, .count = 1, .heads = heads};
      const std::size_t most = std::min({kMostQueries, end - begin, each - block.first});
      const std::size_t first = block.token(0);
      const std::size_t last = cache.occupancy.last_alike(first, block.token(most - 1));
      block.count = std::min(most, (last + 1) * heads - block.first);
      attend_block(block, s, mixed);
      begin += block.count;
    }
  }

  /// Writes the rotated keys and the values of tokens [begin, end) into the staged slots.
  void stage(std::size_t begin, std::size_t end, const Scratch& s) const {
    Slots to = staged;
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
        const float key_scale = kernels.quantize_vector(key, d, to.stride, s.ring_queries);
        const float value_scale = kernels.quantize_vector(value, d, to.stride, s.sink_queries);
        to.write(head, token, s.ring_queries, key_scale, s.sink_queries, value_scale);
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

void prepare_phases(const Weights& m, const StreamCache& cache, std::size_t n, AttentionBuffers& b, WorkerPool& pool) {
  const std::size_t half = m.config.rotated_size() / 2;
  if (half == 0) return;
  // Of all tokens or of none, so that neighbours can be attended to together: before they freeze, both are the same.
  const bool has_frozen_sinks = cache.occupancy.policy().sinks > 0 && cache.sinks_are_frozen(n - 1);
  // Where the stream began: sinks are rotated from there on, and a query that looks at them likewise. Wraps by design.
  const Occupancy::Counts counts = cache.occupancy.counts();
  const std::uint64_t start = cache.position - (counts.sinks + counts.passed);
  for (std::size_t table = 0; table < m.config.rope_tables; ++table) {
    const std::span<const std::uint64_t> turns = m.rope_turns.subspan(table * half, half);
    pool.run(n, kFewRows, [&](const WorkerPool::Part& part) {
      for (std::size_t i = part.begin; i < part.end; ++i) {
        const std::size_t at = table * b.table_stride + i * half;
        rope_phases(turns, cache.position + i, b.cosines.subspan(at, half), b.sines.subspan(at, half));
        if (has_frozen_sinks) {
          rope_phases(turns, start + cache.occupancy.cache_position(i), b.sink_cosines.subspan(at, half),
                      b.sink_sines.subspan(at, half));
        }
      }
    });
  }
}

Slots drafted_slots(const ModelConfig& config, const Layer& layer, const StreamCache& cache) {
  return slots_of_layer(*cache.arena, cache.items.drafted, config, layer.index);
}

void attend(const Weights& m, const Layer& layer, std::span<const float> qkv, std::size_t qkv_stride, std::size_t n,
            const StreamCache& cache, const Slots& staged, const AttentionBuffers& b, const kernels::KernelSet& kernels,
            WorkerPool& pool, std::span<float> mixed) {
  const ModelConfig& c = m.config;
  const std::size_t d = c.head_size;
  const std::size_t stride = staged.stride;
  const CachedSlots cached = cached_slots(c, layer, cache);
  const LayerAttention attention = {.m = m,
                                    .layer = layer,
                                    .cache = cache,
                                    .b = b,
                                    .kernels = kernels,
                                    .qkv = qkv,
                                    .qkv_stride = qkv_stride,
                                    .reach = reach_of(cache.occupancy.policy(), c, layer.is_local),
                                    .sinks = cached.sinks,
                                    .ring = cached.ring,
                                    .staged = staged,
                                    .score_scale = c.attention_scale > 0 ? static_cast<float>(c.attention_scale)
                                                                         : 1.0F / std::sqrt(static_cast<float>(d)),
                                    .rotated = layer.rotates ? c.rotated_size() : 0};
  pool.run(n, 1, [&](const WorkerPool::Part& part) {
    attention.stage(part.begin, part.end, scratch_of(b, stride, part.thread));
  });
  const std::size_t queries = n * c.heads;
  const std::size_t of_a_thread = (queries + pool.threads() - 1) / pool.threads();
  pool.run(queries, std::min({kMostQueries, queries / c.kv_heads, of_a_thread}), [&](const WorkerPool::Part& part) {
    attention.attend_queries(part.begin, part.end, n, scratch_of(b, stride, part.thread), mixed);
  });
}

void commit(const ModelConfig& config, const Layer& layer, std::size_t first, std::size_t n, const StreamCache& cache,
            const Slots& staged, WorkerPool& pool) {
  CachedSlots cached = cached_slots(config, layer, cache);
  const Reach reach = reach_of(cache.occupancy.policy(), config, layer.is_local);
  pool.run(n, kFewRows, [&](const WorkerPool::Part& part) {
    cache.occupancy.for_each_kept(n, reach, [&](std::size_t index, Segment::Place place, std::size_t slot) {
      if (index < part.begin || index >= part.end) return;
      Slots& to = place == Segment::Place::kSinks ? cached.sinks : cached.ring;
      to.copy_from(staged, first + index, config.kv_heads, slot);
    });
  });
}

}  // namespace rill
