// Models as they are published: the tensors that their configurations imply have the published number of parameters,
// and a plan can be made of the configuration alone. Configurations and numbers were written down from knowledge, not
// read from the Hub; that they agree to the last parameter is what speaks for both.

#include <gtest/gtest.h>

#include <ostream>
#include <string>

#include "core/engine.h"
#include "core/model_tensors.h"
#include "quant/huggingface_config.h"

namespace rill {
namespace {

struct Published {
  const char* name;
  std::uint64_t parameters;  // as the model's page counts them
};
constexpr Published kPublished[] = {
    {"llama-2-7b", 6'738'415'616},  {"tinyllama-1.1b", 1'100'048'384},
    {"smollm2-360m", 361'821'120},  {"mistral-7b", 7'241'732'096},
    {"pythia-2.8b", 2'775'208'960}, {"falcon-7b", 6'921'720'704},
    {"mpt-7b", 6'649'286'656},      {"gpt2", 124'439'808},
    {"qwen2-0.5b", 494'032'768},    {"qwen3-0.6b", 596'049'920},
    {"smollm3-3b", 3'075'098'624},  {"gemma-3-1b", 999'885'952},
    {"phi-2", 2'779'683'840},       {"gpt-oss-20b", 20'914'757'184},
};
void PrintTo(const Published& model, std::ostream* out) { *out << model.name; }

class PublishedModels : public testing::TestWithParam<Published> {
 protected:
  static Result<quant::HuggingfaceConfig> read() {
    return quant::read_huggingface_config(RILL_TEST_DATA_DIR "/configs/" + std::string(GetParam().name) + ".json");
  }
};
INSTANTIATE_TEST_SUITE_P(Hub, PublishedModels, testing::ValuesIn(kPublished), [](const auto& test) {
  std::string name = test.param.name;
  for (char& c : name) {
    if (c == '-' || c == '.') c = '_';
  }
  return name;
});

TEST_P(PublishedModels, HaveTheParametersThatTheirMakersCount) {
  const auto config = read();
  ASSERT_TRUE(config.ok()) << config.status().message();
  std::uint64_t parameters = 0;
  const bool norms_without_bias = std::string(GetParam().name).starts_with("mpt");  // zeros in our file
  const auto count = [&](const TensorSpec& spec) -> Status {
    const bool is_computed = spec.pattern == format::kRopeTurns || spec.pattern == format::kAlibi;
    if (!is_computed && !(norms_without_bias && spec.is_bias)) parameters += spec.rows * spec.columns;
    return {};
  };
  ASSERT_TRUE(for_each_tensor(config->model, count).ok());
  EXPECT_EQ(parameters, GetParam().parameters);
}

TEST_P(PublishedModels, CanBePlannedBeforeAnyoneDownloadsThem) {
  const auto config = read();
  ASSERT_TRUE(config.ok()) << config.status().message();
  const auto outline = outline_of(config->model);
  ASSERT_TRUE(outline.ok()) << outline.status().message();
  const auto plan = plan_engine(*outline, {.policy = stream_policy(4, 508), .threads = 4});
  if (outline->weights_bytes > std::uint64_t{PTRDIFF_MAX}) {  // on 32 bits
    EXPECT_EQ(plan.status().code(), Code::kOverBudget);
    return;
  }
  ASSERT_TRUE(plan.ok()) << plan.status().message();
  // Weights are a byte each and a sixteenth for the scales of groups of 32; what is float32 (GPT-2's positions, norms,
  // biases) and padding make the rest.
  const auto weights = static_cast<double>(GetParam().parameters) * 17 / 16;
  EXPECT_NEAR(static_cast<double>(outline->weights_bytes) / weights, 1.0, 0.03);
  EXPECT_GT(plan->memory.total_bytes(), outline->weights_bytes);
}

/// Its standard evaluation runs over all 1,024 positions that it has learned.
TEST(LearnedPositions, AreEnoughForADenseCacheOfAllOfThem) {
  const auto config = quant::read_huggingface_config(RILL_TEST_DATA_DIR "/configs/gpt2.json");
  ASSERT_TRUE(config.ok());
  const auto outline = outline_of(config->model);
  ASSERT_TRUE(outline.ok());
  EXPECT_TRUE(plan_engine(*outline, {.policy = dense_policy(1024)}).ok());
  EXPECT_FALSE(plan_engine(*outline, {.policy = dense_policy(1025)}).ok());
  // Past a window there is the token itself.
  EXPECT_TRUE(plan_engine(*outline, {.policy = stream_policy(4, 1019)}).ok());
  EXPECT_FALSE(plan_engine(*outline, {.policy = stream_policy(4, 1020)}).ok());
  EXPECT_FALSE(plan_engine(*outline, {.policy = recompute_policy(1024)}).ok());
}

}  // namespace
}  // namespace rill
