// Hugging Face directories: what the goldens and directories made by hand become, and what is refused, by which name.

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "quant/huggingface_importer.h"
#include "tests/support/huggingface_directory.h"
#include "tests/support/shared_data.h"

namespace rill::quant {
namespace {

using nlohmann::json;

TEST(HuggingfaceImporter, ReadsConfigurationAndTensors) {
  const HuggingfaceDirectory directory;
  const auto model = opened(directory);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->family(), "llama");
  EXPECT_EQ(
      model->config(),
      (ModelConfig{
          .hidden = 8, .layers = 1, .heads = 2, .kv_heads = 1, .head_size = 4, .mlp_width = 12, .vocabulary = 5}));
  EXPECT_EQ(model->tokenizer().kind, SourceTokenizer::Kind::kNone);
  EXPECT_EQ(model->chat_template().jinja, "");
  const SourceTensor* key = model->find("model.layers.0.self_attn.k_proj.weight");
  ASSERT_NE(key, nullptr);
  EXPECT_EQ(key->rows, 4U);
  EXPECT_EQ(key->columns, 8U);
  std::vector<float> rows(16);
  ASSERT_TRUE(model->read_rows(*key, 2, 2, rows).ok());
  EXPECT_EQ(rows.front(), 16.0F);
  EXPECT_EQ(rows.back(), 31.0F);
  EXPECT_FALSE(model->read_rows(*key, 3, 2, rows).ok());
  EXPECT_FALSE(model->read_rows(*key, ~std::uint64_t{0}, 2, rows).ok());
  EXPECT_FALSE(model->read_rows(*key, 0, 1, rows).ok());
  const SourceTensor* norm = model->find("model.norm.weight");
  ASSERT_NE(norm, nullptr);
  EXPECT_EQ(norm->rows, 1U);
  EXPECT_EQ(norm->columns, 8U);
}

TEST(HuggingfaceImporter, FillsInWhatLlamaLeavesOut) {
  const HuggingfaceDirectory directory;
  directory.configure({{"num_key_value_heads", nullptr}, {"rms_norm_eps", nullptr}, {"rope_theta", nullptr}});
  std::vector<TensorToWrite> tensors = small_tensors();
  tensors[5].shape = tensors[6].shape = {8, 8};  // as many KV heads as heads
  directory.write("model.safetensors", weights(tensors));
  const auto model = opened(directory);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->config().kv_heads, 2U);
  EXPECT_EQ(model->config().norm_epsilon, 1e-6);
  EXPECT_EQ(model->config().rope_theta, 10000.0);
  EXPECT_EQ(model->config().tied_head, 0U);
}

TEST(HuggingfaceImporter, TakesAHeadSizeThatIsNotHiddenOverHeads) {
  const HuggingfaceDirectory directory;
  directory.configure({{"head_dim", 6}});
  std::vector<TensorToWrite> tensors = small_tensors();
  tensors[4].shape = {12, 8};
  tensors[5].shape = tensors[6].shape = {6, 8};
  tensors[7].shape = {8, 12};
  directory.write("model.safetensors", weights(tensors));
  const auto model = opened(directory);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->config().head_size, 6U);
  EXPECT_EQ(model->rope_turns().size(), 3U);
}

TEST(HuggingfaceImporter, IgnoresTheHeadOfATiedModelAndDerivedTables) {
  const HuggingfaceDirectory directory;
  directory.configure({{"tie_word_embeddings", true}});
  std::vector<TensorToWrite> tensors = small_tensors();
  tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", {2}});
  directory.write("model.safetensors", weights(tensors));
  const auto model = opened(directory);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->config().tied_head, 1U);
  EXPECT_EQ(model->find("lm_head.weight"), nullptr);
  EXPECT_EQ(model->find("model.layers.0.self_attn.rotary_emb.inv_freq"), nullptr);
}

