// A SentencePiece model: a protocol buffer that libsentencepiece is given only after Rill has looked at it.

#include <string>

#include "quant/sentencepiece_model.h"
#include "tests/fuzz/imported.h"
#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto tokenizer = rill::quant::sentencepiece_from_proto(std::string(rill::fuzz::text_of(data, size)));
  if (tokenizer.ok()) rill::fuzz::tokenize_with(*tokenizer);
  return 0;
}
