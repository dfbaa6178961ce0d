#pragma once
// A model's tensors as the forward pass uses them. Borrowed from the mapped file, or from the arena with --in-ram.

#include <cstdint>
#include <span>

#include "core/model_config.h"
#include "platform/kernels/kernels.h"

namespace rill {

/// A matrix and what is added to its product.
struct Projection {
  kernels::Matrix weights;
  std::span<const float> bias;  ///< [rows]; empty: none
};

/// A norm's constants.
struct Norm {
  std::span<const float> gain;  ///< [D]; empty: nothing is normalised here
  std::span<const float> bias;  ///< [D] of a LayerNorm; empty for RMSNorm
};

/// One block of the network. D hidden, H heads, G KV heads, d head size, F MLP width, E experts (1 where there are
/// none), wide = 2 F where the MLP is gated, else F.
struct Layer {
  Norm attention_norm;
  Projection qkv;                      ///< [(H + 2 G) d, D]: queries, keys, values
  std::span<const float> query_norm;   ///< [d], or [H d] over all heads at once; empty: none
  std::span<const float> key_norm;     ///< [d] or [G d]
  std::span<const float> sink_logits;  ///< [H]; empty: none
  Projection out;                      ///< [D, H d]
  Norm attention_post_norm;
  Norm mlp_norm;       ///< of the MLP's input; attention's own where the block shares it
  Projection router;   ///< [E, D]; without rows where there are no experts
  Projection gate_up;  ///< [E wide, D]: an expert's gates, then its ups
  Projection down;     ///< [E D, F]
  Norm mlp_post_norm;

  bool is_local = false;         ///< has the smaller ring of the model's own window
  bool rotates = true;           ///< false: no positions, or not by rotation
  std::uint32_t rope_table = 0;  ///< which of the model's tables of speeds
  std::uint32_t index = 0;
  std::uint32_t ring_index = 0;  ///< among the layers with a ring of the same size
};

/// All of it.
struct Weights {
  ModelConfig config;
  kernels::Matrix embedding;         ///< [V, D]
  std::span<const float> positions;  ///< [context_length, D] where positions are learned
  std::span<const float> alibi;      ///< [H], how much a score falls with each token of distance; empty: no ALiBi
  std::span<const std::uint64_t> rope_turns;  ///< [rope_tables, rotated size / 2]
  std::span<const Layer> layers;
  Norm final_norm;
  Projection head_transform;  ///< [D, D] between the last norm and a tied head; without rows where there is none
  Projection head;            ///< [V, D]; the embedding where it is tied
};

}  // namespace rill
