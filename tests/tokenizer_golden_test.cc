// The same tokens as the reference tokenizers, on all of ../shared/text and on nasty input. Expected numbers: see
// tests/make_tokenizer_goldens.py.

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "tests/support/tokenizer_fixture.h"

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

Json goldens() { return Json::parse(test::read_file(RILL_TEST_DATA_DIR "/tokenizer_goldens.json")); }

// A vocabulary of ../shared, and which of the goldens' tokens are its.
struct Reference {
  const char* vocabulary;
  const char* tokens;
  SpecialTokens special = SpecialTokens::kText;
};

void PrintTo(const Reference& reference, std::ostream* out) { *out << reference.tokens; }

class TokenizerGoldens : public testing::TestWithParam<Reference> {
 protected:
  static std::string vocabulary() { return GetParam().vocabulary; }
  static SpecialTokens special() { return GetParam().special; }
  static std::string name() { return GetParam().tokens; }
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

// The text as tokenizers take it: UTF-8, with U+FFFD for what is not.
std::string as_utf8(std::string_view bytes) {
  Utf8Stream stream;
  std::string text(bytes.size() * 3 + 12, '\0');
  text.resize(stream.add(bytes, text).size());
  std::array<char, 12> rest{};
  return text.append(stream.finish(rest));
}

// SentencePiece writes a space as U+2581, and reads that as one.
std::string with_spaces(std::string_view text) {
  constexpr std::string_view kSpaceSymbol = "\u2581";
  std::string spaced;
  for (std::size_t at = text.find(kSpaceSymbol); at != text.npos; at = text.find(kSpaceSymbol)) {
    spaced.append(text.substr(0, at)).push_back(' ');
    text.remove_prefix(at + kSpaceSymbol.size());
  }
  return spaced.append(text);
}

class GgufVocabularies : public testing::TestWithParam<const char*> {};

TEST_P(GgufVocabularies, DecodeWhatTheyEncode) {
  RILL_LOAD_OR_SKIP(tokenizer, GetParam());
  // Falcon's vocabulary lacks a few control characters, which its own tokenizer leaves out too.
  std::set<char> left_out;
  for (int c = 0; c < 0x20; ++c) {
    if (tokenizer.tokens(std::string(1, static_cast<char>(c))).empty()) left_out.insert(static_cast<char>(c));
  }
  EXPECT_EQ(left_out.empty(), std::string_view(GetParam()) != "falcon");
  for (const Json& golden : goldens()) {
    if (!has_ordinary_words(golden) || golden.contains("file")) continue;
    const bool composes = std::string_view(GetParam()) == "gpt-neox" || std::string_view(GetParam()) == "mpt";
    if (composes && !golden.contains("nfc") && golden.contains("repeat")) continue;  // may be in another form
    const auto shown = [&](std::string text) {
      if (tokenizer->kind() == "sentencepiece") text = with_spaces(text);
      std::erase_if(text, [&](char c) { return left_out.contains(c); });
      return text;
    };
    const std::string input = shown(as_utf8(input_of(golden)));
    const std::string expected =
        composes && golden.contains("nfc") ? shown(unhex(golden["nfc"].get<std::string>())) : input;
    EXPECT_EQ(tokenizer.text_of(tokenizer.tokens(input)), expected) << golden.dump().substr(0, 200);
  }
}

INSTANTIATE_TEST_SUITE_P(All, GgufVocabularies, testing::Values("gpt-2", "gpt-neox", "mpt", "falcon", "llama-spm"),
                         [](const auto& each) {
                           std::string name = each.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

INSTANTIATE_TEST_SUITE_P(
    All, TokenizerGoldens,
    testing::Values(Reference{"llama2", "llama2"}, Reference{"tok512", "tok512"}, Reference{"smollm2", "smollm2"},
                    Reference{"smollm2", "smollm2_control", SpecialTokens::kControl}, Reference{"gpt-2", "gpt-2"},
                    Reference{"gpt-2:qwen2", "gpt-2:qwen2"}, Reference{"gpt-2:llama-bpe", "gpt-2:llama-bpe"},
                    Reference{"gpt-2:llama-bpe-whole-words", "gpt-2:llama-bpe-whole-words"},
                    Reference{"gpt-neox", "gpt-neox"}, Reference{"mpt", "gpt-neox"},  // the same tables
                    Reference{"falcon", "falcon"}, Reference{"falcon", "falcon_control", SpecialTokens::kControl},
                    Reference{"llama-spm", "llama2"}, Reference{"llama2-json", "llama2"}),
    [](const auto& each) {
      std::string name = each.param.vocabulary;
      std::replace_if(
          name.begin(), name.end(), [](char c) { return c == '-' || c == ':'; }, '_');
      return name + (each.param.special == SpecialTokens::kControl ? "_control" : "");
    });

// The tokenizers library 0.23.3 gives 76 2723 129 209 for the first text: its tables of punctuation are of about
// Unicode 8.
TEST(FalconPunctuation, NewerThanThePythonLibrarysTablesIsCutOutAllTheSame) {
  RILL_LOAD_OR_SKIP(tokenizer, "falcon");
  EXPECT_EQ(tokenizer.tokens("a \u2e43"), (std::vector<Token>{76, 204, 168, 129, 209}));
  EXPECT_EQ(tokenizer.tokens("a \u2e2e"), (std::vector<Token>{76, 204, 168, 128, 118}));  // old enough: as in Python
}

}  // namespace
}  // namespace rill
