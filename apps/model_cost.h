#pragma once
// What a token costs a model by its shape alone: the bytes that it must read and the multiply-adds that it must do.

#include <cstdint>

#include "core/cache.h"
#include "core/model_config.h"

namespace rill::apps {

/// Counted: every matrix with its scales (of experts, those that a token uses), a tied head once, norms and biases, and
/// the keys and values that the token sees with their scales. Not counted: the one row of the embedding, activations.
class ModelCost {
 public:
  /// @param config  validated
  ModelCost(const ModelConfig& config, const CachePolicy& policy);

  /// Bytes that a decode step of the token at `position` of a stream reads.
  double bytes(std::uint64_t position) const;
  double mean_bytes(std::uint64_t first, std::uint64_t count) const;
  /// Bytes that a prefill of tokens [first, first + count) reads: the layers and the keys seen once for each chunk, the
  /// head once.
  double prefill_bytes(std::uint64_t first, std::uint64_t count, std::uint64_t chunk) const;
  /// Multiply-adds of `count` decode steps, each with its logits.
  double decode_macs(std::uint64_t first, std::uint64_t count) const;
  /// Multiply-adds of a prefill of tokens [first, first + count) that makes the logits of the last one: projections,
  /// and scores and mixing for each key seen.
  double prefill_macs(std::uint64_t first, std::uint64_t count) const;

 private:
  /// Keys that the token at a position sees, its own included, summed over the layers.
  double keys_seen(std::uint64_t position) const;

  ModelConfig config_;
  CachePolicy policy_;
  std::uint32_t local_layers_ = 0;
  double layer_bytes_ = 0;  ///< of everything but the head
  double head_bytes_ = 0;
  double layer_macs_ = 0;  ///< of all projections but the head's
  double head_macs_ = 0;
};

}  // namespace rill::apps