/// transformers 5 does not tie what differs; the file's head was dropped.
TEST(HuggingfaceImporter, TakesAHeadThatIsNotTheEmbeddingInATiedModelAsWell) {
  const HuggingfaceDirectory directory;
  directory.configure({{"tie_word_embeddings", true}});
  std::vector<TensorToWrite> tensors = small_tensors();
  for (const float first : {0.0F, 1.0F}) {
    tensors[1] = {.name = "lm_head.weight", .shape = {5, 8}, .dtype = "BF16", .first = first};
    directory.write("model.safetensors", weights(tensors));
    const auto model = opened(directory);
    ASSERT_NE(model, nullptr);
    EXPECT_EQ(model->config().tied_head, first == 0 ? 1U : 0U) << "the same numbers are tied, whatever their type";
    EXPECT_EQ(model->find("lm_head.weight") == nullptr, first == 0);
  }
}

TEST(HuggingfaceImporter, ReadsBfloat16) {
  const HuggingfaceDirectory directory;
  std::vector<TensorToWrite> tensors = small_tensors();
  for (TensorToWrite& tensor : tensors) tensor.dtype = "BF16";
  directory.write("model.safetensors", weights(tensors));
  const auto model = opened(directory);
  ASSERT_NE(model, nullptr);
  std::vector<float> row(8);
  ASSERT_TRUE(model->read_rows(*model->find("lm_head.weight"), 4, 1, row).ok());
  EXPECT_EQ(row, (std::vector<float>{32, 33, 34, 35, 36, 37, 38, 39}));
}

// Turns per position: theta^(-2 i / d) / 2 pi, here with d = 4.
TEST(HuggingfaceImporter, ReadsBothFormsOfTheRopeConfiguration) {
  const HuggingfaceDirectory directory;
  const json forms[] = {
      {{"rope_theta", 400.0}, {"rope_scaling", {{"type", "linear"}, {"factor", 2}}}},
      {{"rope_theta", 400.0}, {"rope_scaling", {{"rope_type", "linear"}, {"type", "ignored"}, {"factor", 2.0}}}},
      {{"rope_theta", nullptr}, {"rope_parameters", {{"rope_theta", 400.0}, {"rope_type", "linear"}, {"factor", 2.0}}}},
  };
  for (const json& form : forms) {
    directory.configure(form);
    const auto model = opened(directory);
    ASSERT_NE(model, nullptr) << form;
    EXPECT_EQ(model->config().rope_theta, 400.0) << form;
    const std::vector<double> turns = model->rope_turns();
    ASSERT_EQ(turns.size(), 2U);
    EXPECT_DOUBLE_EQ(turns[0], 1.0 / (2.0 * std::numbers::pi) / 2.0) << form;
    EXPECT_DOUBLE_EQ(turns[1], 1.0 / 20.0 / (2.0 * std::numbers::pi) / 2.0) << form;
  }
}

TEST(HuggingfaceImporter, ReadsHowTheMakersSampleAndEveryEndToken) {
  const HuggingfaceDirectory directory;
  directory.write("generation_config.json",
                  R"({"do_sample": true, "temperature": 0.6, "top_p": 0.9, "top_k": 50, "min_p": 0.05,
                      "repetition_penalty": 1.1, "eos_token_id": [2, 3]})");
  auto model = opened(directory);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->config().temperature, 0.6);
  EXPECT_EQ(model->config().top_p, 0.9);
  EXPECT_EQ(model->config().top_k, 50U);
  EXPECT_EQ(model->config().min_p, 0.05);
  EXPECT_EQ(model->config().repeat_penalty, 1.1);
  directory.write("generation_config.json",
                  R"({"temperature": 0.6, "repetition_penalty": 1.2})");  // do_sample is false where absent
  model = opened(directory);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->config().temperature, 0.7);
  EXPECT_EQ(model->config().repeat_penalty, 1.2) << "of greedy texts as well";
  directory.write("generation_config.json", R"({"do_sample": true, "top_p": 1.5})");
  directory.expect_refused("generation_config.json, key top_p: 1.5");
  directory.write("generation_config.json", R"({"eos_token_id": [2, true]})");
  directory.expect_refused("key eos_token_id: true, expected token ids");
}

