#include "quant/gguf_tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "platform/process_memory.h"
#include "quant/sentencepiece_model.h"
#include "tests/gguf_builder.h"
#include "tests/support/tokenizer_fixture.h"

namespace rill::quant {
namespace {

using Kind = SourceTokenizer::Kind;
constexpr std::int32_t kNormal = 1;
constexpr std::int32_t kControl = 3;
constexpr std::int32_t kUserDefined = 4;

Result<SourceTokenizer> read(const GgufBuilder& builder) {
  const auto bytes = builder.build();
  const auto file = GgufFile::parse(bytes, "a.gguf");
  if (!file.ok()) return file.status();
  return read_gguf_tokenizer(*file);
}

void expect_refused(const GgufBuilder& builder, std::string_view part) {
  const auto tokenizer = read(builder);
  ASSERT_FALSE(tokenizer.ok()) << part;
  EXPECT_EQ(tokenizer.status().code(), Code::kBadInput);
  EXPECT_NE(tokenizer.status().message().find(part), std::string_view::npos) << tokenizer.status().message();
}

/// A byte-level BPE of eight tokens; Ġ (U+0120) is the space, Ċ (U+010A) the line's end.
struct Bpe {
  std::vector<std::string> tokens = {"<|endoftext|>", "a", "b", "\u0120", "\u0120a", "\u0120ab", "\u010a", "<x y>"};
  std::vector<std::int32_t> types = {kControl, kNormal, kNormal, kNormal, kNormal, kNormal, kNormal, kUserDefined};
  std::vector<std::string> merges = {"\u0120 a", "\u0120a b"};
  std::string pre = "gpt-2";

