#pragma once
// The "config" section of a .rill file: every field of ModelConfig by its name.

#include <cstddef>
#include <span>
#include <vector>

#include "core/model_config.h"
#include "core/model_format.h"
#include "platform/status.h"

namespace rill {

/// Reads a decompressed section. Every field must be there exactly once and in its range, and nothing else.
/// @param where  what sentences begin with: the file and the section.
Result<ModelConfig> read_config_section(std::span<const std::byte> raw, const Text& where);

/// The section for a configuration, not yet compressed: its bytes are those of the entries.
std::vector<format::ConfigEntry> make_config_section(const ModelConfig& config);

}  // namespace rill
