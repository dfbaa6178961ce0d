#include "apps/model_cost.h"

#include <algorithm>

#include "core/model_tensors.h"

namespace rill::apps {
namespace {

/// Of an expert's matrices a token uses some.
double share_used(const ModelConfig& config, const TensorSpec& spec) {
  const bool is_expert = spec.pattern == format::kGateUp || spec.pattern == format::kDown;
  return config.experts > 0 && is_expert ? static_cast<double>(config.experts_used) / config.experts : 1.0;
}

}  // namespace

ModelCost::ModelCost(const ModelConfig& config, const CachePolicy& policy) : config_(config), policy_(policy) {
  for (std::uint32_t l = 0; l < config.layers; ++l) local_layers_ += config.is_local(l) ? 1 : 0;
  const auto count = [&](const TensorSpec& spec) -> Status {
    const bool is_table = spec.pattern == format::kPositions || spec.pattern == format::kRopeTurns;
    const bool is_head = spec.pattern == (config.tied_head != 0 ? format::kEmbedding : format::kHead) ||
                         spec.pattern == format::kHeadTransform;
    if (is_table || (spec.pattern == format::kEmbedding && !is_head)) return {};  // of these a token takes a row
    const double share = share_used(config, spec);
    (is_head ? head_bytes_ : layer_bytes_) += share * static_cast<double>(spec.bytes().value);
    if (spec.format == format::TensorFormat::kInt8Tiles) {
      (is_head ? head_macs_ : layer_macs_) +=
          share * static_cast<double>(spec.rows) * static_cast<double>(spec.columns);
    }
    return {};
  };
  [[maybe_unused]] const Status always_ok = for_each_tensor(config, count);
}

double ModelCost::keys_seen(std::uint64_t position) const {
  Occupancy occupancy(policy_);
  occupancy.advance(static_cast<std::size_t>(position));
  const auto seen = [&](bool is_local) {
    return static_cast<double>(occupancy.view(0, 0, reach_of(policy_, config_, is_local)).visible);
  };
  return (config_.layers - local_layers_) * seen(false) + (local_layers_ > 0 ? local_layers_ * seen(true) : 0.0);
}

double ModelCost::bytes(std::uint64_t position) const {
  const double key_and_value = 2.0 * (static_cast<double>(head_stride(config_)) + sizeof(float)) * config_.kv_heads;
  const double own = config_.layers;  // a token's own key is written, not read from memory
  return layer_bytes_ + head_bytes_ + (keys_seen(position) - own) * key_and_value;
}

double ModelCost::mean_bytes(std::uint64_t first, std::uint64_t count) const {
  double sum = 0;
  for (std::uint64_t i = 0; i < count; ++i) sum += bytes(first + i);
  return sum / static_cast<double>(std::max<std::uint64_t>(count, 1));
}

double ModelCost::prefill_bytes(std::uint64_t first, std::uint64_t count, std::uint64_t chunk) const {
  double sum = head_bytes_;
  for (std::uint64_t done = 0; done < count; done += chunk) sum += bytes(first + done) - head_bytes_;
  return sum;
}

double ModelCost::decode_macs(std::uint64_t first, std::uint64_t count) const {
  return prefill_macs(first, count) + head_macs_ * (static_cast<double>(count) - 1.0);
}

double ModelCost::prefill_macs(std::uint64_t first, std::uint64_t count) const {
  double macs = head_macs_;
  for (std::uint64_t i = 0; i < count; ++i) {
    macs += layer_macs_ + 2.0 * keys_seen(first + i) * config_.heads * config_.head_size;
  }
  return macs;
}

}  // namespace rill::apps
