#pragma once
// The families of models that Rill knows, as data. A row names what differs from Llama-2, whose values are
// ModelConfig's own; a model's configuration refines it. How tensors are called is the importers' business
// (quant/huggingface_names.h, quant/gguf_families.cc).

#include <span>
#include <string_view>

#include "core/model_config.h"

namespace rill {

/// One family's constants. Dimensions stay 0: they are a model's own.
struct Family {
  std::string_view name;  ///< as in the .rill file's header
  ModelConfig config;
};

/// nullptr if there is none of this name.
const Family* find_family(std::string_view name);

}  // namespace rill
