#include "tests/support/tokenizer_fixture.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "quant/gguf_tokenizer.h"
#include "quant/tokenizer_json.h"
#include "tests/support/llama2_tokenizer_json.h"

namespace rill::test {
namespace {

/// The vocabulary of a GGUF file that has nothing else.
quant::SourceTokenizer gguf_source(const std::filesystem::path& path) {
  const auto file = quant::GgufFile::open(path.string());
  EXPECT_TRUE(file.ok()) << file.status().message();
  if (!file.ok()) return {};
  auto vocabulary = quant::read_gguf_tokenizer(*file);
  EXPECT_TRUE(vocabulary.ok()) << vocabulary.status().message();
  return vocabulary.ok() ? *std::move(vocabulary) : quant::SourceTokenizer();
}

constexpr std::string_view kWholeWords = "-whole-words";

}  // namespace

quant::SourceTokenizer source(std::string_view name) {
  if (const std::size_t colon = name.find(':'); colon != name.npos) {
    quant::SourceTokenizer vocabulary = source(name.substr(0, colon));
    if (name.ends_with(kWholeWords)) {  // as tests/make_tokenizer_goldens.py has it: most tokens are in no merge
      name.remove_suffix(kWholeWords.size());
      vocabulary.whole_words_first = true;
      vocabulary.merges.resize(std::min<std::size_t>(vocabulary.merges.size(), 5000));
    }
    const char* pattern = quant::pattern_for_pretokenizer(name.substr(colon + 1));
    EXPECT_NE(pattern, nullptr) << name;
    if (pattern != nullptr) vocabulary.pattern = pattern;
    vocabulary.composes_characters = name.ends_with(":qwen2");
    return vocabulary;
  }
  const auto gguf = shared("tokenizers/gguf-vocab") / ("ggml-vocab-" + std::string(name) + ".gguf");
  if (std::filesystem::exists(gguf)) return gguf_source(gguf);
  if (name == "smollm2") {
    auto smollm2 = quant::read_tokenizer_json(shared("tokenizers/smollm2/tokenizer.json").string());
    return smollm2.ok() ? *smollm2 : quant::SourceTokenizer();
  }
  if (name == "llama2-json") {
    const std::string model = read_file(shared("tokenizers/llama2/tokenizer.model"));
    if (model.empty()) return {};
    auto llama2 = quant::parse_tokenizer_json(tokenizer_json_of(model).dump(), text("Llama-2's tokenizer.json"));
    EXPECT_TRUE(llama2.ok()) << llama2.status().message();
    return llama2.ok() ? *std::move(llama2) : quant::SourceTokenizer();
  }
  const bool llama2 = name == "llama2";
  const std::string proto =
      read_file(shared(llama2 ? "tokenizers/llama2/tokenizer.model" : "models/stories260K/tok512.model"));
  auto spm = quant::sentencepiece_from_proto(proto);
  return spm.ok() ? *spm : quant::SourceTokenizer();
}

}  // namespace rill::test
