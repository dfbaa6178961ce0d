#pragma once
// From the tensors that a configuration implies (core/model_tensors.h) to those that a source must have, by its
// format's table of names. Which tensors there are, and their shapes, is said there alone.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/model_config.h"
#include "core/model_tensors.h"
#include "quant/source_model.h"

namespace rill::quant {

/// [rows, columns]; a vector is [1, n].
struct PartShape {
  std::uint64_t rows;
  std::uint64_t columns;
};

/// A part of one of Rill's tensors, in Rill's orientation.
struct TensorPart {
  Part part;
  PartShape shape;  ///< of a bias: [1, n], or one row per expert
};

/// What a tensor is made of, from its first row to its last, in a format with this table: one fused part where the
/// format has it, else several. Empty if the table names none, or the tensor is computed and not read.
std::vector<TensorPart> parts_of(const TensorSpec& spec, const ModelConfig& config, std::span<const TensorName> table);

/// The shape that a part has in a network of these dimensions; [0, 0] if it has none.
PartShape shape_of(Part part, const ModelConfig& config, std::span<const TensorName> table);

/// True for what is computed instead of being read.
bool is_computed(const TensorSpec& spec);

/// True if there is one tensor per layer ("{}" in the pattern).
bool is_per_layer(std::string_view pattern);

/// The pattern with the layer in the place of "{}"; or the name of its bias.
std::string source_name(std::string_view pattern, std::uint32_t layer, bool is_bias = false);

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
