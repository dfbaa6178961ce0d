#include "quant/llama2c_importer.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

namespace rill::quant {
namespace {

using Header = std::array<std::int32_t, 7>;  // dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len

/// A checkpoint of `floats` values 0, 1, 2, ..., so that each value is its own index.
std::vector<std::byte> checkpoint(const Header& header, std::size_t floats) {
  std::vector<std::byte> bytes(sizeof header + floats * sizeof(float));
  std::memcpy(bytes.data(), header.data(), sizeof header);
  for (std::size_t i = 0; i < floats; ++i) {
    const auto value = static_cast<float>(i);
    std::memcpy(bytes.data() + sizeof header + i * sizeof value, &value, sizeof value);
  }
  return bytes;
}

// dim 8, hidden_dim 12, 2 layers, 2 heads of 4, 1 KV head, 5 tokens, 3 positions. Floats, by run.c's order:
constexpr Header kSmall = {8, 12, 2, 2, 1, 5, 3};
constexpr std::size_t kEmbedding = 0;           // 5 x 8
constexpr std::size_t kRmsAtt = 40;             // 2 x 8
constexpr std::size_t kWq = kRmsAtt + 16;       // 2 x 8 x 8
constexpr std::size_t kWk = kWq + 128;          // 2 x 4 x 8
constexpr std::size_t kWv = kWk + 64;           // 2 x 4 x 8
constexpr std::size_t kWo = kWv + 64;           // 2 x 8 x 8
constexpr std::size_t kRmsFfn = kWo + 128;      // 2 x 8
constexpr std::size_t kW1 = kRmsFfn + 16;       // 2 x 12 x 8
constexpr std::size_t kW2 = kW1 + 192;          // 2 x 8 x 12
constexpr std::size_t kW3 = kW2 + 192;          // 2 x 12 x 8
constexpr std::size_t kRmsFinal = kW3 + 192;    // 8
constexpr std::size_t kPhases = kRmsFinal + 8;  // 3 x 2 cosines, 3 x 2 sines
constexpr std::size_t kSharedEnd = kPhases + 12;
constexpr std::size_t kWcls = kSharedEnd;  // 5 x 8
constexpr std::size_t kOwnHeadEnd = kWcls + 40;

float first_of(const SourceModel& model, std::string_view name, std::uint64_t row) {
  const SourceTensor* tensor = model.find(name);
  EXPECT_NE(tensor, nullptr) << name;
  if (tensor == nullptr) return -1;
  std::vector<float> out(static_cast<std::size_t>(tensor->columns));
  EXPECT_TRUE(model.read_rows(*tensor, row, 1, out).ok()) << name;
  return out[0];
}

TEST(Llama2c, FindsEveryTensorInTheStackOfItsKind) {
  const auto bytes = checkpoint(kSmall, kSharedEnd);
  const auto opened = import_llama2c(bytes, "a.bin");
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const SourceModel& model = **opened;
  const ModelConfig& c = model.config();
  EXPECT_EQ(c.hidden, 8U);
  EXPECT_EQ(c.mlp_width, 12U);
  EXPECT_EQ(c.layers, 2U);
  EXPECT_EQ(c.heads, 2U);
  EXPECT_EQ(c.kv_heads, 1U);
  EXPECT_EQ(c.head_size, 4U);
  EXPECT_EQ(c.vocabulary, 5U);
  EXPECT_EQ(c.context_length, 3U);
  EXPECT_EQ(c.tied_head, 1U);
  EXPECT_EQ(c.rope_theta, 10000.0);
  EXPECT_EQ(c.norm_epsilon, 1e-5);
  EXPECT_EQ(model.find("wcls"), nullptr);
  EXPECT_EQ(model.tokenizer().kind, SourceTokenizer::Kind::kNone);

  struct Place {
    std::string_view name;
    std::uint64_t row;
    std::size_t index;
  };
  constexpr Place kPlaces[] = {
      {"token_embedding", 3, kEmbedding + 3 * 8}, {"layers.0.rms_att", 0, kRmsAtt},
      {"layers.1.rms_att", 0, kRmsAtt + 8},       {"layers.1.wq", 7, kWq + 64 + 56},
      {"layers.1.wk", 3, kWk + 32 + 24},          {"layers.0.wv", 1, kWv + 8},
      {"layers.1.wo", 2, kWo + 64 + 16},          {"layers.1.rms_ffn", 0, kRmsFfn + 8},
      {"layers.1.w1", 11, kW1 + 96 + 88},         {"layers.1.w2", 7, kW2 + 96 + 84},
      {"layers.1.w3", 4, kW3 + 96 + 32},          {"rms_final", 0, kRmsFinal},
  };
  for (const Place& place : kPlaces) {
    EXPECT_EQ(first_of(model, place.name, place.row), static_cast<float>(place.index)) << place.name;
  }
}

TEST(Llama2c, NegativeVocabularyMeansAHeadOfItsOwnAfterTheTables) {
  Header header = kSmall;
  header[5] = -5;
  const auto bytes = checkpoint(header, kOwnHeadEnd);
  const auto opened = import_llama2c(bytes, "a.bin");
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  EXPECT_EQ((*opened)->config().vocabulary, 5U);
  EXPECT_EQ((*opened)->config().tied_head, 0U);
  EXPECT_EQ(first_of(**opened, "wcls", 4), static_cast<float>(kWcls + 32));
}

TEST(Llama2c, QueriesAndKeysLieInAdjacentPairs) {
  const auto bytes = checkpoint(kSmall, kSharedEnd);
  const auto opened = import_llama2c(bytes, "a.bin");
  ASSERT_TRUE(opened.ok());
  for (const TensorName& name : (*opened)->names()) {
    const bool rotated = name.part == Part::kQuery || name.part == Part::kKey;
    EXPECT_EQ(name.rows, rotated ? Rows::kAdjacentPairs : Rows::kAsTheyAre) << name.pattern;
  }
  const auto turns = (*opened)->rope_turns();  // 10000^0 and 10000^(-1/2), over 2 pi
  ASSERT_EQ(turns.size(), 2U);
  EXPECT_DOUBLE_EQ(turns[0], 1.0 / (2.0 * std::numbers::pi));
  EXPECT_DOUBLE_EQ(turns[1], 0.01 / (2.0 * std::numbers::pi));
}

TEST(Llama2c, RowsOutsideATensorAreRefused) {
  const auto bytes = checkpoint(kSmall, kSharedEnd);
  const auto opened = import_llama2c(bytes, "a.bin");
  ASSERT_TRUE(opened.ok());
  const SourceTensor* tensor = (*opened)->find("token_embedding");
  ASSERT_NE(tensor, nullptr);
  std::vector<float> out(16);
  EXPECT_TRUE((*opened)->read_rows(*tensor, 3, 2, out).ok());
  EXPECT_FALSE((*opened)->read_rows(*tensor, 4, 2, out).ok());
  EXPECT_FALSE((*opened)->read_rows(*tensor, ~0ULL, 2, out).ok());
  EXPECT_FALSE((*opened)->read_rows(*tensor, 0, 1, out).ok());  // room for two
  EXPECT_FALSE((*opened)->read_rows({.name = "other", .rows = 5, .columns = 8}, 0, 2, out).ok());
}

TEST(Llama2c, AnyOtherSizeThanTheHeadersIsASentence) {
  const auto whole = checkpoint(kSmall, kSharedEnd);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    const auto opened = import_llama2c(cut, "a.bin");
    ASSERT_FALSE(opened.ok()) << size;
    EXPECT_EQ(opened.status().code(), Code::kBadInput);
    EXPECT_NE(opened.status().message().find(text(size, " bytes").view()), std::string_view::npos);
  }
  auto longer = whole;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(import_llama2c(longer, "a.bin").ok());
}

TEST(Llama2c, EachHeaderFieldMayBeHostileWithoutACrash) {
  constexpr std::int32_t kLeast = std::numeric_limits<std::int32_t>::min();
  constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();
  constexpr std::array<std::string_view, 7> kNames = {"dim",        "hidden_dim", "n_layers", "n_heads",
                                                      "n_kv_heads", "vocab_size", "seq_len"};
  for (std::size_t field = 0; field < kSmall.size(); ++field) {
    for (const std::int32_t value : {kLeast, -kMost, -1, 0, 3, 1000, 65536, kMost - 1, kMost}) {
      if (value == kSmall[field]) continue;
      Header header = kSmall;
      header[field] = value;
      const auto bytes = checkpoint(header, kSharedEnd);
      const auto opened = import_llama2c(bytes, "a.bin");
      ASSERT_FALSE(opened.ok()) << kNames[field] << " " << value;
      EXPECT_EQ(opened.status().code(), Code::kBadInput);
      if (value == 0) {
        EXPECT_NE(opened.status().message().find(text("field ", kNames[field], " at offset ", 4 * field).view()),
                  std::string_view::npos)
            << opened.status().message();
      }
    }
  }
  Header all;
  all.fill(kMost);
  EXPECT_FALSE(import_llama2c(checkpoint(all, 0), "a.bin").ok());
}

TEST(Llama2c, ANewerVersionIsNamed) {
  Header header = kSmall;
  header[0] = 0x616b3432;  // "ak42"
  header[1] = 2;
  const auto opened = import_llama2c(checkpoint(header, kSharedEnd), "a.bin");
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.status().message().find("a llama2.c checkpoint of version 2"), std::string_view::npos);
}

