#include "quant/gguf_importer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "tests/gguf_builder.h"

namespace rill::quant {
namespace {

/// Changes to the small model below, each named for the test that needs it.
struct Options {
  bool own_head = false;
  float head_begins_with = 1;  ///< 0: it is the embedding's copy
  std::string architecture = "llama";
  std::string without_tensor = {};
  std::string misshapen_tensor = {};
  std::string without_key = {};
};

std::vector<float> floats(std::size_t count, float first = 0) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = first + static_cast<float>(i);
  return values;
}

/// Hidden 8, 2 layers, 2 heads of 4, 1 KV head, MLP 12, 5 tokens, no tokenizer; every tensor counts 0, 1, 2, ...
GgufBuilder small_model(const Options& options = {}) {
  GgufBuilder file;
  file.string("general.architecture", options.architecture);
  const auto number = [&](const std::string& key, std::uint32_t value) {
    if (key != options.without_key) file.u32("llama." + key, value);
  };
  number("block_count", 2);
  number("embedding_length", 8);
  number("feed_forward_length", 12);
  number("attention.head_count", 2);
  number("attention.head_count_kv", 1);
  number("context_length", 64);
  if (options.without_key != "attention.layer_norm_rms_epsilon") {
    file.f32("llama.attention.layer_norm_rms_epsilon", 0.5F);
  }
  const auto tensor = [&](const std::string& name, std::uint64_t columns, std::uint64_t rows, float first = 0) {
    if (name == options.without_tensor) return;
    if (name == options.misshapen_tensor) ++rows;
    std::vector<std::uint64_t> dimensions = {columns};
    if (rows != 1) dimensions.push_back(rows);
    file.tensor(name, dimensions, floats(columns * rows, first));
  };
  tensor("token_embd.weight", 8, 5);
  for (const std::string block : {"blk.0.", "blk.1."}) {
    tensor(block + "attn_norm.weight", 8, 1);
    tensor(block + "attn_q.weight", 8, 8);
    tensor(block + "attn_k.weight", 8, 4);
    tensor(block + "attn_v.weight", 8, 4);
    tensor(block + "attn_output.weight", 8, 8);
    tensor(block + "ffn_norm.weight", 8, 1);
    tensor(block + "ffn_gate.weight", 8, 12);
    tensor(block + "ffn_up.weight", 8, 12);
    tensor(block + "ffn_down.weight", 12, 8);
  }
  tensor("output_norm.weight", 8, 1);
  if (options.own_head) tensor("output.weight", 8, 5, options.head_begins_with);
  return file;
}

/// A model over bytes that live as long as it.
struct Opened {
  std::vector<std::byte> bytes;
  Result<std::unique_ptr<SourceModel>> model;
};

Opened import(const GgufBuilder& builder) {
  Opened opened{.bytes = builder.build(), .model = Status()};
  auto file = GgufFile::parse(opened.bytes, "a.gguf");
  EXPECT_TRUE(file.ok()) << file.status().message();
  if (!file.ok()) return opened;
  opened.model = import_gguf(std::move(file).value());
  return opened;
}

void expect_refused(const GgufBuilder& builder, std::string_view part) {
  const Opened opened = import(builder);
  ASSERT_FALSE(opened.model.ok()) << part;
  EXPECT_EQ(opened.model.status().code(), Code::kBadInput);
  EXPECT_NE(opened.model.status().message().find(part), std::string_view::npos) << opened.model.status().message();
}

TEST(GgufImporter, ReadsTheConfigurationAndFillsInWhatFilesLeaveOut) {
  const Opened opened = import(small_model());
  ASSERT_TRUE(opened.model.ok()) << opened.model.status().message();
  const SourceModel& model = **opened.model;
  const ModelConfig& c = model.config();
  EXPECT_EQ(std::vector<std::uint32_t>({c.hidden, c.layers, c.heads, c.kv_heads, c.head_size, c.mlp_width}),
            std::vector<std::uint32_t>({8, 2, 2, 1, 4, 12}));
  EXPECT_EQ(c.vocabulary, 5U);
  EXPECT_EQ(c.context_length, 64U);
  EXPECT_EQ(c.tied_head, 1U);
  EXPECT_EQ(c.norm_epsilon, 0.5);
  EXPECT_EQ(c.rope_theta, 10000.0);
  EXPECT_EQ(model.family(), "llama");
  EXPECT_EQ(model.format(), "GGUF");
  EXPECT_EQ(model.bytes_in(), opened.bytes.size());
  EXPECT_EQ(model.tokenizer().kind, SourceTokenizer::Kind::kNone);
  EXPECT_EQ(model.chat_template().jinja, "");
}

TEST(GgufImporter, GivesRowsOfEveryTensor) {
  const Opened opened = import(small_model({.own_head = true}));
  ASSERT_TRUE(opened.model.ok()) << opened.model.status().message();
  const SourceModel& model = **opened.model;
  EXPECT_EQ(model.config().tied_head, 0U);
  const SourceTensor* down = model.find("blk.1.ffn_down.weight");
  ASSERT_NE(down, nullptr);
  EXPECT_EQ(down->rows, 8U);
  EXPECT_EQ(down->columns, 12U);
  std::vector<float> rows(24);
  ASSERT_TRUE(model.read_rows(*down, 3, 2, rows).ok());
  for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i], static_cast<float>(36 + i));
  EXPECT_NE(model.find("output.weight"), nullptr);
  EXPECT_EQ(model.find("blk.2.ffn_down.weight"), nullptr);

  EXPECT_FALSE(model.read_rows(*down, 7, 2, rows).ok());
  EXPECT_FALSE(model.read_rows(*down, ~0ULL, 2, rows).ok());
  EXPECT_FALSE(model.read_rows(*down, 0, 1, rows).ok());  // room for two
  EXPECT_FALSE(model.read_rows({.name = "other", .rows = 8, .columns = 0}, 0, 2, rows).ok());
}

