#pragma once
// Hugging Face directories as models: config.json, safetensors, and whatever there is of a tokenizer and a chat
// template.

#include <memory>
#include <string>

#include "platform/status.h"
#include "quant/source_model.h"

namespace rill::quant {

/// Opens a directory as a model. Every tensor that the network needs is checked for presence, type and shape; one that
/// the family does not have (a bias, a norm) is refused by name rather than left out of the computation.
/// @param tokenizer_path  a SentencePiece model to use instead of what the directory has; empty if none was given.
/// @returns a model whose tokenizer is of kind kNone if there is none.
///          As MappedFile::open() if a file cannot be read; kBadInput names the file, and the key or tensor at fault.
Result<std::unique_ptr<SourceModel>> open_huggingface_model(const std::string& directory,
                                                            const std::string& tokenizer_path);

}  // namespace rill::quant
