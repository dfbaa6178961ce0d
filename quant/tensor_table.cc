#include "quant/tensor_table.h"

#include <algorithm>
#include <array>

#include "core/model_format.h"

namespace rill::quant {
namespace {

constexpr std::string_view kLayer = "{}";
constexpr std::string_view kWeight = ".weight";

/// One way of making a tensor of the file of parts of the source. Where a format fuses what another keeps apart, the
/// fused part comes first in the list.
struct Recipe {
  std::string_view tensor;
  std::array<Part, 3> parts;
  std::size_t count = 1;
};

constexpr Recipe kRecipes[] = {
    {format::kEmbedding, {Part::kEmbedding}},
    {format::kPositions, {Part::kPositions}},
    {format::kHead, {Part::kHead}},
    {format::kFinalNorm, {Part::kFinalNorm}},
    {format::kAttentionNorm, {Part::kAttentionNorm}},
    {format::kQkv, {Part::kQkv}},
    {format::kQkv, {Part::kQuery, Part::kKey, Part::kValue}, 3},
    {format::kQueryNorm, {Part::kQueryNorm}},
    {format::kKeyNorm, {Part::kKeyNorm}},
    {format::kSinkLogits, {Part::kSinkLogits}},
    {format::kAttentionOut, {Part::kAttentionOut}},
    {format::kAttentionPostNorm, {Part::kAttentionPostNorm}},
    {format::kMlpNorm, {Part::kMlpNorm}},
    {format::kRouter, {Part::kRouter}},
    {format::kGateUp, {Part::kGateUp}},
    {format::kGateUp, {Part::kGate, Part::kUp}, 2},
    {format::kGateUp, {Part::kUp}},
    {format::kDown, {Part::kDown}},
    {format::kMlpPostNorm, {Part::kMlpPostNorm}},
};

/// Rows that one of several parts contributes to its tensor; elements, to a bias.
std::uint64_t share_of(Part part, const ModelConfig& c) {
  switch (part) {
    case Part::kQuery:
      return std::uint64_t{c.heads} * c.head_size;
    case Part::kKey:
    case Part::kValue:
      return std::uint64_t{c.kv_heads} * c.head_size;
    default:  // a gate or an up
      return c.mlp_width;
  }
}

}  // namespace

std::vector<TensorPart> parts_of(const TensorSpec& spec, const ModelConfig& config, std::span<const TensorName> table) {
  const auto in_table = [&](Part part) { return std::ranges::find(table, part, &TensorName::part) != table.end(); };
  for (const Recipe& recipe : kRecipes) {
    const auto parts = std::span(recipe.parts).first(recipe.count);
    if (recipe.tensor != spec.pattern || !std::ranges::all_of(parts, in_table)) continue;
    if (recipe.count == 1) return {{.part = parts.front(), .shape = {spec.rows, spec.columns}}};
    std::vector<TensorPart> made_of;
    for (const Part part : parts) {
      const std::uint64_t share = share_of(part, config);
      made_of.push_back({.part = part, .shape = spec.is_bias ? PartShape{1, share} : PartShape{share, spec.columns}});
    }
    return made_of;
  }
  return {};
}

bool is_computed(const TensorSpec& spec) {
  return spec.pattern == format::kRopeTurns || spec.pattern == format::kAlibi || spec.pattern == format::kHeadTransform;
}

PartShape shape_of(Part part, const ModelConfig& config, std::span<const TensorName> table) {
  PartShape found{0, 0};
  ModelConfig one_layer = config;
  one_layer.layers = 1;
  const auto look = [&](const TensorSpec& spec) -> Status {
    for (const TensorPart& each : parts_of(spec, config, table)) {
      if (each.part == part && !spec.is_bias) found = each.shape;
    }
    return {};
  };
  return for_each_tensor(one_layer, look).ok() ? found : PartShape{0, 0};
}

bool is_per_layer(std::string_view pattern) { return pattern.find(kLayer) != std::string_view::npos; }

std::string source_name(std::string_view pattern, std::uint32_t layer, bool is_bias) {
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
  const auto add = [&](const TensorSpec& spec) -> Status {
    for (const TensorPart& part : parts_of(spec, config, table)) {
      NeededTensor tensor{.rows = {}, .names = {}, .shape = part.shape, .is_bias = spec.is_bias};
      for (const TensorName& name : table) {
        if (name.part != part.part || (spec.is_bias && name.zero_bias)) continue;
        tensor.rows.push_back(&name);
        tensor.names.push_back(source_name(name.pattern, spec.layer, spec.is_bias));
      }
      if (!tensor.names.empty()) needed.push_back(std::move(tensor));
    }
    return {};
  };
  return for_each_tensor(config, add).ok() ? needed : std::vector<NeededTensor>();  // add() never fails
}

}  // namespace rill::quant
