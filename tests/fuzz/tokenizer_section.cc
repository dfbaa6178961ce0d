// The "tokenizer" section of a .rill file, used where it lies.

#include "tests/fuzz/imported.h"
#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  rill::fuzz::tokenize_with_section(rill::fuzz::bytes_of(data, size));
  return 0;
}