TEST(GgufImporter, AFamilyThatIsNotKnownIsRefusedWithTheListOfThoseThatAre) {
  expect_refused(small_model({.architecture = "mamba"}),
                 "key general.architecture at offset 24: family mamba is not known, expected one of llama");
  expect_refused(GgufBuilder().u32("a", 1).tensor("t", {1}, {1}), "key general.architecture: the key is missing");
}

TEST(GgufImporter, AVocabularyWithoutTensorsAndAPartOfAModelAreNamedForWhatTheyAre) {
  expect_refused(GgufBuilder().string("general.architecture", "llama"), "a vocabulary without a single tensor");
  GgufBuilder part = small_model();
  part.key("split.count", 2, ByteWriter().put<std::uint16_t>(3));
  expect_refused(part, "one of 3 parts of a model");
}

TEST(GgufImporter, EveryMissingKeyAndTensorIsNamed) {
  for (const std::string key : {"block_count", "embedding_length", "feed_forward_length", "attention.head_count",
                                "attention.layer_norm_rms_epsilon"}) {
    expect_refused(small_model({.without_key = key}), "key llama." + key + ": the key is missing");
  }
  for (const std::string name :
       {"token_embd.weight", "output_norm.weight", "blk.0.attn_norm.weight", "blk.1.attn_q.weight",
        "blk.0.attn_k.weight", "blk.1.attn_v.weight", "blk.0.attn_output.weight", "blk.1.ffn_norm.weight",
        "blk.0.ffn_gate.weight", "blk.1.ffn_up.weight", "blk.0.ffn_down.weight"}) {
    expect_refused(small_model({.without_tensor = name}), "tensor " + name + ": missing");
    if (name == "token_embd.weight") continue;  // its rows are the vocabulary
    expect_refused(small_model({.misshapen_tensor = name}), "tensor " + name + " at offset");
  }
}

TEST(GgufImporter, ATensorThatTheFamilyLacksIsRefusedByName) {
  for (const std::string name : {"blk.0.attn_q.bias", "blk.1.ffn_gate_inp.weight", "blk.0.attn_q_norm.weight",
                                 "blk.2.attn_norm.weight", "rope_factors_long.weight"}) {
    GgufBuilder file = small_model();
    file.tensor(name, {8}, floats(8));
    expect_refused(file, "tensor " + name + " at offset");
  }
}

