#pragma once
// What importers ask of a format's table of names: the tensors that a configuration needs, and the shape of each.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/model_config.h"
#include "quant/source_model.h"

namespace rill::quant {

/// [rows, columns]; a vector is [1, n].
struct PartShape {
  std::uint64_t rows;
  std::uint64_t columns;
};

/// The shape that a part has in a network of these dimensions, in Rill's orientation; or the shape of its bias, [1, n]
/// or one row per expert.
PartShape shape_of(Part part, const ModelConfig& config, bool is_bias = false);

/// True if a model of this configuration has this part; or a bias of it.
bool has_part(Part part, const ModelConfig& config);
bool has_bias(Part part, const ModelConfig& config);

/// True if there is one tensor per layer ("{}" in the pattern).
bool is_per_layer(std::string_view pattern);

/// The pattern with the layer in the place of "{}"; or the name of its bias.
std::string tensor_name(std::string_view pattern, std::uint32_t layer, bool is_bias = false);

/// A tensor that a source must hold.
struct NeededTensor {
  std::vector<const TensorName*> rows;  ///< of the table, any of which will do
  std::vector<std::string> names;       ///< what they spell for the layer, in the same order
  PartShape shape;
  bool is_bias = false;
};

/// Every tensor that a model of this configuration has, by a format's table.
std::vector<NeededTensor> needed_tensors(std::span<const TensorName> table, const ModelConfig& config);

}  // namespace rill::quant