// As transformers saves a GPT-2 of a small vocabulary: with its class's 50256; others have -1.
TEST(HuggingfaceImporter, LeavesOutTokensThatTheVocabularyHasNot) {
  const HuggingfaceDirectory directory;
  directory.configure({{"bos_token_id", -1}, {"eos_token_id", {50256, 2}}});
  const auto model = opened(directory);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->tokenizer().beginning_of_text, kNoToken);
}

// The magnitudes are those of transformers 4.57, _compute_yarn_parameters.
TEST(HuggingfaceImporter, ReadsTheScalesOfYarnsTemperature) {
  const HuggingfaceDirectory directory;
  const auto magnitude = [&](const json& more) {
    json scaling = {{"rope_type", "yarn"}, {"factor", 4.0}};
    scaling.merge_patch(more);
    directory.configure({{"max_position_embeddings", 64}, {"rope_scaling", scaling}});
    const auto model = opened(directory);
    return model == nullptr ? 0.0 : std::sqrt(model->config().attention_scale * 2);  // a head of 4: 1/2 without
  };
  EXPECT_DOUBLE_EQ(magnitude({{"mscale", 1.0}, {"mscale_all_dim", 0.5}}), 1.0648216253695715);
  EXPECT_DOUBLE_EQ(magnitude({{"mscale", 0.7}}), 1.138629436111989);
  EXPECT_DOUBLE_EQ(magnitude({{"mscale", 0.707}, {"mscale_all_dim", 0.0}}), 1.138629436111989);
  EXPECT_DOUBLE_EQ(magnitude(json::object()), 1.138629436111989) << "the original context is max_position_embeddings";
}

TEST(HuggingfaceImporter, RefusesAConfigurationThatIsNoJsonObject) {
  const HuggingfaceDirectory directory;
  for (const auto& [bytes, says] : {std::pair("", "config.json: not JSON at byte 1"),
                                    {"[1]", "a JSON array"},
                                    {R"({"model_type": "llama")", "not JSON at byte"},
                                    {R"({"vocab_size": 5, "vocab_size": 6})", "\"vocab_size\" stands twice"}}) {
    directory.write("config.json", bytes);
    directory.expect_refused(says);
  }
  directory.write("config.json", "{\"a\":" + std::string(100000, '['));
  directory.expect_refused("at most 16 levels");
  directory.remove("config.json");
  const auto model = directory.open();
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().code(), Code::kBadInput);
}

TEST(HuggingfaceImporter, RefusesATensorThatIsMissing) {
  const HuggingfaceDirectory directory;
  for (std::size_t i = 0; i < small_tensors().size(); ++i) {
    std::vector<TensorToWrite> tensors = small_tensors();
    const std::string name = tensors[i].name;
    tensors.erase(tensors.begin() + static_cast<std::ptrdiff_t>(i));
    directory.write("model.safetensors", weights(tensors));
    directory.expect_refused("tensor " + name + ": missing");
  }
}

TEST(HuggingfaceImporter, RefusesATensorOfAnotherShapeOrType) {
  const HuggingfaceDirectory directory;
  for (std::size_t i = 0; i < small_tensors().size(); ++i) {
    std::vector<TensorToWrite> tensors = small_tensors();
    ++tensors[i].shape.back();
    directory.write("model.safetensors", weights(tensors));
    directory.expect_refused("tensor " + tensors[i].name + " at offset ");
    tensors = small_tensors();
    tensors[i].shape = {};
    directory.write("model.safetensors", weights(tensors));
    directory.expect_refused("[], expected [");
    tensors = small_tensors();
    tensors[i].dtype = "I8";
    directory.write("model.safetensors", weights(tensors));
    directory.expect_refused("elements of I8");
  }
}

TEST(HuggingfaceImporter, RefusesATensorThatTheNetworkWouldLeaveOut) {
  const HuggingfaceDirectory directory;
  for (const char* name : {"model.layers.0.self_attn.q_proj.bias", "model.layers.1.input_layernorm.weight",
                           "model.layers.0.self_attn.q_norm.weight"}) {
    std::vector<TensorToWrite> tensors = small_tensors();
    tensors.push_back({name, {8}});
    directory.write("model.safetensors", weights(tensors));
    directory.expect_refused("not a part of the llama network");
  }
}

