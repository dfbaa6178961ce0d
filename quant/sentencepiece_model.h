#pragma once
// SentencePiece models as sources: what is in one, and how to make one of a GGUF file's tables.

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "platform/status.h"
#include "quant/source_model.h"

namespace rill::quant {

/// What a .rill file says about a SentencePiece model besides the model itself.
struct SentencePieceFacts {
  std::vector<std::string> tokens;  ///< the bytes of each id; a control token's spelling
  std::vector<Token> special;       ///< control tokens, and the unknown one unless text can become it
  Token beginning_of_text = kNoToken;
  Token end_of_text = kNoToken;
  bool adds_dummy_prefix = false;  ///< a space in front of every text
  std::uint64_t load_bytes = 0;    ///< heap of the loaded model, with a margin
  std::uint64_t encode_bytes = 0;  ///< heap for each byte of text, with a margin
};

/// Loads a serialised ModelProto and tries it out. kBadInput if libsentencepiece does not take it.
Result<SentencePieceFacts> examine_sentencepiece(std::string_view proto);

/// A tokenizer of a "tokenizer.model" file's bytes, with the begin and end tokens that it names itself.
Result<SourceTokenizer> sentencepiece_from_proto(std::string proto);

/// Types of pieces, as in SentencePiece's ModelProto (and in GGUF's tokenizer.ggml.token_type).
enum class PieceType : std::int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

/// normalizer_spec { add_dummy_prefix: false }, to stand behind a ModelProto: a reader of protocol buffers merges a
/// second occurrence of a message into the first.
inline constexpr std::string_view kNoDummyPrefix("\x1a\x02\x18\x00", 4);

/// A token that was added to a vocabulary.
struct AddedToken {
  std::string spelling;
  bool is_special = false;  ///< a control piece, else one that SentencePiece itself makes of no text
};

/// Pieces for the ids from `first` to before `end`, to stand behind a ModelProto; those that are not added are unused.
std::string more_pieces(std::size_t first, std::size_t end, const std::map<Token, AddedToken>& added = {});

/// A serialised BPE ModelProto of Llama's kind (byte fallback, dummy prefix, no normalisation) of parallel tables.
/// @param scores, types  as many as tokens, or fewer: missing scores are 0, missing types normal
std::string build_sentencepiece_proto(std::span<const std::string_view> tokens, std::span<const float> scores,
                                      std::span<const std::int32_t> types);

}  // namespace rill::quant
