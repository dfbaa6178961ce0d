#include "quant/sentencepiece_file.h"

#include "platform/mapped_file.h"
#include "quant/sentencepiece_model.h"

namespace rill::quant {

Result<SourceTokenizer> read_sentencepiece_file(const std::string& path) {
  constexpr std::size_t kMostBytes = std::size_t{64} << 20U;
  RILL_ASSIGN(const auto file, MappedFile::open(path));
  const std::span<const std::byte> bytes = file.bytes();
  if (bytes.size() > kMostBytes) {
    return bad_input({.where = text(path),
                      .what = text(bytes.size(), " bytes"),
                      .expected = text("at most ", kMostBytes),
                      .remedy = text("give the model's tokenizer.model")});
  }
  auto tokenizer = sentencepiece_from_proto({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (tokenizer.ok() || tokenizer.status().code() != Code::kBadInput) return tokenizer;
  return bad_input({.where = text(path), .what = text(tokenizer.status().message()), .expected = {}, .remedy = {}});
}

}  // namespace rill::quant
