#pragma once
// A SentencePiece model of a BPE that is given by ranked merges, as tokenizer.json has it for Llama-2.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "platform/status.h"
#include "quant/source_model.h"

namespace rill::quant {

/// The vocabulary of a BPE with byte fallback; spaces are written as U+2581.
struct RankedMerges {
  std::span<const std::string> pieces;             ///< by id
  std::span<const std::int32_t> types;             ///< by id: a PieceType
  std::span<const std::pair<Token, Token>> pairs;  ///< by rank
  bool space_in_front = true;                      ///< of every text
};

/// @param merges  the ids of pairs are below the number of pieces
/// A serialised ModelProto that tokenises as the merges do: a piece's score is minus the rank at which it is first
/// made. Of two merges into one piece that share a token, SentencePiece does the left one first and a list of merges
/// the one of lower rank; that is told apart by no text known, for such a piece overlaps itself.
/// @param where  what messages begin with
/// kBadInput if scores cannot say what the merges do: SentencePiece joins any two neighbours that make a piece, so
/// every way to make a piece must be among the merges, side by side in rank.
Result<std::string> sentencepiece_from_merges(const RankedMerges& merges, const Text& where);

}  // namespace rill::quant