TEST(HuggingfaceImporter, RefusesAVectorInThePlaceOfATransposedMatrix) {
  const HuggingfaceDirectory directory;
  directory.configure({{"model_type", "gpt2"}, {"n_inner", 1}, {"intermediate_size", nullptr}, {"n_positions", 4}});
  const auto tensor = [](const char* name, std::vector<std::uint64_t> shape) { return TensorToWrite{name, shape}; };
  std::vector<TensorToWrite> tensors = {tensor("wte.weight", {5, 8}),
                                        tensor("wpe.weight", {4, 8}),
                                        tensor("ln_f.weight", {8}),
                                        tensor("ln_f.bias", {8}),
                                        tensor("h.0.ln_1.weight", {8}),
                                        tensor("h.0.ln_1.bias", {8}),
                                        tensor("h.0.attn.c_attn.weight", {8, 16}),
                                        tensor("h.0.attn.c_attn.bias", {16}),
                                        tensor("h.0.attn.c_proj.weight", {8, 8}),
                                        tensor("h.0.attn.c_proj.bias", {8}),
                                        tensor("h.0.ln_2.weight", {8}),
                                        tensor("h.0.ln_2.bias", {8}),
                                        tensor("h.0.mlp.c_fc.weight", {8}),  // must be [8, 1]
                                        tensor("h.0.mlp.c_fc.bias", {1}),
                                        tensor("h.0.mlp.c_proj.weight", {1, 8}),
                                        tensor("h.0.mlp.c_proj.bias", {8})};
  directory.write("model.safetensors", weights(tensors));
  directory.expect_refused("[8], expected [8, 1]");
  tensors[12].shape = {8, 1};
  directory.write("model.safetensors", weights(tensors));
  EXPECT_NE(opened(directory), nullptr);
  for (TensorToWrite& each : tensors) each.name = "transformer." + each.name;  // as transformers itself writes them
  directory.write("model.safetensors", weights(tensors));
  EXPECT_NE(opened(directory), nullptr);
}

/// The small model in two shards, and its index.
struct Sharded {
  HuggingfaceDirectory directory;
  json index;

  Sharded() {
    std::vector<TensorToWrite> tensors = small_tensors();
    const std::vector<TensorToWrite> second(tensors.begin() + 6, tensors.end());
    tensors.resize(6);
    for (const TensorToWrite& tensor : tensors) index["weight_map"][tensor.name] = "a.safetensors";
    for (const TensorToWrite& tensor : second) index["weight_map"][tensor.name] = "b.safetensors";
    directory.remove("model.safetensors");
    directory.write("a.safetensors", weights(tensors));
    directory.write("b.safetensors", weights(second));
    directory.write("model.safetensors.index.json", index.dump());
  }
};

TEST(HuggingfaceImporter, ReadsShards) {
  const Sharded sharded;
  const auto model = opened(sharded.directory);
  ASSERT_NE(model, nullptr);
  std::vector<float> row(12);
  ASSERT_TRUE(model->read_rows(*model->find("model.layers.0.mlp.down_proj.weight"), 1, 1, row).ok());
  EXPECT_EQ(row.front(), 12.0F);
}

TEST(HuggingfaceImporter, RefusesAnIndexThatLeadsElsewhere) {
  const Sharded sharded;
  const char* const names[] = {
      "../a.safetensors", "/etc/a.safetensors", "x/a.safetensors", "x\\a.safetensors", "..", "",
      ".safetensors",     "..safetensors",      "config.json",     "a.safetensors\n"};
  for (const char* name : names) {
    json index = sharded.index;
    index["weight_map"]["lm_head.weight"] = name;
    sharded.directory.write("model.safetensors.index.json", index.dump());
    sharded.directory.expect_refused("tensor lm_head.weight: the file ");
  }
  json index = sharded.index;
  index["weight_map"]["lm_head.weight"] = std::string("a.safetensors\0.safetensors", 26);
  sharded.directory.write("model.safetensors.index.json", index.dump());
  sharded.directory.expect_refused("tensor lm_head.weight: the file ");
}

