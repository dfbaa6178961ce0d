#pragma once
// The "tokenizer" section of a .rill file: tables that are used where they lie. Little-endian; every table starts at a
// multiple of 8 bytes.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/model_config.h"
#include "platform/status.h"

namespace rill {

enum class TokenizerKind : std::uint32_t { kSentencePiece = 1, kByteLevelBpe = 2 };

/// Which table; the number is its place in the header.
enum class TokenizerTable : std::uint32_t {
  kTokenOffsets,  ///< uint32 [V + 1]: where each token's bytes begin in kTokenBytes
  kTokenBytes,    ///< the bytes each token stands for; a control token's spelling
  kSpecial,       ///< uint32: control tokens, ascending
  kAdded,         ///< uint32: tokens found in any text before everything else, ascending
  kEnds,          ///< uint32: tokens that end a reply
  kMerges,        ///< BPE: Merge [], ascending by (left, right)
  kByteTokens,    ///< BPE: uint32 [256], the token of each byte or kNoToken
  kPattern,       ///< BPE: the pre-tokenizer, a PCRE2 pattern
  kProto,         ///< SentencePiece: the serialised model
  kCount,
  /// BPE: uint32, ascending by the bytes that they stand for: pieces of text that become this token whatever the merges
  /// say. Where SentencePiece has its model.
  kWholeWords = kProto
};

/// Flags of the header.
inline constexpr std::uint32_t kAddsBeginningOfText = 1;  ///< put beginning_of_text in front of every stream
inline constexpr std::uint32_t kStripsFirstSpace = 2;     ///< the encoder puts a space in front of a text
inline constexpr std::uint32_t kComposesCharacters = 4;   ///< BPE: a text is brought into Unicode's form NFC first

struct TokenizerHeader {
  TokenizerKind kind;
  std::uint32_t vocabulary;
  Token beginning_of_text;
  std::uint32_t flags;
  std::uint64_t load_bytes;    ///< SentencePiece: heap that the loaded model takes, measured when this was written
  std::uint64_t encode_bytes;  ///< SentencePiece: heap that encoding takes for each byte of text, likewise
  struct Extent {
    std::uint64_t offset;
    std::uint64_t bytes;
  } tables[static_cast<std::size_t>(TokenizerTable::kCount)];
};

/// A merge of byte-level BPE. Lower ranks merge first.
struct Merge {
  Token left;
  Token right;
  std::uint32_t rank;
  Token merged;

  std::uint64_t key() const { return (std::uint64_t{left} << 32U) | right; }
};

/// A checked view of a section. Borrowed.
class TokenizerSection {
 public:
  /// kBadInput names the table and what is wrong with it. Cost: one pass over the tables of numbers.
  static Result<TokenizerSection> parse(std::span<const std::byte> bytes);

  const TokenizerHeader& header() const { return *reinterpret_cast<const TokenizerHeader*>(bytes_.data()); }
  std::span<const std::byte> table(TokenizerTable table) const;
  std::span<const std::uint32_t> numbers(TokenizerTable table) const;
  std::span<const Merge> merges() const;
  std::string_view characters(TokenizerTable table) const;
  /// A token's bytes or spelling. @param token  below the vocabulary
  std::string_view token_bytes(Token token) const;

 private:
  Status check() const;

  std::span<const std::byte> bytes_;
};

}  // namespace rill
