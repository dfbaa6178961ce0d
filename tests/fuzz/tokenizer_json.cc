// tokenizer.json, and the tokenizer that is made of it.

#include "quant/tokenizer_json.h"
#include "tests/fuzz/imported.h"
#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto tokenizer = rill::quant::parse_tokenizer_json(rill::fuzz::text_of(data, size), rill::text("input"));
  if (tokenizer.ok()) rill::fuzz::tokenize_with(*tokenizer);
  return 0;
}
