#pragma once
// Byte-level BPE (GPT-2's): a pattern cuts text into words, each word's bytes are merged by rank. The pattern runs in
// PCRE2, which draws on the fixed heap.

#include "core/tokenizer.h"
#include "platform/size.h"

namespace rill {

/// Heap for loading, and for words of up to text_bytes.
Size byte_level_bpe_bytes(std::size_t text_bytes);

/// kBadInput for a pattern that PCRE2 does not take. May throw std::bad_alloc.
Result<Tokenizer*> load_byte_level_bpe(const TokenizerSection& section, FixedHeap& heap, std::size_t text_bytes);

}  // namespace rill
