#pragma once
// SentencePiece, through libsentencepiece: everything the library holds and takes comes from the fixed heap.

#include "core/tokenizer.h"
#include "platform/size.h"

namespace rill {

/// Heap for loading, and for texts of up to text_bytes, by what the section says was measured.
Size sentencepiece_bytes(const TokenizerSection& section, std::size_t text_bytes);

/// kBadInput if the library does not take the model. May throw std::bad_alloc.
Result<Tokenizer*> load_sentencepiece(const TokenizerSection& section, FixedHeap& heap, std::size_t text_bytes);

}  // namespace rill
