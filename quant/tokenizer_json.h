#pragma once
// Hugging Face's tokenizer.json: byte-level BPE, and BPE with byte fallback, which is SentencePiece's written down
// there.

#include <string>
#include <string_view>

#include "platform/status.h"
#include "quant/source_model.h"

namespace rill::quant {

/// The file at the path. What ends a text is not in it but in config.json; what begins one is, where the post-processor
/// puts it there. kBadInput names the key at fault: no JSON, or a component that Rill does not know, which it never
/// passes over.
/// @param vocabulary  the model's: added tokens beyond it, which Gemma 3's small models have, are left out
Result<SourceTokenizer> read_tokenizer_json(const std::string& path, std::uint32_t vocabulary = kNoToken);

/// The same from the file's text. @param where  what messages begin with.
Result<SourceTokenizer> parse_tokenizer_json(std::string_view json, const Text& where,
                                             std::uint32_t vocabulary = kNoToken);

}  // namespace rill::quant
