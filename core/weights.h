#pragma once
// A model's tensors as the forward pass uses them. Borrowed from the mapped file, or from the arena with --in-ram.

#include <cstdint>
#include <span>

#include "core/model_config.h"
#include "platform/kernels/kernels.h"

namespace rill {

/// One block of the network. D hidden, H heads, G KV heads, d head size, F MLP width.
struct Layer {
  std::span<const float> attention_norm;  ///< [D]
  kernels::Matrix qkv;                    ///< [(H + 2 G) d, D]: queries, keys, values
  kernels::Matrix out;                    ///< [D, H d]
  std::span<const float> mlp_norm;        ///< [D]
  kernels::Matrix gate_up;                ///< [2 F, D]: gates, then ups
  kernels::Matrix down;                   ///< [D, F]
};

/// All of it.
struct Weights {
  ModelConfig config;
  kernels::Matrix embedding;  ///< [V, D]
  std::span<const Layer> layers;
  std::span<const float> final_norm;          ///< [D]
  kernels::Matrix head;                       ///< [V, D]; the embedding where it is tied
  std::span<const std::uint64_t> rope_turns;  ///< [d / 2]
};

}  // namespace rill
