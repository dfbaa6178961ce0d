#pragma once
// The architectures of GGUF files that can be imported: what llama.cpp's converter calls their tensors, and what their
// metadata says beside what all of them share.

#include <span>
#include <string_view>

#include "core/model_config.h"
#include "platform/status.h"
#include "quant/gguf_keys.h"
#include "quant/source_model.h"

namespace rill::quant {

/// What a GGUF file's metadata says of positions beside ModelConfig.
struct GgufPositions {
  double alibi_most_bias = 8.0;  ///< exponent of the last head's slope
  double local_theta = 10000.0;  ///< rope base of local layers, where they have their own
};

struct GgufFamily {
  std::string_view architecture;  ///< general.architecture
  std::string_view family;        ///< of core/model_family.h
  std::span<const TensorName> names;
  /// Reads what only this family has; nullptr: nothing. Comes after everything that families share.
  Status (*refine)(const GgufKeys& keys, ModelConfig& config, GgufPositions& positions) = nullptr;
};

std::span<const GgufFamily> gguf_families();

}  // namespace rill::quant
