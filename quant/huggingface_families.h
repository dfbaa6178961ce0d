#pragma once
// How each family's config.json differs from what all of them share, and what its tensors are called.

#include <span>
#include <string_view>

#include "core/model_family.h"
#include "platform/status.h"
#include "quant/json_fields.h"
#include "quant/source_model.h"

namespace rill::quant {

/// What config.json says of positions beside ModelConfig, for the tables that the model file stores.
struct PositionSource {
  double local_theta = 10000.0;  ///< of local layers, where they have a speed of their own
  double alibi_most_bias = 8.0;  ///< exponent of the last head's slope
  double alibi_factor = 1.0;     ///< of all slopes
};

/// One model_type that can be imported.
struct HuggingfaceFamily {
  std::string_view model_type;
  std::string_view family;       ///< of core/model_family.h
  double rotary_fraction = 1.0;  ///< of a head, where the file is silent
  std::uint32_t mlp_ratio = 0;   ///< MLP width over hidden size, where the file is silent; 0: it must say
  std::span<const std::string_view> ignored = {};  ///< ends of names of tensors that follow from the configuration
  std::span<const TensorName> names;
  std::string_view optional_prefix = {};  ///< that some files put before a tensor's name
  /// Reads what only this family has; nullptr: nothing. Comes after everything that families share.
  Status (*refine)(const Fields& fields, ModelConfig& config, PositionSource& positions) = nullptr;
};

std::span<const HuggingfaceFamily> huggingface_families();

}  // namespace rill::quant
