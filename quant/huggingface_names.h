#pragma once
// What Hugging Face calls the tensors of each family.

#include <span>

#include "quant/source_model.h"

namespace rill::quant::huggingface_names {

extern const std::span<const TensorName> kLlamaNames;  ///< and of all that are named like it
extern const std::span<const TensorName> kGemmaNames;
extern const std::span<const TensorName> kOlmo2Names;
extern const std::span<const TensorName> kGptNeoxNames;
extern const std::span<const TensorName> kFalconNames;
extern const std::span<const TensorName> kMptNames;
extern const std::span<const TensorName> kGpt2Names;
extern const std::span<const TensorName> kPhiNames;
extern const std::span<const TensorName> kGptOssNames;

}  // namespace rill::quant::huggingface_names