class Stories260K : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(folder_ + "stories260K.bin")) GTEST_SKIP() << "no ../shared/models/stories260K";
  }
  const std::string folder_ = RILL_SHARED_DIR "/models/stories260K/";
};

TEST_F(Stories260K, OpensWithItsTokenizer) {
  const auto opened = open_source_model(folder_ + "stories260K.bin", folder_ + "tok512.model");
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const SourceModel& model = **opened;
  const ModelConfig& c = model.config();
  EXPECT_EQ(model.format(), "llama2.c checkpoint");
  EXPECT_EQ(model.bytes_in(), 1056540U);
  EXPECT_EQ(std::vector<std::uint32_t>({c.hidden, c.mlp_width, c.layers, c.heads, c.kv_heads, c.head_size}),
            std::vector<std::uint32_t>({64, 172, 5, 8, 4, 8}));
  EXPECT_EQ(c.vocabulary, 512U);
  EXPECT_EQ(c.context_length, 512U);
  EXPECT_EQ(c.tied_head, 1U);
  const SourceTokenizer& t = model.tokenizer();
  EXPECT_EQ(t.kind, SourceTokenizer::Kind::kSentencePiece);
  EXPECT_EQ(t.sentencepiece_proto.size(), std::filesystem::file_size(folder_ + "tok512.model"));
  EXPECT_EQ(t.beginning_of_text, 1U);
  EXPECT_TRUE(t.adds_beginning_of_text);
  EXPECT_EQ(t.end_tokens, std::vector<Token>{2});

  // Layer 3's w2, row 63, straight from the file: the stacks before it are 512 x 64 embeddings, 5 x 64 norms,
  // 5 x (64 + 32 + 32 + 64) x 64 for attention, 5 x 64 norms and 5 x 172 x 64 gates.
  const std::size_t before = 512 * 64 + 5 * 64 + 5 * 192 * 64 + 5 * 64 + 5 * 172 * 64 + 3 * 64 * 172 + 63 * 172;
  std::ifstream file(folder_ + "stories260K.bin", std::ios::binary);
  file.seekg(static_cast<std::streamoff>(28 + 4 * before));
  std::vector<float> expected(172);
  file.read(reinterpret_cast<char*>(expected.data()), 172 * sizeof(float));
  std::vector<float> actual(172);
  ASSERT_TRUE(model.read_rows(*model.find("layers.3.w2"), 63, 1, actual).ok());
  EXPECT_EQ(actual, expected);
  ASSERT_TRUE(model.read_rows(*model.find("rms_final"), 0, 1, std::span(actual).first(64)).ok());
  EXPECT_GT(actual[0], 0.1F);  // gains are of order one; the tables after them begin with cos 0 = 1 and ones
}

TEST_F(Stories260K, ATokenizerThatIsNoSentencePieceModelIsRefused) {
  const auto opened = open_source_model(folder_ + "stories260K.bin", folder_ + "tok512.bin");
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), Code::kBadInput);
  EXPECT_NE(opened.status().message().find("tok512.bin: SentencePiece model, 6227 bytes before the end"),
            std::string_view::npos);
}

}  // namespace
}  // namespace rill::quant
