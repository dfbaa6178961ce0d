// A llama2.c checkpoint, which has no magic number and no checksum: only its size says what it is.

#include "quant/llama2c_importer.h"
#include "tests/fuzz/imported.h"
#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (const auto model = rill::quant::import_llama2c(rill::fuzz::bytes_of(data, size), "input"); model.ok()) {
    rill::fuzz::quantize_and_stream(**model);
  }
  return 0;
}
