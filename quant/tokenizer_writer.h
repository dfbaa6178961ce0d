#pragma once
// From a source's vocabulary to the "tokenizer" section of a .rill file.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "platform/status.h"
#include "quant/source_model.h"

namespace rill::quant {

/// The section's bytes (core/tokenizer_section.h); empty for Kind::kNone. A SentencePiece model is loaded and tried out
/// to measure the heap that it needs.
/// @param vocabulary  the model's; a tokenizer may have fewer tokens (the rest stand for nothing) but not more.
/// kBadInput names the token or merge that does not fit the rest.
Result<std::vector<std::byte>> write_tokenizer_section(const SourceTokenizer& source, std::uint32_t vocabulary);

/// True for the special tokens that end a reply, whatever a file names as its end of sequence: chat models are often
/// converted with the base model's.
bool is_end_spelling(std::string_view spelling);

/// The pre-tokenizer pattern of a GGUF file's tokenizer.ggml.pre, for PCRE2; nullptr if it is not known.
const char* pattern_for_pretokenizer(std::string_view name);

}  // namespace rill::quant
