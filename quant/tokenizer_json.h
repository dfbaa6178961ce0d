#pragma once
// Hugging Face's tokenizer.json, byte-level BPE only.

#include <string>
#include <string_view>

#include "platform/status.h"
#include "quant/source_model.h"

namespace rill::quant {

/// The file at the path. Beginning and end of text are not in it: they are config.json's.
/// kBadInput names the key at fault: no JSON, or a component that Rill does not know, which it never passes over.
Result<SourceTokenizer> read_tokenizer_json(const std::string& path);

/// The same from the file's text. @param where  what messages begin with.
Result<SourceTokenizer> parse_tokenizer_json(std::string_view json, const Text& where);

}  // namespace rill::quant
