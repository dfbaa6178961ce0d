#pragma once
// The vocabulary inside a GGUF file: SentencePiece tables or a byte-level BPE, as they stand in its metadata.

#include "platform/status.h"
#include "quant/gguf_file.h"
#include "quant/source_model.h"

namespace rill::quant {

/// Reads the keys tokenizer.ggml.*, also of a file that has no tensors.
/// @returns a tokenizer of kind kNone if the file has none. kBadInput names the key or the token at fault; a tokenizer
///          model or a pre-tokenizer that is not known is refused by its name.
Result<SourceTokenizer> read_gguf_tokenizer(const GgufFile& file);

}  // namespace rill::quant