TEST(GgufImporter, HostileDimensionsAreSentences) {
  const std::string keys[] = {"block_count", "embedding_length", "feed_forward_length", "attention.head_count",
                              "attention.head_count_kv"};
  for (const std::string& key : keys) {
    for (const std::uint64_t value : {0ULL, 3ULL, 1025ULL, 65537ULL, 0xffffffffULL, 0x100000000ULL, ~0ULL}) {
      GgufBuilder file = small_model({.without_key = key});
      file.key("llama." + key, 10, ByteWriter().put<std::uint64_t>(value));
      expect_refused(file, "a.gguf, ");
    }
    GgufBuilder file = small_model({.without_key = key});
    file.string("llama." + key, "8");
    expect_refused(file, "key llama." + key + " at offset");
  }
  for (const std::string key : {"attention.key_length", "attention.value_length", "rope.dimension_count"}) {
    for (const std::uint32_t value : {0U, 3U, 5U, 0xffffffffU}) {
      GgufBuilder file = small_model();
      file.u32("llama." + key, value);
      expect_refused(file, "a.gguf, ");
    }
  }
  for (const float value : {-1.0F, 2.0F, std::nanf(""), INFINITY}) {
    GgufBuilder file = small_model({.without_key = "attention.layer_norm_rms_epsilon"});
    file.f32("llama.attention.layer_norm_rms_epsilon", value);
    expect_refused(file, "a.gguf, ");
  }
}

TEST(GgufImporter, AWindowOfTheModelsOwnCountsTheTokenItself) {
  GgufBuilder windowed = small_model();
  windowed.u32("llama.attention.sliding_window", 4096);
  const Opened opened = import(windowed);
  ASSERT_TRUE(opened.model.ok()) << opened.model.status().message();
  EXPECT_EQ((*opened.model)->config().local_window, 4095U);
  EXPECT_TRUE((*opened.model)->config().is_local(0));
  EXPECT_TRUE((*opened.model)->config().is_local(1));
}

TEST(GgufImporter, RopeTurnsAreThetaToTheMinus2iOverDOverTwoPi) {
  GgufBuilder file = small_model();
  file.f32("llama.rope.freq_base", 400.0F);
  const Opened opened = import(file);
  ASSERT_TRUE(opened.model.ok());
  const auto turns = (*opened.model)->rope_turns();
  ASSERT_EQ(turns.size(), 2U);
  EXPECT_DOUBLE_EQ(turns[0] * 2.0 * std::numbers::pi, 1.0);
  EXPECT_DOUBLE_EQ(turns[1] * 2.0 * std::numbers::pi, 1.0 / 20.0);
}

TEST(GgufImporter, LinearScalingAndDivisorsSlowTheRotation) {
  GgufBuilder linear = small_model();
  linear.string("llama.rope.scaling.type", "linear").f32("llama.rope.scaling.factor", 4.0F);
  const Opened scaled = import(linear);
  ASSERT_TRUE(scaled.model.ok()) << scaled.model.status().message();
  EXPECT_DOUBLE_EQ((*scaled.model)->rope_turns()[1] * 2.0 * std::numbers::pi, 0.01 / 4.0);

  GgufBuilder divided = small_model();
  divided.tensor("rope_freqs.weight", {2}, {1.0F, 8.0F});
  const Opened opened = import(divided);
  ASSERT_TRUE(opened.model.ok()) << opened.model.status().message();
  EXPECT_DOUBLE_EQ((*opened.model)->rope_turns()[0] * 2.0 * std::numbers::pi, 1.0);
  EXPECT_DOUBLE_EQ((*opened.model)->rope_turns()[1] * 2.0 * std::numbers::pi, 0.01 / 8.0);
  EXPECT_EQ((*opened.model)->find("rope_freqs.weight"), nullptr);  // is in the turns already
}

