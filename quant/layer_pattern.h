#pragma once
// Lists of layers, one flag each, as the repeating patterns that ModelConfig holds.

#include <string_view>
#include <vector>

#include "core/model_config.h"
#include "platform/status.h"
#include "quant/json_fields.h"

namespace rill::quant {

/// Puts a list of flags, one per layer, into one of a configuration's two patterns, with the shortest period that both
/// patterns fit. kBadInput names the key if the list has not one flag per layer or repeats after more than 64 layers.
Status set_layer_pattern(const Fields& fields, std::string_view key, const std::vector<bool>& layers,
                         ModelConfig& config, std::uint64_t ModelConfig::*pattern);

}  // namespace rill::quant
