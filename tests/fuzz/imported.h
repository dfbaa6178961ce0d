#pragma once
// What follows an import that was let in: the same as `rill quantize` does, and a stream through its result.

#include "quant/source_model.h"

namespace rill::fuzz {

/// Quantizes a source, opens what was written and streams it. Passes over what would be larger than a megabyte.
void quantize_and_stream(const quant::SourceModel& source);

/// Trying out a SentencePiece model takes a fifth of a second under the sanitizers, and it has a target of its own:
/// where one comes with something else, one of 16 is tried.
bool is_worth_trying(const quant::SourceTokenizer& tokenizer);
/// Writes a vocabulary as a model file has it, loads it again and puts some text through it and back.
void tokenize_with(const quant::SourceTokenizer& tokenizer);
/// The same for a section as it lies in a model file.
void tokenize_with_section(std::span<const std::byte> section);

}  // namespace rill::fuzz
