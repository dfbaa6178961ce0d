#pragma once
// What an engine keeps in its arena. Only the engine's own files include this.

#include <array>
#include <span>

#include "core/engine.h"
#include "platform/fixed_heap.h"

namespace rill {

/// Tokens that one session guessed, and whose logits and cached values are computed and wait.
struct DraftedPass {
  static constexpr std::size_t kMostTokens = 16;

  const Session* session = nullptr;  ///< whose they are; nullptr: nobody's
  std::array<Token, kMostTokens> tokens{};
  std::size_t count = 0;
  std::size_t next = 0;  ///< the first that is not the stream's yet
};

/// Lives in the plan's item "engine"; everything it points to lies in the same block, or in the mapped file.
struct EngineState {
  EngineState(const ModelFile& file, const EnginePlan& the_plan, const Arena& the_arena,
              std::span<std::byte> heap_block)
      : model(&file), plan(the_plan), arena(the_arena), tokenizer_heap(heap_block) {}

  Machine machine() { return {.kernels = plan.options.kernels, .pool = &pool, .observer = observer}; }

  const ModelFile* model;
  EnginePlan plan;
  Arena arena;
  FixedHeap tokenizer_heap;
  WorkerPool pool;
  const InputObserver* observer = nullptr;
  Weights weights;
  Buffers buffers;
  DraftedPass drafted;
  std::span<Session> sessions;
  Tokenizer* tokenizer = nullptr;
};

/// The tensors of a checked model file as the forward pass uses them.
/// @param weights  the file's "weights" section, or a copy of it
/// @param layers   [config.layers], filled here
Weights bind_weights(const ModelFile& model, std::span<const std::byte> weights, std::span<Layer> layers);

}  // namespace rill
