#pragma once
// Llama-2's tokenizer.json, made of its tokenizer.model as transformers' converter makes it.

#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace rill::test {

/// @param proto  a SentencePiece model whose tokens 0 to 2 are <unk>, <s> and </s>
nlohmann::json tokenizer_json_of(std::string_view proto);

}  // namespace rill::test