TEST(GgufImporter, AHeadThatIsTheEmbeddingsCopyIsTiedAndAnotherOneIsTaken) {
  for (const float begin : {0.0F, 1.0F}) {
    const Opened opened = import(small_model({.own_head = true, .head_begins_with = begin}));
    ASSERT_TRUE(opened.model.ok());
    EXPECT_EQ((*opened.model)->config().tied_head, begin == 0 ? 1U : 0U);
  }
}

TEST(GgufImporter, ARotationOfAPartOfEachHeadIsRefusedWhereTheConverterMixedItsHalves) {
  GgufBuilder file = small_model();
  file.u32("llama.rope.dimension_count", 2);
  expect_refused(file, "llama.rope.dimension_count");
}

TEST(GgufImporter, RefusesAModelThatSeesWhatComesAfter) {
  GgufBuilder file = small_model();
  file.boolean("llama.attention.causal", 0);
  expect_refused(file, "key llama.attention.causal");
}

TEST(GgufImporter, OtherRopeScalingIsRefusedByName) {
  GgufBuilder louder = small_model();
  louder.f32("llama.rope.scaling.attn_factor", 1.5F);
  expect_refused(louder, "llama.rope.scaling.attn_factor");
  GgufBuilder yarn = small_model();
  yarn.string("llama.rope.scaling.type", "yarn").f32("llama.rope.scaling.factor", 4.0F);
  expect_refused(yarn, "rope scaling yarn is not known");
  for (const float factor : {-1.0F, std::nanf(""), INFINITY}) {
    GgufBuilder linear = small_model();
    linear.string("llama.rope.scaling.type", "linear").f32("llama.rope.scaling.factor", factor);
    expect_refused(linear, "key llama.rope.scaling.factor at offset");
  }
  for (const float divisor : {0.0F, -1.0F, std::nanf(""), INFINITY}) {
    GgufBuilder divided = small_model();
    divided.tensor("rope_freqs.weight", {2}, {1.0F, divisor});
    expect_refused(divided, "element 1 is");
  }
  GgufBuilder longer = small_model();
  longer.tensor("rope_freqs.weight", {3}, {1, 1, 1});
  expect_refused(longer, "tensor rope_freqs.weight at offset");
}

/// Reads all that a model offers; the address sanitizer watches.
void read_everything(const SourceModel& model) {
  for (const TensorName& name : model.names()) {
    const SourceTensor* tensor = model.find(std::string(name.pattern));
    if (tensor == nullptr) continue;
    std::vector<float> out(static_cast<std::size_t>(tensor->rows * tensor->columns));
    EXPECT_TRUE(model.read_rows(*tensor, 0, tensor->rows, out).ok());
  }
  EXPECT_EQ(model.rope_turns().size(), model.config().head_size / 2);
}

TEST(GgufImporter, AnyByteBeforeTheDataMayBeAnythingWithoutACrash) {
  GgufBuilder builder = small_model();
  builder.string("tokenizer.ggml.model", "gpt2").strings("tokenizer.ggml.tokens", {"a", "b", "c", "ab", "</s>"});
  builder.numbers("tokenizer.ggml.token_type", 5, std::vector<std::int32_t>{1, 1, 1, 1, 3});
  builder.strings("tokenizer.ggml.merges", {"a b"}).u32("tokenizer.ggml.eos_token_id", 4);
  builder.f32("llama.rope.scaling.factor", 2.0F).string("tokenizer.chat_template", "a template");
  const auto whole = builder.build();
  const auto parsed = GgufFile::parse(whole, "a.gguf");
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  const auto data = static_cast<std::size_t>(parsed->tensors().front().offset);
  for (std::size_t at = 0; at < data; ++at) {
    for (const unsigned flip : {0x01U, 0x80U, 0xffU}) {
      auto bytes = whole;
      bytes[at] ^= static_cast<std::byte>(flip);
      auto file = GgufFile::parse(bytes, "a.gguf");
      if (!file.ok()) continue;  // gguf_file_test looks into these
      const auto model = import_gguf(std::move(file).value());
      if (model.ok()) {
        read_everything(**model);
      } else {
        EXPECT_EQ(model.status().code(), Code::kBadInput) << at;
      }
    }
  }
}

}  // namespace
}  // namespace rill::quant
