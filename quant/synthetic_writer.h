#pragma once
// Models of random weights, for measurements of speed at sizes whose weights are not at hand.

#include <string_view>

#include "core/model_config.h"
#include "platform/status.h"
#include "quant/published_shapes.h"
#include "quant/quantizer.h"

namespace rill::quant {

/// Writes a model of a published shape with random int8 weights straight into a .rill file: the same bytes every time.
/// Weights have a standard deviation of 0.02, gains are 1, so that activations stay finite through any number of
/// layers. Without a tokenizer.
/// @param config  shape.config(), or that with other sampling; its group is the options'
/// Memory: one row block. Cost: seconds for a billion weights.
Result<QuantizeReport> write_synthetic_model(const PublishedShape& shape, const ModelConfig& config,
                                             std::string_view output_path, const QuantizeOptions& options);

}  // namespace rill::quant
