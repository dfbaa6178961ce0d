#pragma once
// What every importer of a Llama-like network asks of its table of names: the tensors that a configuration needs, and
// the shape of each.

#include <cstdint>
#include <string>
#include <string_view>

#include "core/model_config.h"
#include "quant/source_model.h"

namespace rill::quant {

/// [rows, columns]; a vector is [1, n].
struct PartShape {
  std::uint64_t rows;
  std::uint64_t columns;
};

/// The shape that a part has in a network of these dimensions.
PartShape shape_of(Part part, const ModelConfig& config);

/// True if there is one tensor per layer ("{}" in the pattern).
bool is_per_layer(std::string_view pattern);

/// The pattern with the layer in the place of "{}".
std::string tensor_name(std::string_view pattern, std::uint32_t layer);

}  // namespace rill::quant
