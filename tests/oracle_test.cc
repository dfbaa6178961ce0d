// The oracle against what others computed: Hugging Face transformers in float64 (goldens), the StreamingLLM paper's own
// code in float64 (goldens/streaming), and llama2.c on a trained model. The goldens' READMEs ask a float path for 1e-4
// of every logit.

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "quant/source_model.h"
#include "tests/support/golden.h"
#include "tests/support/golden_models.h"
#include "tests/support/oracle_network.h"
#include "tests/support/shared_data.h"

namespace rill {
namespace {

constexpr double kTolerance = 1e-4;

/// What a model makes of a stream: [steps][vocabulary].
std::vector<std::vector<float>> run(const oracle::Network& model, const oracle::Policy& policy,
                                    std::span<const Token> ids) {
  oracle::PaperCache cache(policy);
  std::vector<std::vector<float>> rows;
  for (const Token id : ids) {
    const std::vector<double> logits = model.step(id, cache);
    rows.emplace_back(logits.begin(), logits.end());
  }
  return rows;
}

std::unique_ptr<quant::SourceModel> open_model(const std::string& path) {
  auto source = quant::open_source_model(path, "");
  EXPECT_TRUE(source.ok()) << source.status().message();
  return source.ok() ? std::move(source).value() : nullptr;
}

class OracleOnTransformers : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Goldens, OracleOnTransformers, testing::ValuesIn(kGoldenFamilies),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(OracleOnTransformers, EveryLogitOfDenseAttentionAgreesFromEitherFormat) {
  const std::string name = GetParam();
  RILL_NEED_SHARED("goldens/" + name);
  const std::string directory = shared_path("goldens/" + name);
  const auto golden = Golden::load(directory + "/golden.safetensors");
  ASSERT_TRUE(golden.ok()) << golden.status().message();
  for (const std::string& path : golden_sources(name)) {
    const auto source = open_model(path);
    ASSERT_NE(source, nullptr);
    const auto model = oracle::Network::load(*source);
    ASSERT_TRUE(model.ok()) << model.status().message();
    const auto rows = run(*model, {}, (*golden)["tokens"].tokens());
    ASSERT_EQ(rows.size(), 128U);
    for (std::size_t t = 0; t < rows.size(); ++t) {
      ASSERT_LE(largest_difference(rows[t], (*golden)["logits"].row(t)), kTolerance) << path << ", step " << t;
    }
  }
}

/// One run of the paper's code and the names under which its results are stored.
struct PaperRun {
  const char* name;  ///< of the stored logits
  oracle::Policy policy;
  const char* steps = nullptr;  ///< at which steps they are stored; nullptr: at each from the first
  const char* nll = nullptr;    ///< nullptr: none is stored
};
constexpr PaperRun kPaperRuns[] = {
    {.name = "dense", .policy = {}, .nll = "nll_dense"},
    {.name = "stream_4_28", .policy = {.sinks = 4, .window = 28}, .steps = "step_index", .nll = "nll_stream_4_28"},
    {.name = "stream_1_31", .policy = {.sinks = 1, .window = 31}, .steps = "step_index", .nll = "nll_stream_1_31"},
    {.name = "window_0_32", .policy = {.sinks = 0, .window = 32}, .steps = "step_index", .nll = "nll_window_0_32"},
    {.name = "stream_4_28_chunk24_first", .policy = {.sinks = 4, .window = 28}},
};

class OracleOnThePaper : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    directory_ = std::string("goldens/streaming/") + GetParam();
    RILL_NEED_SHARED(directory_);
    const auto source = open_model(shared_path(directory_));
    ASSERT_NE(source, nullptr);
    auto model = oracle::Network::load(*source);
    ASSERT_TRUE(model.ok()) << model.status().message();
    model_ = std::move(model).value();
    auto golden = Golden::load(shared_path(directory_) + "/golden.safetensors");
    ASSERT_TRUE(golden.ok()) << golden.status().message();
    golden_ = std::move(golden).value();
  }

