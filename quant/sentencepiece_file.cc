#include "quant/sentencepiece_file.h"

#include "platform/mapped_file.h"
#include "quant/sentencepiece_model.h"

namespace rill::quant {

Result<SourceTokenizer> read_sentencepiece_file(const std::string& path) {
  RILL_ASSIGN(const auto file, MappedFile::open(path));
  const std::span<const std::byte> bytes = file.bytes();
  auto tokenizer = sentencepiece_from_proto({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (tokenizer.ok() || tokenizer.status().code() != Code::kBadInput) return tokenizer;
  return bad_input({.where = text(path),
                    .what = text("not a SentencePiece model"),
                    .expected = text("a serialised ModelProto"),
                    .remedy = text("give the model's tokenizer.model, not a vocabulary in another form")});
}

}  // namespace rill::quant
