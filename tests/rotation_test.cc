// `rill quantize --rotate`: the rotated network is the same network.

#include "quant/rotation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "core/config_section.h"
#include "tests/support/golden.h"
#include "tests/support/imported_model.h"
#include "tests/support/shared_data.h"
#include "tests/support/synthetic_model.h"

namespace rill::quant {
namespace {

std::vector<double> random_vector(std::size_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<double> x(n);
  for (double& value : x) value = normal(generator);
  return x;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

TEST(OrthogonalMap, KeepsEveryDotProductAndIsTakenBackByItsTranspose) {
  for (const std::size_t n : {1U, 5U, 12U, 64U, 80U, 576U, 4544U}) {
    const OrthogonalMap map(n);
    const std::vector<double> x = random_vector(n, 1);
    const std::vector<double> y = random_vector(n, 2);
    std::vector<double> turned_x = x;
    std::vector<double> turned_y = y;
    map.apply(turned_x);
    map.apply(turned_y);
    EXPECT_NEAR(dot(turned_x, turned_y), dot(x, y), 1e-9 * static_cast<double>(n)) << n;
    map.apply_transposed(turned_x);
    for (std::size_t i = 0; i < n; ++i) EXPECT_NEAR(turned_x[i], x[i], 1e-12 * static_cast<double>(n)) << n;
  }
}

TEST(OrthogonalMap, SpreadsWhatStandsOut) {
  std::vector<double> x(576, 0.0);
  x[100] = 1;
  const OrthogonalMap map(576);
  map.apply(x);
  for (const double value : x) EXPECT_LE(std::fabs(value), std::sqrt(2.0 / 576) + 1e-12);  // a cosine's peak
}

/// Families whose norms let them turn: biases, head norms, tied and untied heads, own windows, layers without
/// positions.
constexpr const char* kRotatable[] = {"llama", "llama3", "mistral", "qwen2", "qwen3", "smollm3"};

class Rotated : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Goldens, Rotated, testing::ValuesIn(kRotatable),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(Rotated, AgreesWithHuggingFaceAsTheUnrotatedModelDoes) {
  const std::string family = GetParam();
  RILL_NEED_SHARED("goldens/" + family);
  const Result<Golden> golden = Golden::load(shared_path("goldens/" + family) + "/golden.safetensors");
  ASSERT_TRUE(golden.ok());
  const ImportedModel model(shared_path("goldens/" + family), {}, "none", 32, /*is_rotated=*/true);
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model.file().config().head_transform, model.file().config().tied_head);
  EXPECT_GE(model.file().config().down_rotation, 16U);
  Result<Engine> engine = start(model.file(), {.policy = dense_policy(128), .chunk = 24});
  ASSERT_TRUE(engine.ok());
  const std::vector<float> logits = logits_of(*engine, (*golden)["tokens"].tokens());
  const double tolerance =
      nlohmann::json::parse(std::ifstream(shared_path("goldens/tolerances.json"))).at(family).get<double>();
  EXPECT_GE(worst_row_cosine(logits, (*golden)["logits"].floats, 320), tolerance);
}

TEST(Rotation, RefusesModelsThatDoNotStayTheSame) {
  const ModelConfig small = SyntheticModel::small_config();
  ModelConfig layer_norm = small;
  layer_norm.norm = NormKind::kLayer;
  ModelConfig around = small;
  around.norm_placement = NormPlacement::kAround;
  ModelConfig experts = small;
  experts.experts = 4;
  for (ModelConfig config : {layer_norm, around, experts}) {
    const SyntheticModel source(config);
    const Status status = Rotation::of(source, config).status();
    EXPECT_EQ(status.code(), Code::kUsage);
    EXPECT_NE(status.message().find("--rotate"), std::string_view::npos) << status.message();
  }
}

TEST(Rotation, AFileWithoutItsFieldsIsOneThatIsNotRotated) {
  ModelConfig config = SyntheticModel::small_config();
  const std::size_t fields = make_config_section(config).size();
  config.tied_head = 1;
  config.head_transform = 1;
  config.down_rotation = 16;
  const auto entries = make_config_section(config);
  EXPECT_EQ(entries.size(), fields + 2);
  const auto read = read_config_section(std::as_bytes(std::span(entries)), text("m.rill"));
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(*read, config);
  for (const std::uint32_t bad : {1U, 8U, 24U, 32U}) {  // no power of two from 16 that divides the width of 80
    config.down_rotation = bad;
    EXPECT_NE(validate(config, text("m.rill")).message().find("down_rotation"), std::string_view::npos) << bad;
  }
  config.down_rotation = 0;
  config.tied_head = 0;
  EXPECT_NE(validate(config, text("m.rill")).message().find("head_transform"), std::string_view::npos);
}

}  // namespace
}  // namespace rill::quant
