#pragma once
// What an engine keeps in its arena. Only the engine's own files include this.

#include <span>

#include "core/engine.h"
#include "platform/fixed_heap.h"

namespace rill {

/// Lives in the plan's item "engine"; everything it points to lies in the same block, or in the mapped file.
struct EngineState {
  EngineState(const ModelFile& file, const EnginePlan& the_plan, const Arena& the_arena,
              std::span<std::byte> heap_block)
      : model(&file), plan(the_plan), arena(the_arena), tokenizer_heap(heap_block) {}

  Machine machine() { return {.kernels = plan.options.kernels, .pool = &pool}; }

  const ModelFile* model;
  EnginePlan plan;
  Arena arena;
  FixedHeap tokenizer_heap;
  WorkerPool pool;
  Weights weights;
  Buffers buffers;
  std::span<Session> sessions;
  Tokenizer* tokenizer = nullptr;
};

/// The tensors of a checked model file as the forward pass uses them.
/// @param weights  the file's "weights" section, or a copy of it
/// @param layers   [config.layers], filled here
Weights bind_weights(const ModelFile& model, std::span<const std::byte> weights, std::span<Layer> layers);

}  // namespace rill
