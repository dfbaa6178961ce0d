// The oracle against what others computed: Hugging Face transformers in float64 (goldens/llama, goldens/llama3), the
// StreamingLLM paper's own code in float64 (goldens/streaming), and llama2.c on a trained model. The goldens' READMEs
// ask a float path for 1e-4 of every logit.

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
#include "tests/support/oracle_llama.h"
#include "tests/support/shared_data.h"

namespace rill {
namespace {

constexpr double kTolerance = 1e-4;

/// What a model makes of a stream: [steps][vocabulary].
std::vector<std::vector<float>> run(const oracle::Llama& model, const oracle::Policy& policy,
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
INSTANTIATE_TEST_SUITE_P(Goldens, OracleOnTransformers, testing::Values("llama", "llama3"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(OracleOnTransformers, EveryLogitOfDenseAttentionAgrees) {
  const std::string name = GetParam();
  RILL_NEED_SHARED("goldens/" + name);
  const std::string directory = shared_path("goldens/" + name);
  const auto golden = Golden::load(directory + "/golden.safetensors");
  ASSERT_TRUE(golden.ok()) << golden.status().message();
  // The same weights twice: in halves, and as GGUF has them, queries and keys in adjacent pairs.
  for (const std::string& path : {directory, directory + "/" + name + ".q8_0.gguf"}) {
    const auto source = open_model(path);
    ASSERT_NE(source, nullptr);
    const auto model = oracle::Llama::load(*source);
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
  const char* steps;  ///< at which steps they are stored; nullptr: at each from the first
};
constexpr PaperRun kPaperRuns[] = {
    {.name = "dense", .policy = {}, .steps = nullptr},
    {.name = "stream_4_28", .policy = {.sinks = 4, .window = 28}, .steps = "step_index"},
    {.name = "stream_1_31", .policy = {.sinks = 1, .window = 31}, .steps = "step_index"},
    {.name = "window_0_32", .policy = {.sinks = 0, .window = 32}, .steps = "step_index"},
};

class OracleOnThePaper : public testing::TestWithParam<std::pair<const char*, PaperRun>> {};
std::vector<std::pair<const char*, PaperRun>> paper_cases() {
  std::vector<std::pair<const char*, PaperRun>> cases;
  for (const char* model : {"llama_mha", "llama_gqa"}) {
    for (const PaperRun& paper_run : kPaperRuns) cases.emplace_back(model, paper_run);
  }
  return cases;
}
void PrintTo(const PaperRun& paper_run, std::ostream* out) { *out << paper_run.name; }
INSTANTIATE_TEST_SUITE_P(Goldens, OracleOnThePaper, testing::ValuesIn(paper_cases()),
                         [](const auto& test) { return std::string(test.param.first) + "_" + test.param.second.name; });

TEST_P(OracleOnThePaper, EveryStoredLogitAndEveryNllAgrees) {
  const auto& [name, paper_run] = GetParam();
  const std::string directory = std::string("goldens/streaming/") + name;
  RILL_NEED_SHARED(directory);
  const auto source = open_model(shared_path(directory));
  ASSERT_NE(source, nullptr);
  const auto model = oracle::Llama::load(*source);
  ASSERT_TRUE(model.ok()) << model.status().message();
  const auto golden = Golden::load(shared_path(directory) + "/golden.safetensors");
  ASSERT_TRUE(golden.ok()) << golden.status().message();

  const std::vector<Token> tokens = (*golden)["tokens"].tokens();
  const GoldenTensor& nll = (*golden)[std::string("nll_") + paper_run.name];
  const GoldenTensor& logits = (*golden)[paper_run.name];
  ASSERT_GE(nll.floats.size(), 128U);
  ASSERT_GE(logits.shape[0], 70U);
  const std::size_t steps = paper_run.steps == nullptr ? logits.shape[0] : tokens.size();
  const auto rows = run(*model, paper_run.policy, std::span(tokens).first(steps));
  for (std::size_t t = 0; t < nll.floats.size(); ++t) {
    ASSERT_NEAR(nll_nats(rows.at(t), tokens.at(t + 1)), static_cast<double>(nll.floats[t]), kTolerance) << "step " << t;
  }
  for (std::size_t i = 0; i < logits.shape[0]; ++i) {
    const std::size_t t = paper_run.steps == nullptr ? i : (*golden)[paper_run.steps].tokens().at(i);
    ASSERT_LE(largest_difference(rows.at(t), logits.row(i)), kTolerance) << "step " << t;
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
  const auto model = oracle::Llama::load(*source);
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
