#pragma once
// SentencePiece models in files of their own.

#include <string>

#include "platform/status.h"
#include "quant/source_model.h"

namespace rill::quant {

/// Reads a SentencePiece model file ("tokenizer.model"), with the begin and end tokens that it names itself.
/// kBadInput if it cannot be read or is no SentencePiece model, kFailed if there is no memory to try it out.
Result<SourceTokenizer> read_sentencepiece_file(const std::string& path);

}  // namespace rill::quant
