// A GGUF file: its container, its vocabulary, and the model that it says it is.

#include "quant/gguf_importer.h"
#include "quant/gguf_tokenizer.h"
#include "tests/fuzz/imported.h"
#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto file = rill::quant::GgufFile::parse(rill::fuzz::bytes_of(data, size), "input");
  if (!file.ok()) return 0;
  const auto tokenizer = rill::quant::read_gguf_tokenizer(*file);
  if (const auto model = rill::quant::import_gguf(*std::move(file)); model.ok()) {
    rill::fuzz::quantize_and_stream(**model);
  } else if (tokenizer.ok() && rill::fuzz::is_worth_trying(*tokenizer)) {
    rill::fuzz::tokenize_with(*tokenizer);
  }
  return 0;
}
