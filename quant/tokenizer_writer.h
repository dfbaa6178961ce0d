#pragma once
// From a source's vocabulary and chat template to the "tokenizer" and "chat" sections of a .rill file.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "platform/status.h"
#include "quant/source_model.h"

namespace rill::quant {

/// The section's bytes (core/tokenizer_section.h); empty for Kind::kNone. A SentencePiece model is loaded and tried out
/// to measure the heap that it needs.
/// @param vocabulary  the model's; a tokenizer may have fewer tokens (the rest stand for nothing) but not more.
/// kBadInput names the token or merge that does not fit the rest.
Result<std::vector<std::byte>> write_tokenizer_section(const SourceTokenizer& source, std::uint32_t vocabulary);

/// The "chat" section: the form's name and the system text that the model's makers put into their template.
/// @param form  "" to recognise it by the template, "none" for no chat section, else a form's name.
/// @param tokenizer_section  of the same file: a form is recognised only where its tokens are. Empty: by the template
/// alone
/// @param system  the system text to put in instead of the makers'; nullptr keeps theirs.
/// @returns empty if the source has no template and no form was named. kBadInput names the flag that picks a form when
///          the template is not known.
Result<std::string> write_chat_section(std::string_view jinja, std::string_view form,
                                       std::span<const std::byte> tokenizer_section = {},
                                       const std::string* system = nullptr);

/// True for the special tokens that end a reply, whatever a file names as its end of sequence: chat models are often
/// converted with the base model's.
bool is_end_spelling(std::string_view spelling);

/// The pre-tokenizer pattern of a GGUF file's tokenizer.ggml.pre, for PCRE2; nullptr if it is not known.
const char* pattern_for_pretokenizer(std::string_view name);

}  // namespace rill::quant
