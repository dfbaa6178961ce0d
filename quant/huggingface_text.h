#pragma once
// The text side of a Hugging Face directory: its tokenizer and its chat template.

#include <string>

#include "platform/status.h"
#include "quant/huggingface_config.h"
#include "quant/source_model.h"

namespace rill::quant {

/// The tokenizer: the path's, else tokenizer.model, both SentencePiece, else tokenizer.json (which goes first where
/// tokenizer.model has another number of pieces than the model); kNone for a directory that
/// has none at all. The configuration's beginning and end tokens are added to what the tokenizer itself names.
/// kBadInput if it cannot be used: a model must not lose its vocabulary unnoticed.
/// @param tokenizer_path  a SentencePiece model, or empty
Result<SourceTokenizer> read_huggingface_tokenizer(const std::string& directory, const std::string& tokenizer_path,
                                                   const HuggingfaceConfig& config);

/// The Jinja chat template: chat_template.jinja, else "chat_template" in tokenizer_config.json (where there are
/// several, the one called "default"), else empty.
Result<ChatTemplate> read_huggingface_chat_template(const std::string& directory);

}  // namespace rill::quant
