#pragma once
// What every importer offers: a model's configuration, its tokenizer, and its tensors, row by row in float32, whatever
// the file they come from. quant/quantizer turns one of these into a .rill file.

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/model_config.h"
#include "platform/status.h"

namespace rill::quant {

/// The part of the network that a tensor is. kQkv and kGateUp are for formats that fuse what others keep apart.
enum class Part : std::uint8_t {
  kEmbedding,
  kPositions,
  kHead,
  kFinalNorm,
  kAttentionNorm,
  kQkv,
  kQuery,
  kKey,
  kValue,
  kQueryNorm,
  kKeyNorm,
  kSinkLogits,
  kAttentionOut,
  kAttentionPostNorm,
  kMlpNorm,
  kRouter,
  kGateUp,
  kGate,
  kUp,
  kDown,
  kMlpPostNorm,
};

/// How the rows of a matrix, and the elements of its bias, lie in the file, against Rill's order.
enum class Rows : std::uint8_t {
  kAsTheyAre,
  kAdjacentPairs,  ///< queries or keys: the rotated pairs side by side; Rill has their first halves, then their second
  kPerKvHead,      ///< kQkv: for each KV head its queries, its key, its value; Rill has all queries, keys, values
  kGateUpPairs,    ///< kGateUp: gates in the even rows, ups in the odd ones; Rill has all gates, then all ups
};

/// One line of a format's table of names. A part may have several: the first that a source has counts. The bias of what
/// ends in ".weight" ends in ".bias"; of anything else, in "_bias".
struct TensorName {
  std::string_view pattern;  ///< with "{}" for the layer
  Part part;
  Rows rows = Rows::kAsTheyAre;
  bool transposed = false;  ///< the file has [inputs, outputs]; whoever reads it turns it round
  bool plus_one = false;    ///< the file has a norm's gain minus 1 (Gemma)
  bool zero_bias = false;   ///< the file leaves the bias out and means zeros
};

/// A tensor as its file has it; [rows, columns], a vector is [1, n].
struct SourceTensor {
  std::string name;
  std::uint64_t rows = 0;
  std::uint64_t columns = 0;
};

/// How a vocabulary came: SentencePiece's own proto, or byte-level BPE's tables.
struct SourceTokenizer {
  enum class Kind : std::uint8_t { kNone, kSentencePiece, kByteLevelBpe };
  Kind kind = Kind::kNone;
  std::string sentencepiece_proto;              ///< a serialised ModelProto
  std::vector<std::string> tokens;              ///< BPE: the bytes of each id; special tokens: their spelling
  std::vector<std::pair<Token, Token>> merges;  ///< BPE: by rank; the merged token is the one with the joined bytes
  std::vector<Token> special;                   ///< control tokens: text only with SpecialTokens::kControl
  std::vector<Token> added;                     ///< tokens found in any text before everything else
  std::string pattern;                          ///< BPE: the pre-tokenizer as a PCRE2 pattern
  bool composes_characters = false;             ///< BPE: it brings a text into Unicode's form NFC first
  bool whole_words_first = false;               ///< BPE: a piece that is a token is that one, whatever the merges say
  Token beginning_of_text = kNoToken;
  bool adds_beginning_of_text = false;
  std::vector<Token> end_tokens;
};

/// How a source lays out a conversation, in Jinja, and what it calls two of its tokens there.
struct ChatTemplate {
  std::string jinja;      ///< empty if the source has none
  std::string bos_token;  ///< spelling; empty if the source does not say
  std::string eos_token;
};

/// A model open for import. Everything it says was checked against the file's size; nothing in it is trusted further.
class SourceModel {
 public:
  virtual ~SourceModel() = default;

  virtual const ModelConfig& config() const = 0;
  virtual std::string_view family() const = 0;            ///< "llama"
  virtual std::string_view format() const = 0;            ///< "GGUF", "Hugging Face directory", "llama2.c checkpoint"
  virtual std::uint64_t bytes_in() const = 0;             ///< size of what is read
  virtual std::span<const TensorName> names() const = 0;  ///< the format's table for this family
  virtual const SourceTensor* find(std::string_view name) const = 0;  ///< nullptr if there is none
  /// Rows [first, first + count) as float32, dequantised exactly.
  /// @param out  [count, columns]
  virtual Status read_rows(const SourceTensor& tensor, std::uint64_t first, std::uint64_t count,
                           std::span<float> out) const = 0;
  /// Rotations per position of each rotated pair, in turns (angle / 2 pi), any rope scaling applied.
  /// [rope_tables, rotated size / 2]; empty without RoPE.
  virtual std::vector<double> rope_turns() const = 0;
  /// How much a score falls with each token of distance. [heads]; empty without ALiBi.
  virtual std::vector<double> alibi_slopes() const { return {}; }
  virtual const SourceTokenizer& tokenizer() const = 0;
  virtual ChatTemplate chat_template() const { return {}; }
};

/// Opens whatever stands at the path: a GGUF file, a directory with config.json, or a llama2.c checkpoint.
/// @param tokenizer_path  a SentencePiece model for a source without a tokenizer; empty if none was given.
/// kBadInput says what the file is not, or names the field or tensor at fault and its offset.
Result<std::unique_ptr<SourceModel>> open_source_model(const std::string& path, const std::string& tokenizer_path);

}  // namespace rill::quant
