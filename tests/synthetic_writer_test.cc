// Models of random weights in published shapes.

#include "quant/synthetic_writer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <ostream>
#include <string>

#include "core/engine.h"
#include "core/model_tensors.h"
#include "tests/support/scratch_directory.h"

namespace rill {
namespace {

using quant::PublishedShape;

class EveryShape : public testing::TestWithParam<PublishedShape> {};
std::string name_of_test(const testing::TestParamInfo<PublishedShape>& test) {
  std::string name(test.param.name);
  for (char& c : name) {
    if (c == '-' || c == '.') c = '_';
  }
  return name;
}
INSTANTIATE_TEST_SUITE_P(Table, EveryShape,
                         testing::ValuesIn(quant::published_shapes().begin(), quant::published_shapes().end()),
                         name_of_test);

TEST_P(EveryShape, HasTheParametersThatItsMakersCount) {
  const ModelConfig config = GetParam().config();
  ASSERT_TRUE(validate(config, text(GetParam().name)).ok());
  std::uint64_t parameters = 0;
  const auto count = [&](const TensorSpec& spec) -> Status {
    if (spec.pattern != format::kRopeTurns) parameters += spec.rows * spec.columns;
    return {};
  };
  ASSERT_TRUE(for_each_tensor(config, count).ok());
  EXPECT_EQ(parameters, GetParam().parameters);
  EXPECT_EQ(GetParam().rope_turns().size(), config.rope_tables * config.rotated_size() / 2);
}

/// A shape as small as a test wants it, with rows and columns that need padding.
PublishedShape small_shape() {
  return {.name = "small",
          .family = "llama",
          .parameters = 0,
          .hidden = 48,
          .layers = 3,
          .heads = 4,
          .kv_heads = 2,
          .head_size = 12,
          .mlp_width = 80,
          .vocabulary = 50,
          .context_length = 64,
          .tied_head = 1};
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(SyntheticWriter, WritesAWholeModelWhoseLogitsAreFiniteAndNotAllTheSame) {
  const ScratchDirectory scratch;
  const PublishedShape shape = small_shape();
  const auto report = quant::write_synthetic_model(shape, shape.config(), scratch.file("a.rill"), {});
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->bytes_out, bytes_of(scratch.file("a.rill")).size());
  const auto model = ModelFile::open(scratch.file("a.rill"));
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_TRUE(model->verify().ok()) << model->verify().message();
  auto engine = Engine::start(*model, {.policy = stream_policy(2, 6), .threads = 1});
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  for (Token token = 0; token < 20; ++token) {
    const auto logits = engine->session(0).prefill({&token, 1});
    ASSERT_TRUE(logits.ok());
    for (const float logit : *logits) ASSERT_TRUE(std::isfinite(logit));
    EXPECT_NE((*logits)[0], (*logits)[1]);
  }
}

TEST(SyntheticWriter, WritesTheSameBytesEveryTime) {
  const ScratchDirectory scratch;
  const PublishedShape shape = small_shape();
  ASSERT_TRUE(quant::write_synthetic_model(shape, shape.config(), scratch.file("a.rill"), {}).ok());
  ASSERT_TRUE(quant::write_synthetic_model(shape, shape.config(), scratch.file("b.rill"), {}).ok());
  EXPECT_EQ(bytes_of(scratch.file("a.rill")), bytes_of(scratch.file("b.rill")));
}

TEST(SyntheticWriter, PadsWithZeros) {
  const ScratchDirectory scratch;
  const PublishedShape shape = small_shape();
  ASSERT_TRUE(quant::write_synthetic_model(shape, shape.config(), scratch.file("a.rill"), {}).ok());
  const auto model = ModelFile::open(scratch.file("a.rill"));
  ASSERT_TRUE(model.ok());
  const TensorView embedding = model->tensor(format::kEmbedding);  // [50, 48]: 64 rows of 64 with the padding
  const format::TileShape tiles = embedding.tiles();
  for (std::size_t row = 0; row < tiles.padded_rows(); ++row) {
    const std::byte* block = embedding.bytes.data() + row / format::kTileRows * tiles.block_bytes();
    for (std::size_t column = 0; column < tiles.padded_columns(); ++column) {
      if (row < tiles.rows && column < tiles.columns) continue;
      ASSERT_EQ(block[tiles.offset_in_block(row % format::kTileRows, column)], std::byte{0}) << row << ' ' << column;
    }
  }
}

TEST(PublishedShapes, AreFoundByNameAndAStrangerIsToldTheNames) {
  const auto found = quant::find_published_shape("smollm2-135m");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ((*found)->name, "SmolLM2-135M");
  const auto stranger = quant::find_published_shape("GPT-5");
  EXPECT_EQ(stranger.status().code(), Code::kUsage);
  for (const PublishedShape& shape : quant::published_shapes()) {
    EXPECT_NE(stranger.status().message().find(shape.name), std::string_view::npos) << stranger.status().message();
  }
}

}  // namespace
}  // namespace rill
