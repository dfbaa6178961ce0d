#include "quant/tensor_table.h"

#include <algorithm>

namespace rill::quant {
namespace {

constexpr std::string_view kLayer = "{}";
constexpr std::string_view kWeight = ".weight";

bool is_norm(Part part) {
  return part == Part::kFinalNorm || part == Part::kAttentionNorm || part == Part::kMlpNorm ||
         part == Part::kAttentionPostNorm || part == Part::kMlpPostNorm;
}

}  // namespace

PartShape shape_of(Part part, const ModelConfig& c, bool is_bias) {
  const std::uint64_t d = c.head_size;
  const std::uint64_t experts = c.experts == 0 ? 1 : c.experts;
  const bool all_heads = c.head_norm == HeadNorm::kAllHeads;
  PartShape shape{1, c.hidden};
  switch (part) {
    case Part::kEmbedding:
    case Part::kHead:
      shape = {c.vocabulary, c.hidden};
      break;
    case Part::kPositions:
      shape = {c.context_length, c.hidden};
      break;
    case Part::kQkv:
      shape = {(c.heads + 2ULL * c.kv_heads) * d, c.hidden};
      break;
    case Part::kQuery:
      shape = {c.heads * d, c.hidden};
      break;
    case Part::kKey:
    case Part::kValue:
      shape = {c.kv_heads * d, c.hidden};
      break;
    case Part::kQueryNorm:
      return {1, all_heads ? c.heads * d : d};
    case Part::kKeyNorm:
      return {1, all_heads ? c.kv_heads * d : d};
    case Part::kSinkLogits:
      return {1, c.heads};
    case Part::kAttentionOut:
      shape = {c.hidden, c.heads * d};
      break;
    case Part::kRouter:
      shape = {c.experts, c.hidden};
      break;
    case Part::kGateUp:
      return is_bias ? PartShape{experts, c.wide_rows()} : PartShape{experts * c.wide_rows(), c.hidden};
    case Part::kGate:
    case Part::kUp:
      shape = {c.mlp_width, c.hidden};
      break;
    case Part::kDown:
      return is_bias ? PartShape{experts, c.hidden} : PartShape{experts * c.hidden, c.mlp_width};
    case Part::kFinalNorm:
    case Part::kAttentionNorm:
    case Part::kMlpNorm:
    case Part::kAttentionPostNorm:
    case Part::kMlpPostNorm:
      return shape;
  }
  return is_bias ? PartShape{1, shape.rows} : shape;
}

bool has_part(Part part, const ModelConfig& c) {
  switch (part) {
    case Part::kPositions:
      return c.position == Position::kLearned;
    case Part::kHead:
      return c.tied_head == 0;
    case Part::kAttentionNorm:
      return c.norm_placement != NormPlacement::kAfter;
    case Part::kMlpNorm:
      return c.norm_placement != NormPlacement::kAfter && c.shared_norm == 0;
    case Part::kAttentionPostNorm:
    case Part::kMlpPostNorm:
      return c.norm_placement != NormPlacement::kBefore;
    case Part::kQueryNorm:
    case Part::kKeyNorm:
      return c.head_norm != HeadNorm::kNone;
    case Part::kSinkLogits:
      return c.softmax == Softmax::kSinkLogit;
    case Part::kRouter:
      return c.experts > 0;
    case Part::kGate:
      return c.gated_mlp != 0;
    default:
      return true;
  }
}

bool has_bias(Part part, const ModelConfig& c) {
  switch (part) {
    case Part::kHead:
      return c.head_bias != 0;
    case Part::kQkv:
    case Part::kQuery:
    case Part::kKey:
    case Part::kValue:
      return c.attention_bias != 0;
    case Part::kAttentionOut:
      return c.out_bias != 0;
    case Part::kRouter:
    case Part::kGateUp:
    case Part::kGate:
    case Part::kUp:
    case Part::kDown:
      return c.mlp_bias != 0;
    default:
      return is_norm(part) && c.norm == NormKind::kLayer;
  }
}

bool is_per_layer(std::string_view pattern) { return pattern.find(kLayer) != std::string_view::npos; }

std::string tensor_name(std::string_view pattern, std::uint32_t layer, bool is_bias) {
  std::string name(pattern);
  if (const std::size_t at = name.find(kLayer); at != std::string::npos) {
    name.replace(at, kLayer.size(), std::to_string(layer));
  }
  if (!is_bias) return name;
  if (!name.ends_with(kWeight)) return name + "_bias";
  return name.replace(name.size() - kWeight.size(), kWeight.size(), ".bias");
}

std::vector<NeededTensor> needed_tensors(std::span<const TensorName> table, const ModelConfig& config) {
  std::vector<NeededTensor> needed;
  const auto add = [&](const TensorName& first, std::uint32_t layer, bool is_bias) {
    NeededTensor tensor{.rows = {}, .names = {}, .shape = shape_of(first.part, config, is_bias), .is_bias = is_bias};
    for (const TensorName& name : table) {
      if (name.part != first.part || (is_bias && name.zero_bias)) continue;
      tensor.rows.push_back(&name);
      tensor.names.push_back(tensor_name(name.pattern, layer, is_bias));
    }
    if (!tensor.names.empty()) needed.push_back(std::move(tensor));
  };
  for (const TensorName& name : table) {
    const TensorName& first = *std::ranges::find(table, name.part, &TensorName::part);  // there is at least this one
    if (&name != &first || !has_part(name.part, config)) continue;
    const std::uint32_t copies = is_per_layer(name.pattern) ? config.layers : 1;
    for (std::uint32_t layer = 0; layer < copies; ++layer) {
      add(name, layer, false);
      if (has_bias(name.part, config)) add(name, layer, true);
    }
  }
  return needed;
}

}  // namespace rill::quant
