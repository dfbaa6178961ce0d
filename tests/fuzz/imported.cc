#include "tests/fuzz/imported.h"

#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/checksum.h"
#include "core/model_tensors.h"
#include "core/tokenizer.h"
#include "quant/quantizer.h"
#include "quant/sentencepiece_model.h"
#include "quant/tokenizer_writer.h"
#include "tests/fuzz/small_models.h"
#include "tests/fuzz/target.h"

namespace rill::fuzz {
namespace {

constexpr std::size_t kMostHeap = std::size_t{32} << 20U;
constexpr std::string_view kTexts[] = {"the cat in a hat",
                                       "",
                                       " ",
                                       "<|im_start|>system\nyou <s> </s> <unk> [INST]",
                                       "\xff\xfe\xc3\x28\xe2\x96\x81 \xf0\x9f\x98\x80\xf0\x9f",
                                       "0123456789 \t\r\n  don't\xc2\xa0'LL"};

/// Where a path is needed and nothing is to be kept.
std::string scratch_path() {
  static const std::string path = [] {
    std::string folder = (std::filesystem::temp_directory_path() / "rill-fuzz-XXXXXX").string();
    require(::mkdtemp(folder.data()) != nullptr, "there is room for temporary files");
    return folder + "/made.rill";
  }();
  return path;
}

}  // namespace

bool is_worth_trying(const quant::SourceTokenizer& tokenizer) {
  return tokenizer.kind != quant::SourceTokenizer::Kind::kSentencePiece ||
         crc32(std::as_bytes(std::span(tokenizer.sentencepiece_proto))) % 16 == 0;
}

void tokenize_with_section(std::span<const std::byte> section) {
  AlignedBytes bytes({reinterpret_cast<const char*>(section.data()), section.size()});
  constexpr std::size_t kLongestWord = 256;
  const auto need = Tokenizer::heap_bytes(bytes.span(), kLongestWord);
  if (!need.ok() || *need > kMostHeap) return;
  const std::unique_ptr<std::byte[]> block(new std::byte[*need]);
  FixedHeap heap({block.get(), *need});
  const auto loaded = Tokenizer::load(bytes.span(), heap, kLongestWord);
  if (!loaded.ok()) return;
  Tokenizer* const tokenizer = *loaded;
  for (const SpecialTokens special : {SpecialTokens::kText, SpecialTokens::kControl}) {
    for (const std::string_view text : kTexts) {
      Utf8Stream characters(tokenizer->strips_first_space());
      std::vector<char> out;
      static_cast<void>(
          tokenizer
              ->encode(text, special,
                       [&](std::span<const Token> tokens) -> Status {
                         for (const Token token : tokens) {
                           require(token < tokenizer->vocabulary(), "a token of a text is one of the vocabulary");
                           const std::string_view part = tokenizer->bytes_of(token);
                           out.resize(part.size() * 3 + 12);
                           static_cast<void>(characters.add(part, out));
                           if (special == SpecialTokens::kText) {
                             require(tokenizer->special_spelling(token).empty(), "text has no special tokens");
                           }
                         }
                         return {};
                       })
              .ok());
    }
  }
  static_cast<void>(tokenizer->find_special("<|im_end|>"));
  tokenizer->~Tokenizer();
}

void tokenize_with(const quant::SourceTokenizer& tokenizer) {
  using Kind = quant::SourceTokenizer::Kind;
  if (tokenizer.kind == Kind::kNone) return;
  std::size_t vocabulary = tokenizer.tokens.size();
  if (tokenizer.kind == Kind::kSentencePiece) {
    const auto facts = quant::examine_sentencepiece(tokenizer.sentencepiece_proto);
    if (!facts.ok()) return;
    vocabulary = facts->tokens.size();
  }
  const auto section = quant::write_tokenizer_section(tokenizer, static_cast<std::uint32_t>(vocabulary));
  if (section.ok()) tokenize_with_section(*section);
}

void quantize_and_stream(const quant::SourceModel& source) {
  auto section = Result<std::vector<std::byte>>(std::vector<std::byte>());
  if (is_worth_trying(source.tokenizer())) {
    section = quant::write_tokenizer_section(source.tokenizer(), source.config().vocabulary);
    if (section.ok()) tokenize_with_section(*section);
  }
  Size elements;
  const Status counted = for_each_tensor(source.config(), [&](const TensorSpec& spec) -> Status {
    elements = elements + Size(spec.rows) * Size(spec.columns);
    return {};
  });
  if (!counted.ok() || elements.wrapped || elements.value > std::size_t{1} << 16U) return;
  const auto report = quant::quantize(
      source, scratch_path(),
      {.group = 16,
       .tokenizer_section = section.ok() ? std::span<const std::byte>(*section) : std::span<const std::byte>(),
       .chat_section = {}});
  if (!report.ok()) return;
  const auto model = ModelFile::open(scratch_path());
  require(model.ok(), "what was quantized can be opened");
  require(model->verify().ok(), "what was quantized is whole");
  stream_a_while(*model);
}

}  // namespace rill::fuzz