  GgufBuilder builder() const {
    GgufBuilder file;
    file.string("tokenizer.ggml.model", "gpt2");
    if (!pre.empty()) file.string("tokenizer.ggml.pre", pre);
    file.strings("tokenizer.ggml.tokens", tokens).numbers("tokenizer.ggml.token_type", 5, types);
    return file.strings("tokenizer.ggml.merges", merges);
  }
};

TEST(GgufTokenizer, ByteLevelTokensBecomeTheirBytesAndMergesTheirIds) {
  const auto t = read(Bpe().builder());
  ASSERT_TRUE(t.ok()) << t.status().message();
  EXPECT_EQ(t->kind, Kind::kByteLevelBpe);
  EXPECT_EQ(t->tokens, (std::vector<std::string>{"<|endoftext|>", "a", "b", " ", " a", " ab", "\n", "<x y>"}));
  EXPECT_EQ(t->merges, (std::vector<std::pair<Token, Token>>{{3, 1}, {4, 2}}));
  EXPECT_EQ(t->special, std::vector<Token>{0});
  EXPECT_EQ(t->added, std::vector<Token>{7});
  EXPECT_EQ(t->end_tokens, std::vector<Token>{0});  // by its spelling
  EXPECT_EQ(t->beginning_of_text, kNoToken);
  EXPECT_FALSE(t->adds_beginning_of_text);
  EXPECT_FALSE(t->pattern.empty());
}

TEST(GgufTokenizer, TheAlphabetIsGpt2s) {
  // encoder.py of GPT-2: bytes 0 to 32 are U+0100 to U+0120, 127 to 160 U+0121 to U+0142, 173 is U+0143.
  Bpe bpe;
  bpe.tokens = {"\u0100", "\u0120", "\u0121", "\u0122", "\u0142", "\u0143",
                "!",      "~",      "\u00a1", "\u00ac", "\u00ae", "\u00ff"};
  bpe.types.assign(bpe.tokens.size(), kNormal);
  bpe.merges = {};
  const auto t = read(bpe.builder());
  ASSERT_TRUE(t.ok()) << t.status().message();
  const std::vector<std::string> expected = {
      std::string(1, '\0'), " ", "\x7f", "\x80", "\xa0", "\xad", "!", "~", "\xa1", "\xac", "\xae", "\xff"};
  EXPECT_EQ(t->tokens, expected);
}

TEST(GgufTokenizer, NormalTokensOutsideTheAlphabetAreAddedTokens) {
  Bpe bpe;
  bpe.tokens = {"<|endoftext|>", "a", "b", "\u0120", "\u0120a", "\u0120ab", "\u0144", "two words", "\u20ac", "\xc3"};
  bpe.types.assign(bpe.tokens.size(), kNormal);
  const auto t = read(bpe.builder());
  ASSERT_TRUE(t.ok()) << t.status().message();
  EXPECT_EQ(t->added, (std::vector<Token>{6, 7, 8, 9}));
  EXPECT_EQ(t->tokens[8], "\u20ac");
  EXPECT_EQ(t->tokens[9], "\xc3");
}

TEST(GgufTokenizer, Llama3sTakesAPieceThatIsATokenForThatWhateverTheMergesSay) {
  Bpe bpe;
  EXPECT_FALSE(read(bpe.builder())->whole_words_first);
  for (const char* const name : {"llama-bpe", "smaug-bpe"}) {  // the latter is written for SmolLM3, which has Llama 3's
    bpe.pre = name;
    EXPECT_TRUE(read(bpe.builder())->whole_words_first) << name;
  }
}

TEST(GgufTokenizer, AConvertersFillerIsNotFoundInText) {
  Bpe bpe;
  for (const char* const spelling : {"[PAD8]", "[PAD8]", "[PAD]", "[PAD011]"}) {
    bpe.tokens.emplace_back(spelling);
    bpe.types.push_back(kUserDefined);
  }
  const auto t = read(bpe.builder());
  ASSERT_TRUE(t.ok()) << t.status().message();
  EXPECT_EQ(t->added, (std::vector<Token>{7, 9, 10, 11}));  // 8 alone is spelt as its own id
  EXPECT_EQ(t->tokens[8], "[PAD8]");
}

TEST(GgufTokenizer, BeginningAndEndTokensAreThoseTheFileNames) {
  GgufBuilder file = Bpe().builder();
  file.u32("tokenizer.ggml.bos_token_id", 1).u32("tokenizer.ggml.eos_token_id", 2);
  file.u32("tokenizer.ggml.eot_token_id", 6).boolean("tokenizer.ggml.add_bos_token", 1);
  const auto t = read(file);
  ASSERT_TRUE(t.ok()) << t.status().message();
  EXPECT_EQ(t->beginning_of_text, 1U);
  EXPECT_TRUE(t->adds_beginning_of_text);
  EXPECT_EQ(t->end_tokens, (std::vector<Token>{0, 2, 6}));

  for (const std::string key : {"bos", "eos", "eot"}) {
    for (const std::uint32_t id : {8U, kNoToken}) {
      GgufBuilder hostile = Bpe().builder();
      hostile.u32("tokenizer.ggml." + key + "_token_id", id);
      expect_refused(hostile, "expected an id below 8");
    }
  }
}

TEST(GgufTokenizer, EveryTurnEndingControlTokenEndsAReply) {
  Bpe bpe;
  bpe.tokens = {"<|im_end|>", "</s>", "<|eot_id|>", "<|endoftext|>", "<|im_start|>", "</s> "};
  bpe.types.assign(bpe.tokens.size(), kControl);
  bpe.merges = {};
  auto t = read(bpe.builder());
  ASSERT_TRUE(t.ok()) << t.status().message();
  EXPECT_EQ(t->end_tokens, (std::vector<Token>{0, 1, 2, 3}));
  bpe.types.assign(bpe.tokens.size(), kUserDefined);  // text, not control
  t = read(bpe.builder());
  ASSERT_TRUE(t.ok());
  EXPECT_TRUE(t->end_tokens.empty());
}

TEST(GgufTokenizer, AFileWithoutAVocabularyHasNone) {
  for (const std::string model : {"none", "no_vocab"}) {
    const auto t = read(GgufBuilder().string("tokenizer.ggml.model", model));
    ASSERT_TRUE(t.ok()) << t.status().message();
    EXPECT_EQ(t->kind, Kind::kNone);
  }
  EXPECT_EQ(read(GgufBuilder().u32("a", 1))->kind, Kind::kNone);
}

TEST(GgufTokenizer, WhatIsNotKnownIsRefusedByName) {
  expect_refused(GgufBuilder().string("tokenizer.ggml.model", "bert"), "tokenizer bert is not known");
  Bpe bpe;
  bpe.pre = "no-such-pattern";
  expect_refused(bpe.builder(), "pre-tokenizer no-such-pattern is not known");
}

TEST(GgufTokenizer, HostileTablesAreSentences) {
  expect_refused(GgufBuilder().string("tokenizer.ggml.model", "gpt2"), "key tokenizer.ggml.tokens: no tokens");
  expect_refused(GgufBuilder().string("tokenizer.ggml.model", "gpt2").strings("tokenizer.ggml.tokens", {}),
                 "no tokens");
  expect_refused(GgufBuilder().string("tokenizer.ggml.model", "gpt2").strings("tokenizer.ggml.tokens", {"a"}),
                 "key tokenizer.ggml.merges: missing");
  Bpe few;
  few.types.pop_back();
  expect_refused(few.builder(), "7 types, expected 8");
  for (const std::int32_t type : {0, 7, -1, std::numeric_limits<std::int32_t>::min()}) {
    Bpe bpe;
    bpe.types[3] = type;
    expect_refused(bpe.builder(), text("token 3 has type ", type).view());
  }
  Bpe twice;
  twice.tokens[2] = "a";
  expect_refused(twice.builder(), "tokens 1 and 2 are the same");
  for (const std::string merge : {"", " ", "a", "a ", " a", "a b", "\u0120 z", "a  b", "<|endoftext|> a"}) {
    Bpe bpe;
    bpe.merges[1] = merge;
    expect_refused(bpe.builder(), "merge 1: ");
  }
}

GgufBuilder sentencepiece(std::size_t scores, std::int32_t type_of_unknown = 2) {
  GgufBuilder file;
  file.string("tokenizer.ggml.model", "llama").strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "a"});
  file.numbers("tokenizer.ggml.token_type", 5, std::vector<std::int32_t>{type_of_unknown, 3, 3, 1});
  return file.numbers("tokenizer.ggml.scores", 6, std::vector<float>(scores, -1.0F));
}

