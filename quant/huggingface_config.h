#pragma once
// What config.json and generation_config.json say about a model, checked and in Rill's terms.

#include <span>
#include <string_view>
#include <vector>

#include "core/model_config.h"
#include "platform/status.h"
#include "quant/huggingface_families.h"
#include "quant/rope_scaling.h"
#include "quant/source_model.h"

namespace rill::quant {

struct HuggingfaceConfig {
  const HuggingfaceFamily* family = nullptr;  ///< never null once read
  ModelConfig model;
  RopeScaling rope;
  RopeScaling local_rope;  ///< of the local layers, where they have their own
  PositionSource positions;
  Token beginning_of_text = kNoToken;
  std::vector<Token> end_tokens;  ///< every token that either file calls the end of a text

  std::vector<double> rope_turns() const;
  std::vector<double> alibi_slopes() const;
};

/// Reads config.json: as transformers up to 4 write it (rope_theta, rope_scaling) and as 5 does (rope_parameters). What
/// would make another network than the family's is refused by its key, never passed over.
/// As MappedFile::open() if the file cannot be read; kBadInput names the key at fault.
Result<HuggingfaceConfig> read_huggingface_config(const std::string& path);

/// Adds what generation_config.json says: end tokens, and how the model's makers sample if they do.
Status read_generation_config(const std::string& path, HuggingfaceConfig& config);

}  // namespace rill::quant
