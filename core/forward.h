#pragma once
// The forward pass: one function for every model. Nothing in it can fail or allocate.

#include <cstddef>
#include <span>

#include "core/attention.h"
#include "core/cache.h"
#include "core/memory_plan.h"
#include "core/weights.h"
#include "platform/function_ref.h"
#include "platform/kernels/kernels.h"
#include "platform/worker_pool.h"

namespace rill {

/// The plan's items for what a chunk needs on its way. Shapes are in forward.cc, beside their use.
struct ChunkItems {
  Item<float> x, scratch, qkv, mixed, projected, wide;
  Item<float> logits;
  Item<std::int8_t> values;
  Item<float> scales;
  Item<std::uint32_t> experts;
  Item<float> shares;
  AttentionItems attention;
  std::size_t chunk = 0;
  std::size_t logits_rows = 0;
};

/// The same, cut from the arena. Rows are padded to whole row blocks of the matrices that write them. M is the number
/// of MLPs that a token goes through: 1, or the experts that it uses.
struct Buffers {
  std::size_t chunk = 0;             ///< most tokens of one call
  std::size_t logits_rows = 0;       ///< most rows of logits of one call
  std::span<float> x;                ///< [chunk, D] float32, the residual stream
  std::span<float> scratch;          ///< [threads, widest input] float32, a row before it is quantised
  std::span<float> qkv;              ///< [chunk, (H + 2 G) d]
  std::span<float> mixed;            ///< [chunk, H d]
  std::span<float> projected;        ///< [chunk M, D]
  std::span<float> wide;             ///< [chunk M, 2 F], or F where the MLP has no gate
  std::span<float> logits;           ///< [logits_rows, V]
  std::span<std::int8_t> values;     ///< [chunk M, widest input] int8, what goes into a matrix
  std::span<float> scales;           ///< [chunk M, groups of the widest input]
  std::span<std::uint32_t> experts;  ///< [chunk, M] where there are experts: which of them
  std::span<float> shares;           ///< [chunk, M] and with which weight; they sum to 1 for a token
  AttentionBuffers attention;
};

/// Adds what a chunk of `chunk` tokens needs.
ChunkItems plan_chunk(MemoryPlan& plan, const ModelConfig& config, const CachePolicy& policy, std::size_t chunk,
                      std::size_t logits_rows, std::size_t threads);
Buffers cut_chunk(const Arena& arena, const ChunkItems& items, const ModelConfig& config, std::size_t threads);

/// What becomes int8 on its way, by the matrix that reads it. A matrix before the head counts as the head.
enum class Input : std::uint32_t { kQkv, kOut, kGateUp, kDown, kHead };
inline constexpr std::size_t kInputKinds = 5;

/// Sees a row of an input before it becomes int8, for who measures inputs. On any of the pool's threads.
/// @param layer  0 for the head's
using InputObserver = FunctionRef<void(Input input, std::uint32_t layer, std::span<const float> row)>;

/// What runs the pass: one instruction set's kernels on a fixed pool of threads.
struct Machine {
  const kernels::KernelSet* kernels = nullptr;
  WorkerPool* pool = nullptr;
  const InputObserver* observer = nullptr;  ///< nullptr: nobody looks
};

/// Whether a chunk's tokens are the stream's, or a guess at it of which a beginning may become the stream's.
enum class Chunk : bool { kFed, kDrafted };

/// One chunk through the model: afterwards b.x holds the residual stream of every token and, if they are fed, the cache
/// has counted the tokens in. The result does not depend on how a stream is cut into chunks, on the threads or on the
/// kernel set.
/// @param tokens  [n], 1 <= n <= b.chunk, ids below the vocabulary, n <= cache.occupancy.room(); drafted: n <= the
/// draft
///                that the cache was planned for
void forward(const Weights& m, std::span<const Token> tokens, Chunk kind, StreamCache& cache, Buffers& b,
             const Machine& machine);

/// Makes the first drafted tokens that are not the stream's yet part of it: [first, first + 1), in order, before the
/// next forward().
void commit_drafted(const Weights& m, std::size_t first, StreamCache& cache, WorkerPool& pool);

/// Logits of rows [first, first + count) of the last chunk, in nats, unnormalised.
/// @param count  1 <= count <= b.logits_rows
/// @returns [count, padded V]: row r begins at r times padded_vocabulary(); borrowed until the next call
std::span<const float> project_logits(const Weights& m, std::size_t first, std::size_t count, Buffers& b,
                                      const Machine& machine);

/// Floats between two rows of logits.
std::size_t padded_vocabulary(const ModelConfig& config);

}  // namespace rill