TEST(GgufTokenizer, SentencePieceTablesBecomeAProto) {
  GgufBuilder file = sentencepiece(4);
  file.u32("tokenizer.ggml.bos_token_id", 1).u32("tokenizer.ggml.eos_token_id", 2);
  const auto t = read(file);
  ASSERT_TRUE(t.ok()) << t.status().message();
  EXPECT_EQ(t->kind, Kind::kSentencePiece);
  EXPECT_FALSE(t->sentencepiece_proto.empty());
  EXPECT_TRUE(t->added.empty());
  EXPECT_EQ(t->special, (std::vector<Token>{1, 2}));
  EXPECT_EQ(t->end_tokens, std::vector<Token>{2});
  EXPECT_TRUE(t->adds_beginning_of_text);  // the custom where a file does not say
  GgufBuilder unprefixed = sentencepiece(4);
  unprefixed.boolean("tokenizer.ggml.add_space_prefix", 0);
  const auto u = read(unprefixed);
  ASSERT_TRUE(u.ok()) << u.status().message();
  // Field 3 (normalizer_spec) of two bytes, in which field 3 (add_dummy_prefix) is 0.
  EXPECT_EQ(u->sentencepiece_proto, t->sentencepiece_proto + std::string("\x1a\x02\x18\x00", 4));
  expect_refused(sentencepiece(3), "3 scores, expected 4");
}

