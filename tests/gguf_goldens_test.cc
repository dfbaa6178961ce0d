// GGUF files that others wrote, against what they were made from.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numbers>
#include <string>
#include <vector>

#include "quant/source_model.h"
#include "tests/support/real_model.h"
#include "tests/support/shared_data.h"

namespace rill::quant {
namespace {

/// A float32 tensor of a safetensors file, read with nothing of Rill.
std::vector<float> safetensor(const std::string& path, const std::string& name) {
  std::ifstream file(path, std::ios::binary);
  std::uint64_t header_bytes = 0;
  file.read(reinterpret_cast<char*>(&header_bytes), sizeof header_bytes);
  std::string header(header_bytes, '\0');
  file.read(header.data(), static_cast<std::streamsize>(header_bytes));
  const auto entry = nlohmann::json::parse(header).at(name);
  EXPECT_EQ(entry.at("dtype"), "F32") << name;
  const auto begin = entry.at("data_offsets").at(0).get<std::uint64_t>();
  const auto end = entry.at("data_offsets").at(1).get<std::uint64_t>();
  std::vector<float> values((end - begin) / sizeof(float));
  file.seekg(static_cast<std::streamoff>(sizeof header_bytes + header_bytes + begin));
  file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(end - begin));
  return values;
}

/// Undoes the permutation of the converter: in each head, row 2 i of the file is row i of Hugging Face's, row 2 i + 1
/// is row i + d / 2.
std::vector<float> from_adjacent_pairs(const std::vector<float>& rows, std::size_t head_size, std::size_t columns) {
  std::vector<float> out(rows.size());
  for (std::size_t row = 0; row < rows.size() / columns; ++row) {
    const std::size_t in_head = row % head_size;
    const std::size_t target = row - in_head + in_head / 2 + (in_head % 2) * (head_size / 2);
    std::memcpy(&out[target * columns], &rows[row * columns], columns * sizeof(float));
  }
  return out;
}

std::string huggingface_name(Part part, std::uint32_t layer) {
  const std::string prefix = "model.layers." + std::to_string(layer) + ".";
  switch (part) {
    case Part::kEmbedding:
      return "model.embed_tokens.weight";
    case Part::kHead:
      return "lm_head.weight";
    case Part::kFinalNorm:
      return "model.norm.weight";
    case Part::kAttentionNorm:
      return prefix + "input_layernorm.weight";
    case Part::kQuery:
      return prefix + "self_attn.q_proj.weight";
    case Part::kKey:
      return prefix + "self_attn.k_proj.weight";
    case Part::kValue:
      return prefix + "self_attn.v_proj.weight";
    case Part::kAttentionOut:
      return prefix + "self_attn.o_proj.weight";
    case Part::kMlpNorm:
      return prefix + "post_attention_layernorm.weight";
    case Part::kGate:
      return prefix + "mlp.gate_proj.weight";
    case Part::kUp:
      return prefix + "mlp.up_proj.weight";
    case Part::kDown:
      return prefix + "mlp.down_proj.weight";
    default:  // parts of other families
      return {};
  }
}

class GoldenGguf : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(folder())) GTEST_SKIP() << "no " << folder();
  }
  std::string folder() const { return RILL_SHARED_DIR "/goldens/" + GetParam() + "/"; }
  Result<std::unique_ptr<SourceModel>> open() const {
    return open_source_model(folder() + GetParam() + ".q8_0.gguf", "");
  }
};

INSTANTIATE_TEST_SUITE_P(Families, GoldenGguf, testing::Values("llama", "llama3"),
                         [](const auto& test) { return test.param; });

TEST_P(GoldenGguf, HasTheConfigurationOfItsConfigJson) {
  const auto opened = open();
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const ModelConfig& c = (*opened)->config();
  const auto json = nlohmann::json::parse(std::ifstream(folder() + "config.json"));
  EXPECT_EQ(c.hidden, json.at("hidden_size"));
  EXPECT_EQ(c.layers, json.at("num_hidden_layers"));
  EXPECT_EQ(c.heads, json.at("num_attention_heads"));
  EXPECT_EQ(c.kv_heads, json.at("num_key_value_heads"));
  EXPECT_EQ(c.head_size, c.hidden / c.heads);
  EXPECT_EQ(c.mlp_width, json.at("intermediate_size"));
  EXPECT_EQ(c.vocabulary, json.at("vocab_size"));
  EXPECT_EQ(c.context_length, json.at("max_position_embeddings"));
  EXPECT_EQ(c.tied_head == 1, json.at("tie_word_embeddings"));
  EXPECT_EQ(c.norm_epsilon, static_cast<double>(json.at("rms_norm_eps").get<float>()));  // the file has float32
  EXPECT_EQ(c.rope_theta, json.at("rope_theta"));
}

