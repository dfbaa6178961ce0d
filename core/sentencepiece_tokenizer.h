#pragma once
// SentencePiece, through libsentencepiece: everything the library holds and takes comes from the fixed heap.

#include <bitset>

#include "core/tokenizer.h"
#include "platform/size.h"

namespace rill {

/// What a model's bytes say, once they are known to hold nothing that the library would follow unchecked.
struct SentencePieceTraits {
  std::uint32_t pieces = 0;
  bool cuts_at_spaces = false;  ///< a text may be cut at a space that follows another character ...
  std::bitset<256> inside;      ///< ... which does not end in one of these bytes: pieces have them before a space
  bool writes_unknown = false;  ///< for characters without a piece, which would otherwise fall back to bytes
};
/// Reads a serialised ModelProto without the library. kBadInput for character maps (tries that the library follows
/// wherever they point), control pieces that it would find in text, and models that are not BPE of Llama's kind.
/// @param special  ascending ids that no text may become: of control pieces, or of the unknown one if text never needs
///                 it. Others give kBadInput.
Result<SentencePieceTraits> check_sentencepiece(std::string_view proto, std::span<const Token> special = {});

/// Heap for loading, and for texts of up to text_bytes, by what the section says was measured.
Size sentencepiece_bytes(const TokenizerSection& section, std::size_t text_bytes);

/// kBadInput if the model is refused; kFailed if the heap is too small for it, whose memory is then spent. May throw
/// std::bad_alloc.
Result<Tokenizer*> load_sentencepiece(const TokenizerSection& section, FixedHeap& heap, std::size_t text_bytes);

}  // namespace rill
