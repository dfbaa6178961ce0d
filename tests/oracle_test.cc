// The oracle against what others computed: Hugging Face transformers in float64 (goldens/llama, goldens/llama3) and the
// StreamingLLM paper's own code in float64 (goldens/streaming). Both READMEs ask a float path for 1e-4 of every logit.

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "quant/huggingface_importer.h"
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

std::unique_ptr<quant::SourceModel> open_model(const std::string& directory) {
  auto source = quant::open_huggingface_model(directory, "");
  EXPECT_TRUE(source.ok()) << source.status().message();
  return source.ok() ? std::move(source).value() : nullptr;
}

/// A model whose query and key rows lie in adjacent pairs, as those of llama2.c and GGUF do; else the one it wraps.
class InAdjacentPairs final : public quant::SourceModel {
 public:
  explicit InAdjacentPairs(const quant::SourceModel& model) : model_(model) {
    for (quant::TensorName name : model.names()) {
      const bool rotated = name.part == quant::Part::kQuery || name.part == quant::Part::kKey;
      if (rotated) name.rows = quant::Rows::kAdjacentPairs;
      names_.push_back(name);
    }
  }
  const ModelConfig& config() const override { return model_.config(); }
  std::string_view family() const override { return model_.family(); }
  std::string_view format() const override { return model_.format(); }
  std::uint64_t bytes_in() const override { return model_.bytes_in(); }
  std::span<const quant::TensorName> names() const override { return names_; }
  const quant::SourceTensor* find(std::string_view name) const override { return model_.find(name); }
  Status read_rows(const quant::SourceTensor& tensor, std::uint64_t first, std::uint64_t count,
                   std::span<float> out) const override {
    const bool rotated = tensor.name.ends_with("q_proj.weight") || tensor.name.ends_with("k_proj.weight");
    const std::uint64_t d = config().head_size;
    for (std::uint64_t row = first; row < first + count; ++row) {
      const std::uint64_t pair = row % d / 2;  // row 2 i of a head is row i of its halves, row 2 i + 1 is i + d/2
      const std::uint64_t from = rotated ? row - row % d + pair + row % 2 * (d / 2) : row;
      RILL_TRY(model_.read_rows(tensor, from, 1, out.subspan((row - first) * tensor.columns, tensor.columns)));
    }
    return {};
  }
  std::vector<double> rope_turns() const override { return model_.rope_turns(); }
  const quant::SourceTokenizer& tokenizer() const override { return model_.tokenizer(); }
  std::string_view jinja_chat_template() const override { return model_.jinja_chat_template(); }

 private:
  const quant::SourceModel& model_;
  std::vector<quant::TensorName> names_;
};

class OracleOnTransformers : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Goldens, OracleOnTransformers, testing::Values("llama", "llama3"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(OracleOnTransformers, EveryLogitOfDenseAttentionAgrees) {
  const std::string directory = std::string("goldens/") + GetParam();
  RILL_NEED_SHARED(directory);
  const auto source = open_model(shared_path(directory));
  ASSERT_NE(source, nullptr);
  const auto golden = Golden::load(shared_path(directory) + "/golden.safetensors");
  ASSERT_TRUE(golden.ok()) << golden.status().message();

  for (const bool in_pairs : {false, true}) {
    const InAdjacentPairs pairs(*source);
    const auto model = oracle::Llama::load(in_pairs ? static_cast<const quant::SourceModel&>(pairs) : *source);
    ASSERT_TRUE(model.ok()) << model.status().message();
    const auto rows = run(*model, {}, (*golden)["tokens"].tokens());
    ASSERT_EQ(rows.size(), 128U);
    for (std::size_t t = 0; t < rows.size(); ++t) {
      ASSERT_LE(largest_difference(rows[t], (*golden)["logits"].row(t)), kTolerance)
          << "step " << t << ", " << in_pairs;
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