TEST(HuggingfaceImporter, RefusesAnIndexThatIsWrong) {
  const Sharded sharded;
  const auto refused = [&](const json& patch, const char* says) {
    json index = sharded.index;
    index.merge_patch(patch);
    sharded.directory.write("model.safetensors.index.json", index.dump());
    sharded.directory.expect_refused(says);
  };
  refused({{"weight_map", nullptr}}, "key weight_map: absent");
  refused({{"weight_map", 3}}, "key weight_map: of another kind");
  refused({{"weight_map", {{"lm_head.weight", 3}}}}, "tensor lm_head.weight: the file \"\"");
  refused({{"weight_map", {{"lm_head.weight", "b.safetensors"}}}}, "tensor lm_head.weight: not in b.safetensors");
  refused({{"weight_map", {{"lm_head.weight", "c.safetensors"}}}},
          "tensor lm_head.weight: its file c.safetensors is not there");
  refused({{"weight_map", {{"lm_head.weight", nullptr}}}}, "tensor lm_head.weight: missing");
  sharded.directory.remove("model.safetensors.index.json");
  sharded.directory.expect_refused("no weights, expected model.safetensors or model.safetensors.index.json");
}

struct GoldenModel {
  const char* directory;
  ModelConfig config;  // as the directory's config.json has it, read by eye
};
constexpr ModelConfig kGoldenConfig = {.hidden = 64,
                                       .layers = 2,
                                       .heads = 4,
                                       .kv_heads = 2,
                                       .head_size = 16,
                                       .mlp_width = 160,
                                       .vocabulary = 320,
                                       .context_length = 512};
constexpr ModelConfig with(ModelConfig config, std::uint32_t kv_heads, std::uint32_t context, std::uint32_t tied) {
  config.kv_heads = kv_heads;
  config.context_length = context;
  config.tied_head = tied;
  return config;
}
constexpr GoldenModel kGoldenModels[] = {
    {"goldens/llama", kGoldenConfig},
    {"goldens/llama3", with(kGoldenConfig, 2, 1024, 1)},
    {"goldens/streaming/llama_mha", with(kGoldenConfig, 4, 512, 0)},
    {"goldens/streaming/llama_gqa", kGoldenConfig},
};

TEST(HuggingfaceImporter, OpensTheGoldenModels) {
  for (const GoldenModel& golden : kGoldenModels) {
    RILL_NEED_SHARED(golden.directory);
    const auto model = open_huggingface_model(shared_path(golden.directory), "");
    ASSERT_TRUE(model.ok()) << model.status().message();
    EXPECT_EQ((*model)->config(), golden.config) << golden.directory;
    EXPECT_EQ((*model)->tokenizer().kind, SourceTokenizer::Kind::kNone);
    EXPECT_EQ((*model)->find("lm_head.weight") == nullptr, golden.config.tied_head == 1) << golden.directory;
    const SourceTensor* key = (*model)->find("model.layers.1.self_attn.k_proj.weight");
    ASSERT_NE(key, nullptr);
    EXPECT_EQ(key->rows, golden.config.kv_heads * 16U);
    EXPECT_EQ(key->columns, 64U);
  }
}

TEST(HuggingfaceImporter, BendsTheThreeBandsAsTransformersDoes) {
  RILL_NEED_SHARED("goldens/llama3");
  const auto model = open_huggingface_model(shared_path("goldens/llama3"), "");
  ASSERT_TRUE(model.ok()) << model.status().message();
  // From transformers' own formula, which compares wavelengths, in Python: factor 8, bands 1 and 4, context 64, d 16.
  const double expected[] = {0.15915494309189535,   0.038895017015676464,  0.0020757395184441744,
                             0.000629115151306088,  0.0001989436788648692, 6.291151513060879e-05,
                             1.989436788648692e-05, 6.291151513060879e-06};
  const std::vector<double> turns = (*model)->rope_turns();
  ASSERT_EQ(turns.size(), 8U);
  for (std::size_t i = 0; i < turns.size(); ++i) EXPECT_NEAR(turns[i] / expected[i], 1.0, 1e-14) << i;
}

}  // namespace
}  // namespace rill::quant
