#pragma once
// What becoming a .rill file does to a network in memory.

#include <string>
#include <vector>

#include "quant/quantizer.h"
#include "tests/support/golden.h"
#include "tests/support/imported_model.h"
#include "tests/support/oracle_network.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/synthetic_model.h"

namespace rill {

/// How far int8 moves the logits of 40 tokens from the oracle's, root mean square over their deviation; 1 if it fails.
inline double int8_error(const SyntheticModel& source, const quant::QuantizeOptions& options = {}) {
  const Result<oracle::Network> network = oracle::Network::load(source);
  EXPECT_TRUE(network.ok()) << network.status().message();
  const ScratchDirectory scratch;
  const std::string path = scratch.file("model.rill");
  const Result<quant::QuantizeReport> report = quant::quantize(source, path, options);
  EXPECT_TRUE(report.ok()) << report.status().message();
  const Result<ModelFile> file = ModelFile::open(path);
  EXPECT_TRUE(file.ok()) << file.status().message();
  if (!network.ok() || !file.ok()) return 1;
  Result<Engine> engine = start(*file, {.policy = dense_policy(64)});
  EXPECT_TRUE(engine.ok()) << engine.status().message();
  if (!engine.ok()) return 1;
  std::vector<Token> tokens;
  for (Token t = 0; t < 40; ++t) tokens.push_back(t * 7 % source.config().vocabulary);
  oracle::PaperCache cache;
  if (source.config().sink_token != kNoToken) network->step(source.config().sink_token, cache);
  std::vector<float> expected;
  for (const Token token : tokens) {
    for (const double logit : network->step(token, cache)) expected.push_back(static_cast<float>(logit));
  }
  return rms_over_deviation(logits_of(*engine, tokens), expected);
}

}  // namespace rill
