#include "quant/layer_pattern.h"

#include <cstdint>

namespace rill::quant {
namespace {

constexpr std::uint32_t kMostPeriod = 64;

bool repeats(const std::vector<bool>& layers, std::uint32_t period) {
  for (std::size_t l = period; l < layers.size(); ++l) {
    if (layers[l] != layers[l - period]) return false;
  }
  return true;
}

std::uint64_t first_bits(const std::vector<bool>& layers, std::uint32_t period) {
  std::uint64_t bits = 0;
  for (std::uint32_t l = 0; l < period && l < layers.size(); ++l) bits |= std::uint64_t{layers[l]} << l;
  return bits;
}

}  // namespace

Status set_layer_pattern(const Fields& fields, std::string_view key, const std::vector<bool>& layers,
                         ModelConfig& config, std::uint64_t ModelConfig::*pattern) {
  if (layers.size() != config.layers) {
    return fields.bad(key, text(layers.size(), " layers"), text("one entry for each of ", config.layers, " layers"));
  }
  ModelConfig changed = config;
  std::vector<bool> local(layers.size());
  std::vector<bool> unrotated(layers.size());
  for (std::uint32_t l = 0; l < config.layers; ++l) {
    local[l] = config.is_local(l);
    unrotated[l] = (config.unrotated_layers >> (l % config.layer_period) & 1U) != 0;
  }
  (pattern == &ModelConfig::local_layers ? local : unrotated) = layers;
  for (std::uint32_t period = 1; period <= kMostPeriod; ++period) {
    if (!repeats(local, period) || !repeats(unrotated, period)) continue;
    changed.layer_period = period;
    changed.local_layers = first_bits(local, period);
    changed.unrotated_layers = first_bits(unrotated, period);
    config = changed;
    return {};
  }
  return fields.bad(key, text("a pattern that does not repeat within ", kMostPeriod, " layers"), text("one that does"));
}

}  // namespace rill::quant