// llama.cpp's converter types whatever tokenizer_config.json lists as special as control, <unk> among it;
// libsentencepiece takes no model without an unknown piece.
TEST(GgufTokenizer, FindsTheUnknownPieceThatIsTypedAsControl) {
  const auto expected = read(sentencepiece(4));
  ASSERT_TRUE(expected.ok());
  const auto spelt = read(sentencepiece(4, 3));
  ASSERT_TRUE(spelt.ok()) << spelt.status().message();
  EXPECT_EQ(spelt->sentencepiece_proto, expected->sentencepiece_proto);
  EXPECT_EQ(spelt->special, expected->special);
  GgufBuilder named = sentencepiece(4, 3);
  named.u32("tokenizer.ggml.unknown_token_id", 2);
  const auto other = read(named);
  ASSERT_TRUE(other.ok()) << other.status().message();
  EXPECT_EQ(other->special, (std::vector<Token>{0, 1}));
}

/// Llama's kind of vocabulary: bytes from 3, then x 259, U+2581 260, and what is given.
GgufBuilder with_user_defined(const std::vector<std::string>& pieces, std::uint8_t adds_space) {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<std::int32_t> types = {2, kControl, kControl};
  for (int byte = 0; byte < 256; ++byte) {
    char spelling[8] = {};
    std::snprintf(spelling, sizeof spelling, "<0x%02X>", static_cast<unsigned>(byte));
    tokens.emplace_back(spelling);
    types.push_back(6);
  }
  tokens.insert(tokens.end(), {"x", "\u2581"});
  types.insert(types.end(), {kNormal, kNormal});
  tokens.insert(tokens.end(), pieces.begin(), pieces.end());
  types.insert(types.end(), pieces.size(), kUserDefined);
  GgufBuilder file;
  file.string("tokenizer.ggml.model", "llama").strings("tokenizer.ggml.tokens", tokens);
  file.numbers("tokenizer.ggml.token_type", 5, types);
  file.numbers("tokenizer.ggml.scores", 6, std::vector<float>(tokens.size(), -1.0F));
  return file.boolean("tokenizer.ggml.add_space_prefix", adds_space);
}

/// llama.cpp's converter writes the spaces of Gemma's pieces as spaces: no text became one of its runs of spaces.
TEST(GgufTokenizer, RunsOfSpacesAreFoundAsTheModelsOwnTokenizerFindsThem) {
  const auto gemma = read(with_user_defined({"  ", "   "}, 0));
  ASSERT_TRUE(gemma.ok()) << gemma.status().message();
  EXPECT_TRUE(gemma->added.empty());
  EXPECT_EQ(test::LoadedTokenizer::from(*gemma).tokens("x   x x"), (std::vector<Token>{259, 262, 259, 260, 259}));
}

/// Older converters gave chat tokens that were added to a Llama-2 vocabulary that type: what follows one begins with a
/// space of its own, as in the tokenizers library.
TEST(GgufTokenizer, AddedTokensOfLlamasKindAreCutOutOfTextFirst) {
  const auto chat = read(with_user_defined({"<|im_start|>", "<|im_end|>"}, 1));
  ASSERT_TRUE(chat.ok()) << chat.status().message();
  EXPECT_EQ(chat->added, (std::vector<Token>{261, 262}));
  EXPECT_EQ(chat->end_tokens, (std::vector<Token>{2, 262}));
  EXPECT_EQ(test::LoadedTokenizer::from(*chat).tokens("<|im_start|>x<|im_end|>"),
            (std::vector<Token>{261, 260, 259, 262}));
}

/// It was taken for GPT-2's pattern, whatever the model.
TEST(GgufTokenizer, AFileThatIsOlderThanTheNamesOfPatternsIsCutAsItsFamilyIs) {
  for (const auto& [family, pattern] : {std::pair{"qwen2", "qwen2"}, {"falcon", "falcon"}, {"gptneox", "gpt-2"}}) {
    Bpe old;
    old.pre.clear();
    const auto t = read(old.builder().string("general.architecture", family));
    ASSERT_TRUE(t.ok()) << t.status().message();
    EXPECT_EQ(t->pattern, pattern_for_pretokenizer(pattern)) << family;
  }
  Bpe llama3;
  llama3.pre.clear();
  expect_refused(llama3.builder().string("general.architecture", "llama"), "key tokenizer.ggml.pre: missing");
}

