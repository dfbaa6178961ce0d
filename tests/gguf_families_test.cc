// Families whose goldens have no GGUF file: the golden directory rewritten as llama.cpp's converter would (names, keys,
// permuted queries and keys, gains plus one), then imported. Every tensor must come out as it does from the directory.

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "core/model_tensors.h"
#include "quant/fused_rows.h"
#include "quant/gguf_importer.h"
#include "tests/gguf_builder.h"
#include "tests/support/shared_data.h"

namespace rill::quant {
namespace {

/// What the converter does to a tensor.
enum class Change : std::uint8_t { kNone, kPermutedHeads, kPlusOne };

struct Renamed {
  const char* huggingface;
  const char* gguf;
  Change change = Change::kNone;
};

constexpr Renamed kSmolLm3[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight"},
    {"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight", Change::kPermutedHeads},
    {"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight", Change::kPermutedHeads},
    {"model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight"},
    {"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight"},
    {"model.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight"},
    {"model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight"},
    {"model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight"},
    {"model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight"},
};

constexpr Renamed kGemma3[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight", Change::kPlusOne},
    {"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight", Change::kPlusOne},
    {"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight"},
    {"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight"},
    {"model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight"},
    {"model.layers.{}.self_attn.q_norm.weight", "blk.{}.attn_q_norm.weight", Change::kPlusOne},
    {"model.layers.{}.self_attn.k_norm.weight", "blk.{}.attn_k_norm.weight", Change::kPlusOne},
    {"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight"},
    {"model.layers.{}.post_attention_layernorm.weight", "blk.{}.post_attention_norm.weight", Change::kPlusOne},
    {"model.layers.{}.pre_feedforward_layernorm.weight", "blk.{}.ffn_norm.weight", Change::kPlusOne},
    {"model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight"},
    {"model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight"},
    {"model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight"},
    {"model.layers.{}.post_feedforward_layernorm.weight", "blk.{}.post_ffw_norm.weight", Change::kPlusOne},
};

std::string spelt(std::string pattern, std::uint32_t layer) {
  if (const std::size_t at = pattern.find("{}"); at != std::string::npos) {
    pattern.replace(at, 2, std::to_string(layer));
  }
  return pattern;
}

std::vector<float> changed(std::vector<float> values, const SourceTensor& tensor, std::size_t head_size,
                           Change change) {
  if (change == Change::kPlusOne) {
    for (float& value : values) value += 1.0F;
  }
  if (change != Change::kPermutedHeads) return values;
  std::vector<float> permuted(values.size());
  for (std::size_t row = 0; row < tensor.rows; ++row) {  // halves to adjacent pairs
    const std::size_t in_head = row % head_size;
    const std::size_t half = head_size / 2;
    const std::size_t target = row - in_head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1);
    std::copy_n(values.data() + row * tensor.columns, tensor.columns, permuted.data() + target * tensor.columns);
  }
  return permuted;
}

/// The metadata that every architecture has.
GgufBuilder begin_file(const std::string& architecture, const ModelConfig& c) {
  GgufBuilder file;
  file.string("general.architecture", architecture);
  file.u32(architecture + ".block_count", c.layers);
  file.u32(architecture + ".embedding_length", c.hidden);
  file.u32(architecture + ".feed_forward_length", c.mlp_width);
  file.u32(architecture + ".attention.head_count", c.heads);
  file.u32(architecture + ".attention.head_count_kv", c.kv_heads);
  file.u32(architecture + ".attention.key_length", c.head_size);
  file.u32(architecture + ".attention.value_length", c.head_size);
  file.u32(architecture + ".context_length", c.context_length);
  file.f32(architecture + ".attention.layer_norm_rms_epsilon", static_cast<float>(c.norm_epsilon));
  file.f32(architecture + ".rope.freq_base", static_cast<float>(c.rope_theta));
  return file;
}

void add_tensors(GgufBuilder& file, const SourceModel& source, std::span<const Renamed> names) {
  for (const Renamed& name : names) {
    const bool is_per_layer = std::string_view(name.gguf).find("{}") != std::string_view::npos;
    for (std::uint32_t layer = 0; layer < (is_per_layer ? source.config().layers : 1); ++layer) {
      const SourceTensor* tensor = source.find(spelt(name.huggingface, layer));
      ASSERT_NE(tensor, nullptr) << name.huggingface;
      std::vector<float> values(tensor->rows * tensor->columns);
      ASSERT_TRUE(source.read_rows(*tensor, 0, tensor->rows, values).ok());
      std::vector<std::uint64_t> dimensions = {tensor->columns};
      if (tensor->rows > 1) dimensions.push_back(tensor->rows);
      file.tensor(spelt(name.gguf, layer), dimensions,
                  changed(std::move(values), *tensor, source.config().head_size, name.change));
    }
  }
}

/// Every tensor of a model, in Rill's order, from both sources.
void expect_same_tensors(const SourceModel& actual, const SourceModel& expected) {
  const auto compare = [&](const TensorSpec& spec) -> Status {
    if (spec.format == format::TensorFormat::kUint64) return {};
    RILL_ASSIGN(const FusedRows a, FusedRows::find(actual, spec));
    RILL_ASSIGN(const FusedRows e, FusedRows::find(expected, spec));
    std::vector<float> values(spec.rows * spec.columns);
    std::vector<float> wanted(values.size());
    RILL_TRY(a.read_all(values));
    RILL_TRY(e.read_all(wanted));
    EXPECT_EQ(values, wanted) << spec.pattern << ", layer " << spec.layer;
    return {};
  };
  const Status status = for_each_tensor(expected.config(), compare);
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST(GgufFamilies, SmolLm3HasPermutedHeadsAndEveryFourthLayerWithoutPositions) {
  RILL_NEED_SHARED("goldens/smollm3");
  const auto source = open_source_model(shared_path("goldens/smollm3"), "");
  ASSERT_TRUE(source.ok()) << source.status().message();
  GgufBuilder file = begin_file("smollm3", (*source)->config());
  add_tensors(file, **source, kSmolLm3);
  const std::vector<std::byte> bytes = file.build();
  const auto model = import_gguf(*GgufFile::parse(bytes, "a.gguf"));
  ASSERT_TRUE(model.ok()) << model.status().message();
  expect_same_tensors(**model, **source);
  const ModelConfig& c = (*model)->config();
  EXPECT_EQ(c.layer_period, 4U);
  for (std::uint32_t layer = 0; layer < 8; ++layer) EXPECT_EQ(c.rotates(layer), (layer + 1) % 4 != 0) << layer;
  EXPECT_EQ(c.tied_head, 1U);
  EXPECT_EQ((*model)->family(), "smollm3");
}

TEST(GgufFamilies, Gemma3HasItsGainsPlusOneAndFiveLocalLayersOfSix) {
  RILL_NEED_SHARED("goldens/gemma3");
  const auto source = open_source_model(shared_path("goldens/gemma3"), "");
  ASSERT_TRUE(source.ok()) << source.status().message();
  GgufBuilder file = begin_file("gemma3", (*source)->config());
  file.u32("gemma3.attention.sliding_window", 24);
  add_tensors(file, **source, kGemma3);
  const std::vector<std::byte> bytes = file.build();
  const auto model = import_gguf(*GgufFile::parse(bytes, "a.gguf"));
  ASSERT_TRUE(model.ok()) << model.status().message();
  expect_same_tensors(**model, **source);
  const ModelConfig& c = (*model)->config();
  for (std::uint32_t layer = 0; layer < 12; ++layer) EXPECT_EQ(c.is_local(layer), layer % 6 < 5) << layer;
  EXPECT_EQ(c.local_window, 23U);
  EXPECT_DOUBLE_EQ(c.embedding_scale, 8.0);                    // sqrt(64)
  EXPECT_DOUBLE_EQ(c.attention_scale, 1.0 / std::sqrt(32.0));  // llama.cpp scales by the head's size, but for 27B
  const std::vector<double> turns = (*model)->rope_turns();
  ASSERT_EQ(turns.size(), 32U);
  EXPECT_NEAR(turns[1] * 2 * std::numbers::pi, std::pow(1e6, -1.0 / 16), 1e-12) << "global";
  EXPECT_NEAR(turns[17] * 2 * std::numbers::pi, std::pow(1e4, -1.0 / 16), 1e-12) << "local";

  file.u32("gemma3.attention.sliding_window_pattern", 2);
  const std::vector<std::byte> other = file.build();
  const auto every_second = import_gguf(*GgufFile::parse(other, "a.gguf"));
  ASSERT_TRUE(every_second.ok()) << every_second.status().message();
  for (std::uint32_t layer = 0; layer < 12; ++layer) {
    EXPECT_EQ((*every_second)->config().is_local(layer), layer % 2 == 0) << layer;
  }
}

}  // namespace
}  // namespace rill::quant