TEST_P(GoldenGguf, DequantisesBitForBitToItsSafetensors) {
  const auto opened = open();
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const SourceModel& model = **opened;
  std::size_t compared = 0;
  for (const TensorName& name : model.names()) {
    const std::size_t at = name.pattern.find("{}");
    for (std::uint32_t layer = 0; layer < (at == std::string_view::npos ? 1 : model.config().layers); ++layer) {
      std::string spelt(name.pattern);
      if (at != std::string_view::npos) spelt.replace(at, 2, std::to_string(layer));
      const SourceTensor* tensor = model.find(spelt);
      if (name.part == Part::kHead && model.config().tied_head == 1) {
        EXPECT_EQ(tensor, nullptr);
        continue;
      }
      ASSERT_NE(tensor, nullptr) << spelt;
      std::vector<float> actual(static_cast<std::size_t>(tensor->rows * tensor->columns));
      ASSERT_TRUE(model.read_rows(*tensor, 0, tensor->rows, actual).ok()) << spelt;
      if (name.rows == Rows::kAdjacentPairs) {
        actual = from_adjacent_pairs(actual, model.config().head_size, static_cast<std::size_t>(tensor->columns));
      }
      const auto expected = safetensor(folder() + "model.safetensors", huggingface_name(name.part, layer));
      ASSERT_EQ(actual.size(), expected.size()) << spelt;
      EXPECT_EQ(actual, expected) << spelt;
      ++compared;
    }
  }
  EXPECT_EQ(compared, 2U + 9U * model.config().layers + (model.config().tied_head == 1 ? 0U : 1U));
}

TEST_P(GoldenGguf, RopeTurnsFollowItsConfigJson) {
  const auto opened = open();
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const auto json = nlohmann::json::parse(std::ifstream(folder() + "config.json"));
  const auto scaling = json.value("rope_scaling", nlohmann::json());
  const auto turns = (*opened)->rope_turns();
  const double d = (*opened)->config().head_size;
  ASSERT_EQ(static_cast<double>(turns.size()), d / 2);
  for (std::size_t i = 0; i < turns.size(); ++i) {
    double expected = std::pow(json.at("rope_theta").get<double>(), -2.0 * static_cast<double>(i) / d);
    if (scaling.is_object()) {  // Llama 3's three bands, from the wavelength and the original context
      const double turns_in_context =
          scaling.at("original_max_position_embeddings").get<double>() * expected / (2.0 * std::numbers::pi);
      const double low = scaling.at("low_freq_factor");
      const double high = scaling.at("high_freq_factor");
      const double kept = std::clamp((turns_in_context - low) / (high - low), 0.0, 1.0);
      expected *= kept + (1.0 - kept) / scaling.at("factor").get<double>();
    }
    EXPECT_NEAR(turns[i] * 2.0 * std::numbers::pi / expected, 1.0, 1e-6) << i;  // divisors are float32
  }
}

TEST_P(GoldenGguf, HasItsSentencePieceVocabulary) {
  const auto opened = open();
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const SourceTokenizer& t = (*opened)->tokenizer();
  EXPECT_EQ(t.kind, SourceTokenizer::Kind::kSentencePiece);
  EXPECT_EQ(t.beginning_of_text, 1U);
  EXPECT_FALSE(t.adds_beginning_of_text);
  EXPECT_EQ(t.special, (std::vector<Token>{1, 2}));
  EXPECT_EQ(t.end_tokens, std::vector<Token>{2});
  EXPECT_FALSE(t.sentencepiece_proto.empty());
}