  std::string directory_;
  oracle::Network model_;
  Golden golden_;
};
INSTANTIATE_TEST_SUITE_P(Goldens, OracleOnThePaper, testing::ValuesIn(kStreamingGoldens),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(OracleOnThePaper, EveryStoredLogitAndEveryNllAgrees) {
  const std::vector<Token> tokens = golden_["tokens"].tokens();
  for (const PaperRun& paper_run : kPaperRuns) {
    SCOPED_TRACE(paper_run.name);
    const GoldenTensor& logits = golden_[paper_run.name];
    const std::size_t steps = paper_run.steps == nullptr ? logits.shape[0] : tokens.size();
    const auto rows = run(model_, paper_run.policy, std::span(tokens).first(steps));
    for (std::size_t i = 0; i < logits.shape[0]; ++i) {
      const std::size_t t = paper_run.steps == nullptr ? i : golden_[paper_run.steps].tokens().at(i);
      ASSERT_LE(largest_difference(rows.at(t), logits.row(i)), kTolerance) << "step " << t;
    }
    if (paper_run.nll == nullptr) continue;
    const GoldenTensor& nll = golden_[paper_run.nll];
    ASSERT_GE(nll.floats.size(), 127U);
    for (std::size_t t = 0; t < nll.floats.size() && t < rows.size(); ++t) {
      ASSERT_NEAR(nll_nats(rows.at(t), tokens.at(t + 1)), static_cast<double>(nll.floats[t]), kTolerance) << t;
    }
  }
}

TEST_P(OracleOnThePaper, AFreshRunOfTheLastThirtyThreeTokensIsItsRecomputation) {
  const std::vector<Token> tokens = golden_["tokens"].tokens();
  const std::vector<Token> steps = golden_["recompute_index"].tokens();
  const GoldenTensor& nll = golden_["nll_recompute_33"];
  ASSERT_GE(steps.size(), 62U);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto rows = run(model_, {}, std::span(tokens).subspan(steps[i] - 32, 33));
    ASSERT_LE(largest_difference(rows.back(), golden_["recompute_33"].row(i)), kTolerance) << "step " << steps[i];
    if (steps[i] - 32 >= nll.floats.size()) continue;
    ASSERT_NEAR(nll_nats(rows.back(), tokens[steps[i] + 1]), static_cast<double>(nll.floats[steps[i] - 32]),
                kTolerance);
  }
}

/// The pieces of a llama2.c vocabulary: the longest piece's length, then for each a score, a length and its bytes.
std::vector<std::string> read_pieces(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::int32_t number = 0;
  float score = 0;
  const auto read = [&](auto& value) -> bool {
    return static_cast<bool>(in.read(reinterpret_cast<char*>(&value), sizeof value));
  };
  std::vector<std::string> pieces;
  if (!read(number)) return pieces;
  while (read(score) && read(number)) {
    std::string piece(static_cast<std::size_t>(number), '\0');
    in.read(piece.data(), number);
    pieces.push_back(piece == "<0x0A>" ? "\n" : piece);
  }
  return pieces;
}

TEST(OracleOnATrainedModel, TellsTheStoryThatTheFloat32ReferenceTells) {
  const std::string folder = "models/stories260K";
  RILL_NEED_SHARED(folder);
  const auto source = open_model(shared_path(folder) + "/stories260K.bin");
  ASSERT_NE(source, nullptr);
  const auto model = oracle::Network::load(*source);
  ASSERT_TRUE(model.ok()) << model.status().message();
  const std::vector<std::string> pieces = read_pieces(shared_path(folder) + "/tok512.bin");
  ASSERT_EQ(pieces.size(), 512U);

  oracle::PaperCache cache;
  std::string told;
  Token token = 1;  // the beginning of a text
  for (int step = 0; step < 200; ++step) {
    const std::vector<double> logits = model->step(token, cache);
    token = static_cast<Token>(std::ranges::max_element(logits) - logits.begin());
    told += pieces[token];
  }
  std::ifstream in(RILL_TEST_DATA_DIR "/stories260K-greedy.txt", std::ios::binary);
  const std::string expected((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  EXPECT_EQ(told, " " + expected);  // the first piece brings a space that is not part of the text
}

TEST(PaperCache, KeepsTheSinksAndTheWindowAndEvictsAfterTheStep) {
  oracle::PaperCache cache({.sinks = 2, .window = 3});
  for (int t = 0; t < 9; ++t) cache.commit({{.key = {static_cast<double>(t)}, .value = {}}});
  ASSERT_EQ(cache.size(), 5U);
  std::vector<double> kept;
  for (const auto& entry : cache.layer(0)) kept.push_back(entry.key[0]);
  EXPECT_EQ(kept, (std::vector<double>{0, 1, 6, 7, 8}));
}

}  // namespace
}  // namespace rill
