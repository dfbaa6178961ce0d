#pragma once
// A SentencePiece model given beside a source that has no tokenizer of its own.

#include <string>

#include "platform/status.h"
#include "quant/source_model.h"

namespace rill::quant {

/// Reads a SentencePiece model file ("tokenizer.model"), with the begin and end tokens that it names itself.
/// kFailed if it cannot be read, kBadInput if it is no SentencePiece model.
Result<SourceTokenizer> read_sentencepiece_file(const std::string& path);

}  // namespace rill::quant
