// `rill quantize`: one source makes one file, whoever helps.

#include "quant/quantizer.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/scratch_directory.h"
#include "tests/support/synthetic_model.h"
#include "tests/support/tokenizer_fixture.h"

namespace rill::quant {
namespace {

TEST(Quantizer, TheFileDoesNotDependOnTheNumberOfThreads) {
  ModelConfig config = SyntheticModel::small_config();
  config.vocabulary = 1000;  // 63 blocks of rows
  const SyntheticModel source(config);
  const ScratchDirectory scratch;
  std::string alone;
  for (const std::size_t threads : {1U, 2U, 3U, 7U}) {
    const std::string path = scratch.file("model" + std::to_string(threads) + ".rill");
    QuantizeOptions options;
    options.threads = threads;
    const Result<QuantizeReport> report = quantize(source, path, options);
    ASSERT_TRUE(report.ok()) << report.status().message();
    const std::string bytes = test::read_file(path);
    if (threads == 1) alone = bytes;
    EXPECT_TRUE(bytes == alone) << threads << " threads";
  }
}

}  // namespace
}  // namespace rill::quant
