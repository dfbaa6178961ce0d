// The same tokens as the reference tokenizers, on all of ../shared/text and on nasty input. Expected numbers: see
// tests/make_tokenizer_goldens.py.

#include <gtest/gtest.h>
#include <zlib.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/tokenizer_fixture.h"

namespace rill {
namespace {

using Json = nlohmann::json;

std::string unhex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

std::string input_of(const Json& golden) {
  if (golden.contains("file")) return test::read_file(test::shared(golden["file"].get<std::string>()));
  const std::string unit = unhex(golden["hex"].get<std::string>());
  std::string all;
  for (std::size_t i = 0; i < golden.value("repeat", std::size_t{1}); ++i) all += unit;
  return all;
}

std::uint32_t crc32_of(const std::vector<Token>& tokens) {
  const auto* const bytes = reinterpret_cast<const Bytef*>(tokens.data());
  return static_cast<std::uint32_t>(crc32_z(0, bytes, tokens.size() * sizeof(Token)));
}

// How the golden words a list of tokens: whole, or as count and checksum.
void expect_golden(const Json& golden, const std::string& name, const std::vector<Token>& tokens) {
  const std::string about = golden.dump().substr(0, 200);
  if (golden.contains(name)) {
    EXPECT_EQ(tokens, golden[name].get<std::vector<Token>>()) << about;
  } else {
    const Json& sum = golden[name + ":crc32"];
    ASSERT_EQ(tokens.size(), sum[0].get<std::size_t>()) << about;
    EXPECT_EQ(crc32_of(tokens), sum[1].get<std::uint32_t>()) << about;
  }
}

// True if no word is longer than a heap of the usual size takes.
bool has_ordinary_words(const Json& golden) { return golden.value("repeat", 1) < (1 << 20); }

class TokenizerGoldens : public testing::TestWithParam<std::pair<const char*, SpecialTokens>> {
 protected:
  static Json goldens() { return Json::parse(test::read_file(RILL_TEST_DATA_DIR "/tokenizer_goldens.json")); }
  static std::string vocabulary() { return GetParam().first; }
  static SpecialTokens special() { return GetParam().second; }
  static std::string name() { return vocabulary() + (special() == SpecialTokens::kControl ? "_control" : ""); }
};

TEST_P(TokenizerGoldens, AreTheReferencesTokens) {
  RILL_LOAD_OR_SKIP(tokenizer, vocabulary());
  const std::size_t used = tokenizer.heap().used_bytes();
  for (const Json& golden : goldens()) {
    if (!has_ordinary_words(golden)) continue;
    expect_golden(golden, name(), tokenizer.tokens(input_of(golden), special()));
    // PCRE2 keeps the frames that its deepest match needed, within the limit set for them.
    const std::size_t kept = tokenizer->kind() == "byte-level bpe" ? std::size_t{128} * 1024 : 0;
    ASSERT_LE(tokenizer.heap().used_bytes(), used + kept) << "encoding did not give back what it took";
  }
}

TEST_P(TokenizerGoldens, OfAMegabyteOfOneLetterInAHeapSizedForIt) {
  RILL_LOAD_OR_SKIP(sized_for_ordinary_words, vocabulary());
  const test::LoadedTokenizer tokenizer(
      {sized_for_ordinary_words.section().begin(), sized_for_ordinary_words.section().end()}, std::size_t{1} << 20U);
  ASSERT_TRUE(tokenizer);
  for (const Json& golden : goldens()) {
    if (!has_ordinary_words(golden)) expect_golden(golden, name(), tokenizer.tokens(input_of(golden), special()));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, TokenizerGoldens,
    testing::Values(std::pair{"llama2", SpecialTokens::kText}, std::pair{"tok512", SpecialTokens::kText},
                    std::pair{"smollm2", SpecialTokens::kText}, std::pair{"smollm2", SpecialTokens::kControl}),
    [](const auto& each) {
      return std::string(each.param.first) + (each.param.second == SpecialTokens::kControl ? "_control" : "");
    });

}  // namespace
}  // namespace rill
