#pragma once
// Models of a few kilobytes, whole and sound: what fuzz targets run text through, and what seeds are made of.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/engine.h"
#include "core/model_file.h"
#include "quant/source_model.h"

namespace rill::fuzz {

/// A byte-level BPE: the 256 bytes, some merges, and ChatML's special tokens.
quant::SourceTokenizer small_byte_level_bpe();
/// A SentencePiece BPE with byte fallback and Llama's control tokens.
quant::SourceTokenizer small_sentencepiece();

/// The network that goes with a vocabulary.
ModelConfig small_config(std::uint32_t vocabulary);

/// A .rill file of random weights with a tokenizer and a chat form ("chatml", "llama2").
std::string small_rill_file(const quant::SourceTokenizer& tokenizer, std::string_view form);

/// Bytes where a model file may lie in memory: aligned as a mapping is.
class AlignedBytes {
 public:
  explicit AlignedBytes(std::string_view bytes);
  std::span<std::byte> span();

 private:
  std::vector<std::byte> room_;
  std::size_t size_;
};

/// How a target runs a model: no threads, a window that is soon full, 32 MB at most.
EngineOptions small_options(bool keeps_state = false);

/// Starts a model that was opened, whatever its weights are, and streams some tokens past its window. Nothing is
/// promised of what comes out, but that it are tokens of the vocabulary. Passes over what the budget does not hold.
void stream_a_while(const ModelFile& model);

}  // namespace rill::fuzz