// Found by fuzzing: a model of any size was tried out in 512 MB, all of them touched.
TEST(SentencePieceModel, IsTriedOutInMemoryInProportionToItsBytes) {
  std::vector<std::string> spellings = {"<unk>", "<s>", "</s>", "\xe2\x96\x81", "a", "b", "ab"};
  std::vector<std::int32_t> types = {2, 3, 3, 1, 1, 1, 1};
  for (int byte = 0; byte < 256; ++byte) {
    char spelling[8] = {};
    std::snprintf(spelling, sizeof spelling, "<0x%02X>", static_cast<unsigned>(byte));
    spellings.emplace_back(spelling);
    types.push_back(6);
  }
  const std::vector<std::string_view> tokens(spellings.begin(), spellings.end());
  const std::uint64_t before = peak_resident_bytes();
  const auto facts = examine_sentencepiece(build_sentencepiece_proto(tokens, {}, types));
  ASSERT_TRUE(facts.ok()) << facts.status().message();
  EXPECT_LT(peak_resident_bytes() - before, std::uint64_t{100} << 20U);
}

TEST(GgufTokenizer, LlamasTablesMakeTheModelThatLlamasTokenizerModelIs) {
  const std::string path = RILL_SHARED_DIR "/tokenizers/gguf-vocab/ggml-vocab-llama-spm.gguf";
  const std::string model_path = RILL_SHARED_DIR "/tokenizers/llama2/tokenizer.model";
  if (!std::filesystem::exists(path) || !std::filesystem::exists(model_path)) GTEST_SKIP() << "no " << path;
  const auto file = GgufFile::open(path);
  ASSERT_TRUE(file.ok()) << file.status().message();
  const auto t = read_gguf_tokenizer(*file);
  ASSERT_TRUE(t.ok()) << t.status().message();
  const auto actual = examine_sentencepiece(t->sentencepiece_proto);
  ASSERT_TRUE(actual.ok()) << actual.status().message();
  std::ifstream stream(model_path, std::ios::binary);
  const std::string model((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  const auto expected = examine_sentencepiece(model);
  ASSERT_TRUE(expected.ok()) << expected.status().message();
  EXPECT_EQ(actual->tokens, expected->tokens);
  EXPECT_EQ(actual->special, expected->special);
  EXPECT_EQ(t->beginning_of_text, expected->beginning_of_text);
  EXPECT_EQ(t->end_tokens, std::vector<Token>{expected->end_of_text});
  EXPECT_TRUE(actual->adds_dummy_prefix);
  // What stands behind a model whose file says add_space_prefix = false.
  const auto unprefixed = examine_sentencepiece(t->sentencepiece_proto + std::string("\x1a\x02\x18\x00", 4));
  ASSERT_TRUE(unprefixed.ok()) << unprefixed.status().message();
  EXPECT_FALSE(unprefixed->adds_dummy_prefix);
  EXPECT_EQ(unprefixed->tokens, expected->tokens);
}

TEST(GgufTokenizer, Gpt2sOwnVocabularyHasATokenForEveryByte) {
  const std::string path = RILL_SHARED_DIR "/tokenizers/gguf-vocab/ggml-vocab-gpt-2.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  const auto file = GgufFile::open(path);
  ASSERT_TRUE(file.ok()) << file.status().message();
  const auto t = read_gguf_tokenizer(*file);
  ASSERT_TRUE(t.ok()) << t.status().message();
  EXPECT_EQ(t->tokens.size(), 50257U);
  EXPECT_EQ(t->merges.size(), 50000U);
  EXPECT_EQ(t->special, std::vector<Token>{50256});
  std::set<std::string> bytes;
  for (const std::string& token : t->tokens) {
    if (token.size() == 1) bytes.insert(token);
  }
  EXPECT_EQ(bytes.size(), 256U);
  for (std::size_t i = 0; i < t->merges.size(); ++i) {  // GPT-2's token of merge i is 256 + i
    ASSERT_EQ(t->tokens[t->merges[i].first] + t->tokens[t->merges[i].second], t->tokens[256 + i]) << i;
  }
}

}  // namespace
}  // namespace rill::quant
