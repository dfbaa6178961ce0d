#pragma once
// Attention over sinks, window and the chunk itself, in int8 (DESIGN 6).

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/cache.h"
#include "core/memory_plan.h"
#include "core/model_config.h"
#include "core/weights.h"
#include "platform/kernels/kernels.h"
#include "platform/worker_pool.h"

namespace rill {

/// The cache's bytes of all layers of all streams.
struct CacheItems {
  SlotItems sinks;       ///< a layer's after the other
  SlotItems ring;        ///< of the layers that see the policy's window
  SlotItems local_ring;  ///< of the layers that have a window of their own
  SlotItems drafted;     ///< every layer's keys and values of tokens that may not stay; of whichever stream has them
};

/// Adds the cache of `sessions` streams.
/// @param draft  most tokens of a pass whose keys and values wait for commit_drafted(); 0: none do
CacheItems plan_cache(MemoryPlan& plan, const ModelConfig& config, const CachePolicy& policy, std::uint32_t sessions,
                      std::uint32_t draft);

/// One stream's cache: which slots are live, and where each layer's bytes are.
struct StreamCache {
  Occupancy occupancy;
  std::uint64_t position = 0;  ///< tokens since the stream began; wraps at 2^64 by design
  const Arena* arena = nullptr;
  CacheItems items;
  std::size_t session = 0;  ///< which of all streams this is

  /// True once the sinks' distance from the token that follows `before` staged ones has frozen: the cache no longer
  /// holds the whole stream, and the query is rotated a second time for them.
  bool sinks_are_frozen(std::size_t before) const {
    const Occupancy::Counts counts = occupancy.counts();
    return occupancy.cache_position(before) != counts.sinks + counts.passed + before;
  }
};

struct AttentionItems {
  SlotItems staged;
  Item<float> cosines, sines, sink_cosines, sink_sines;
  Item<std::int32_t> products, mixed;
  Item<float> scores, vectors;
  Item<std::int8_t> quantized;
};

/// Cut from the arena. Per-thread rows are each thread's own. Q: kMostQueries. p: half of a head's rotated dimensions.
struct AttentionBuffers {
  Slots staged;              ///< the chunk's keys and values of the layer at hand
  std::span<float> cosines;  ///< [rope_tables, chunk, p] at the absolute position
  std::span<float> sines;
  std::span<float> sink_cosines;  ///< [rope_tables, chunk, p] at the query's cache position
  std::span<float> sink_sines;
  std::span<std::int32_t> products;  ///< [threads, Q, products_stride] queries times the keys of a segment's whole
                                     ///< tiles; later, in their place, its weights as integers
  std::span<std::int32_t> mixed;     ///< [threads, Q, stride]
  std::span<float> scores;           ///< [threads, Q, scores_stride] in the order of the cache, then a sink logit
  std::span<float> vectors;          ///< [threads, stride] a rotated query or key
  std::span<std::int8_t> quantized;  ///< [threads, 4 Q stride] queries for the ring, the same for the sinks
  std::size_t products_stride = 0;
  std::size_t scores_stride = 0;
  std::size_t table_stride = 0;  ///< floats between two tables of phases
};

AttentionItems plan_attention(MemoryPlan& plan, const ModelConfig& config, const CachePolicy& policy, std::size_t chunk,
                              std::size_t threads);
AttentionBuffers cut_attention(const Arena& arena, const AttentionItems& items, const ModelConfig& config,
                               std::size_t threads);

/// So few tokens' rows are added or copied before a second thread has begun to help, and are multiplied block by block.
inline constexpr std::size_t kFewRows = 16;

/// The angles of a chunk's n tokens, once for all layers.
void prepare_phases(const Weights& m, const StreamCache& cache, std::size_t n, AttentionBuffers& b, WorkerPool& pool);

/// Where the keys and values of drafted tokens of a layer are.
Slots drafted_slots(const ModelConfig& config, const Layer& layer, const StreamCache& cache);

/// One layer's attention for a chunk.
/// @param qkv     [n, qkv_stride]: H d queries, G d keys, G d values, not rotated
/// @param staged  where the chunk's keys and values go, before they are attended to
/// @param mixed   [n, H d]
void attend(const Weights& m, const Layer& layer, std::span<const float> qkv, std::size_t qkv_stride, std::size_t n,
            const StreamCache& cache, const Slots& staged, const AttentionBuffers& b, const kernels::KernelSet& kernels,
            WorkerPool& pool, std::span<float> mixed);

/// Moves staged keys and values [first, first + n) of one layer into the cache. Not earlier than after attend(), and in
/// the order of the stream.
void commit(const ModelConfig& config, const Layer& layer, std::size_t first, std::size_t n, const StreamCache& cache,
            const Slots& staged, WorkerPool& pool);

}  // namespace rill
