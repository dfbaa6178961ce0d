#include "quant/tensor_table.h"

namespace rill::quant {
namespace {

constexpr std::string_view kLayer = "{}";

}  // namespace

PartShape shape_of(Part part, const ModelConfig& c) {
  const std::uint64_t d = c.head_size;
  switch (part) {
    case Part::kEmbedding:
    case Part::kHead:
      return {c.vocabulary, c.hidden};
    case Part::kQuery:
      return {c.heads * d, c.hidden};
    case Part::kKey:
    case Part::kValue:
      return {c.kv_heads * d, c.hidden};
    case Part::kAttentionOut:
      return {c.hidden, c.heads * d};
    case Part::kGate:
    case Part::kUp:
      return {c.mlp_width, c.hidden};
    case Part::kDown:
      return {c.hidden, c.mlp_width};
    case Part::kFinalNorm:
    case Part::kAttentionNorm:
    case Part::kMlpNorm:
      break;
  }
  return {1, c.hidden};
}

bool is_per_layer(std::string_view pattern) { return pattern.find(kLayer) != std::string_view::npos; }

std::string tensor_name(std::string_view pattern, std::uint32_t layer) {
  const std::size_t at = pattern.find(kLayer);
  if (at == std::string_view::npos) return std::string(pattern);
  return std::string(pattern.substr(0, at)) + std::to_string(layer) + std::string(pattern.substr(at + kLayer.size()));
}

}  // namespace rill::quant
