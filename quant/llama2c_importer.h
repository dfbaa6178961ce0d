#pragma once
// llama2.c checkpoints, version 0: seven integers, then every tensor in float32, stacked by layer.
// Source: karpathy/llama2.c, legacy_export() in export.py and memory_map_weights() in run.c.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "platform/status.h"
#include "quant/source_model.h"

namespace rill::quant {

/// Opens a checkpoint. It has no magic number: it is one if the file's size is exactly what its header says.
/// @param tokenizer_path  a SentencePiece model, or empty: the checkpoint itself has no vocabulary.
/// kBadInput names the header's field at fault and its offset.
Result<std::unique_ptr<SourceModel>> open_llama2c_model(const std::string& path, const std::string& tokenizer_path);

/// The same for bytes in memory, without a tokenizer.
/// @param bytes  borrowed for the model's life
/// @param name   for messages
Result<std::unique_ptr<SourceModel>> import_llama2c(std::span<const std::byte> bytes, std::string_view name);

}  // namespace rill::quant