TEST_P(GoldenGguf, TakesATokenizerGivenBesideItInsteadOfItsOwn) {
  const std::string tokenizer = RILL_SHARED_DIR "/tokenizers/llama2/tokenizer.model";
  if (!std::filesystem::exists(tokenizer)) GTEST_SKIP() << "no " << tokenizer;
  const auto opened = open_source_model(folder() + GetParam() + ".q8_0.gguf", tokenizer);
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  EXPECT_EQ((*opened)->tokenizer().sentencepiece_proto.size(), std::filesystem::file_size(tokenizer));
  EXPECT_TRUE((*opened)->tokenizer().adds_beginning_of_text);
  const auto missing = open_source_model(folder() + GetParam() + ".q8_0.gguf", "/nonexistent/tokenizer.model");
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.status().message().find("/nonexistent/tokenizer.model"), std::string_view::npos);
}

TEST(SmolLm2Gguf, OpensWithTheConfigurationOfItsConfigJson) {
  RILL_NEED_REAL_GGUF();
  const auto opened = open_source_model(real_gguf(), "");
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const SourceModel& model = **opened;
  const ModelConfig& c = model.config();  // shared/tokenizers/smollm2/config.json
  EXPECT_EQ(std::vector<std::uint32_t>({c.hidden, c.layers, c.heads, c.kv_heads, c.head_size, c.mlp_width}),
            std::vector<std::uint32_t>({576, 30, 9, 3, 64, 1536}));
  EXPECT_EQ(c.vocabulary, 49152U);
  EXPECT_EQ(c.context_length, 8192U);
  EXPECT_EQ(c.tied_head, 1U);
  EXPECT_EQ(c.rope_theta, 100000.0);
  EXPECT_FLOAT_EQ(static_cast<float>(c.norm_epsilon), 1e-5F);
  EXPECT_EQ(model.bytes_in(), 98362432U);
  EXPECT_NE(model.chat_template().jinja.find("<|im_start|>"), std::string::npos);
  EXPECT_EQ(model.chat_template().bos_token, "<|im_start|>");
  EXPECT_EQ(model.chat_template().eos_token, "<|im_end|>");

  const SourceTokenizer& t = model.tokenizer();
  EXPECT_EQ(t.kind, SourceTokenizer::Kind::kByteLevelBpe);
  EXPECT_EQ(t.tokens.size(), 49152U);
  EXPECT_EQ(t.merges.size(), 48900U);
  EXPECT_EQ(t.special.size(), 17U);
  EXPECT_EQ(t.tokens[2], "<|im_end|>");
  EXPECT_EQ(t.tokens[49151], "ectable");
  EXPECT_EQ(t.tokens[t.merges[0].first], " ");
  EXPECT_EQ(t.tokens[t.merges[0].second], "t");
  EXPECT_EQ(t.beginning_of_text, 1U);
  EXPECT_FALSE(t.adds_beginning_of_text);
  EXPECT_EQ(t.end_tokens, (std::vector<Token>{0, 2}));

  // Every value is finite, and the embedding's scale is that of a trained one.
  double squares = 0;
  std::vector<float> row(576);
  for (std::uint64_t i = 0; i < 49152; i += 1000) {
    ASSERT_TRUE(model.read_rows(*model.find("token_embd.weight"), i, 1, row).ok());
    for (const float value : row) squares += static_cast<double>(value) * static_cast<double>(value);
  }
  EXPECT_GT(squares, 0.0);
  EXPECT_TRUE(std::isfinite(squares));
}

TEST(SmolLm2Gguf, HasTheMergesAndTokensOfItsTokenizerJson) {
  RILL_NEED_REAL_GGUF();
  RILL_NEED_SHARED("tokenizers/smollm2/tokenizer.json");
  const std::string json_path = shared_path("tokenizers/smollm2/tokenizer.json");
  const auto opened = open_source_model(real_gguf(), "");
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const SourceTokenizer& t = (*opened)->tokenizer();
  const auto json = nlohmann::json::parse(std::ifstream(json_path));
  const auto& vocabulary = json.at("model").at("vocab");
  const auto& merges = json.at("model").at("merges");
  ASSERT_EQ(t.merges.size(), merges.size());
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const auto merge = merges[i].get<std::string>();
    const std::size_t space = merge.find(' ');
    ASSERT_EQ(t.merges[i].first, vocabulary.at(merge.substr(0, space))) << merge;
    ASSERT_EQ(t.merges[i].second, vocabulary.at(merge.substr(space + 1))) << merge;
  }
  std::vector<Token> special;
  for (const auto& token : json.at("added_tokens")) special.push_back(token.at("id"));
  EXPECT_EQ(t.special, special);
}

}  // namespace
}  // namespace rill::quant
