#pragma once
// GGUF files as models: which families there are, how their hyperparameters and tensors are called, and what is
// refused.

#include <memory>
#include <string>

#include "platform/status.h"
#include "quant/gguf_file.h"
#include "quant/source_model.h"

namespace rill::quant {

/// Opens a GGUF file as a model. Every tensor that the network needs is checked for presence and shape; a tensor that
/// the family does not have (a bias, an expert) is refused by name rather than left out of the computation.
/// @param tokenizer_path  a SentencePiece model to use instead of what the file has; empty if none was given.
/// @returns a model whose tokenizer is of kind kNone if there is none. kBadInput names the key or tensor at fault.
Result<std::unique_ptr<SourceModel>> open_gguf_model(const std::string& path, const std::string& tokenizer_path);

/// The same for a container that is open already.
Result<std::unique_ptr<SourceModel>> import_gguf(GgufFile file);

}  // namespace rill::quant
