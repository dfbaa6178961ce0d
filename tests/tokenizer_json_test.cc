#include "quant/tokenizer_json.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "quant/tokenizer_writer.h"
#include "tests/support/tokenizer_fixture.h"

namespace rill::quant {
namespace {

using nlohmann::json;
using Kind = SourceTokenizer::Kind;

void expect_refused(const json& document, std::string_view part) {
  const auto tokenizer = parse_tokenizer_json(document.dump(), text("t.json"));
  ASSERT_FALSE(tokenizer.ok()) << part;
  EXPECT_EQ(tokenizer.status().code(), Code::kBadInput);
  EXPECT_NE(tokenizer.status().message().find(part), std::string_view::npos) << tokenizer.status().message();
}

/// A BPE with byte fallback: <unk>, <s>, </s>, 256 bytes, then a 259, b 260, c 261, U+2581 262, ab 263, abc 264, bc
/// 265.
json byte_fallback() {
  json vocabulary = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::array<char, 8> spelling{};
    std::snprintf(spelling.data(), spelling.size(), "<0x%02X>", byte);
    vocabulary[spelling.data()] = 3 + byte;
  }
  unsigned id = 259;
  for (const char* const piece : {"a", "b", "c", "\u2581", "ab", "abc", "bc"}) vocabulary[piece] = id++;
  json root = json::parse(R"({
    "added_tokens": [{"id": 0, "content": "<unk>", "special": true}, {"id": 1, "content": "<s>", "special": true},
                     {"id": 2, "content": "</s>", "special": true}],
    "normalizer": {"type": "Sequence", "normalizers": [
      {"type": "Prepend", "prepend": "\u2581"},
      {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
    "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": true,
              "merges": ["b c", "a b", "a bc", "ab c"]}})");
  root["model"]["vocab"] = std::move(vocabulary);
  return root;
}

std::vector<Token> tokens(const json& document, std::string_view text_in) {
  const auto source = parse_tokenizer_json(document.dump(), text("t.json"));
  EXPECT_TRUE(source.ok()) << source.status().message();
  if (!source.ok()) return {};
  return test::LoadedTokenizer::from(*source).tokens(text_in);
}

// The expected tokens are those of the tokenizers library, version 0.23.3.
TEST(TokenizerJsonWithByteFallback, RanksDecideWhichTokensMergeFirst) {
  EXPECT_EQ(tokens(byte_fallback(), "abc"), (std::vector<Token>{262, 264}));
  EXPECT_EQ(tokens(byte_fallback(), "ab bc"), (std::vector<Token>{262, 263, 262, 265}));
  EXPECT_EQ(tokens(byte_fallback(), "z"), (std::vector<Token>{262, 3 + 'z'}));
  EXPECT_EQ(tokens(byte_fallback(), "  c"), (std::vector<Token>{262, 262, 262, 261}));
}

TEST(TokenizerJsonWithByteFallback, WithoutPrependThereIsNoSpaceInFront) {
  json document = byte_fallback();
  document["normalizer"] = json(document["normalizer"]["normalizers"][1]);
  EXPECT_EQ(tokens(document, "abc b"), (std::vector<Token>{264, 262, 260}));
}

TEST(TokenizerJsonWithByteFallback, TheTemplateSaysWhetherTextBeginsWithAToken) {
  json document = byte_fallback();
  auto t = parse_tokenizer_json(document.dump(), text("t.json"));
  ASSERT_TRUE(t.ok()) << t.status().message();
  EXPECT_EQ(t->kind, Kind::kSentencePiece);
  EXPECT_FALSE(t->adds_beginning_of_text);
  EXPECT_EQ(t->end_tokens, std::vector<Token>{2});
  document["post_processor"] = json::parse(R"({"type": "TemplateProcessing", "single": [
      {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]})");
  t = parse_tokenizer_json(document.dump(), text("t.json"));
  ASSERT_TRUE(t.ok()) << t.status().message();
  EXPECT_TRUE(t->adds_beginning_of_text);
  EXPECT_EQ(t->beginning_of_text, 1U);
}

TEST(TokenizerJsonWithByteFallback, AddedTokensAreCutOutOfTextFirst) {
  json document = byte_fallback();
  document["added_tokens"].push_back({{"id", 266}, {"content", "bca"}});
  // The text behind one gets its space in front too.
  EXPECT_EQ(tokens(document, "abcab"), (std::vector<Token>{262, 259, 266, 262, 260}));
  document["added_tokens"][3]["normalized"] = true;
  expect_refused(document, "added_tokens, id 266, normalized: true");
}

// As in Gemma's, where tokens that are found whole stand among the merges and a pre-tokenizer cuts at spaces, of which
// the normalizer has left none.
TEST(TokenizerJsonWithByteFallback, WithoutASpaceInFrontAddedTokensAreFoundByTheModel) {
  json document = byte_fallback();
  document["normalizer"] = json(document["normalizer"]["normalizers"][1]);
  document["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"String", " "}}}, {"behavior", "MergedWithPrevious"}};
  document["added_tokens"].push_back({{"id", 266}, {"content", "bca"}});
  document["model"]["vocab"]["bca"] = 266;
  document["model"]["merges"] = {"bc a", "b c", "a b", "a bc", "ab c"};
  EXPECT_EQ(tokens(document, "abcab bca"), (std::vector<Token>{259, 266, 260, 262, 266}));
  EXPECT_EQ(tokens(document, "bc a"), (std::vector<Token>{265, 262, 259}));
  json other = document;
  other["pre_tokenizer"]["invert"] = true;
  expect_refused(other, "pre_tokenizer: there is one");
  for (const char* const content : {"b a", "b\u2581"}) {
    other = document;
    other["added_tokens"].push_back({{"id", 267}, {"content", content}});
    expect_refused(other, "added_tokens, id 267: there is a space in it");
  }
}

TEST(TokenizerJsonWithByteFallback, MergesThatScoresCannotSayAreRefusedWithAWayOut) {
  json document = byte_fallback();
  document["model"]["merges"] = {"b c", "a b", "a bc"};  // but ab and c are left alone, which SentencePiece would join
  expect_refused(document, "token 264: no merge of 263 and 261 makes it");
  expect_refused(document, "put the model's tokenizer.model beside it");
  document["model"]["merges"] = {"b c", "a bc", "a b", "ab c"};
  expect_refused(document, "merge 3: makes token 264, as an earlier merge did");
  document["model"]["merges"] = {"b c", "a b", "a bc", "ab c", "a c"};
  expect_refused(document, "merge 4: not of two ordinary tokens that make a third");
  document = byte_fallback();
  document["model"]["vocab"][std::string(300, 'a')] = 266;
  expect_refused(document, "token 266: 300 bytes");
}

TEST(TokenizerJsonWithByteFallback, OtherArrangementsAreRefusedByTheirKey) {
  json document = byte_fallback();
  document["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "first"}};
  expect_refused(document, "pre_tokenizer: there is one");
  document = byte_fallback();
  document["normalizer"] = nullptr;
  expect_refused(document, "normalizer: an unknown arrangement");
  document = byte_fallback();
  document["model"]["unk_token"] = nullptr;
  expect_refused(document, "model.unk_token: no token");
  document = byte_fallback();
  document["model"]["vocab"].erase("<0x7F>");
  document["model"]["vocab"]["<0x7f>"] = 3 + 0x7f;
  expect_refused(document, "no token <0x7F>");
}

json byte_level(const json& pre_tokenizer) {
  return {{"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", pre_tokenizer},
          {"model", {{"type", "BPE"}, {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}}}, {"merges", {"a b"}}}}};
}

TEST(TokenizerJson, Qwen2sAndLlama3sSplitsAreKnownByTheirRegex) {
  const auto arrangement = [](const std::string& digits) {
    const std::string regex = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" + digits +
                              R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    return byte_level(
        {{"type", "Sequence"},
         {"pretokenizers",
          {{{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}},
           {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}});
  };
  for (const auto& [digits, name] : {std::pair{R"(\p{N})", "qwen2"}, {R"(\p{N}{1,3})", "llama-bpe"}}) {
    const auto known = parse_tokenizer_json(arrangement(digits).dump(), text("t.json"));
    ASSERT_TRUE(known.ok()) << known.status().message();
    EXPECT_EQ(known->pattern, pattern_for_pretokenizer(name));
  }
  expect_refused(arrangement(R"(\p{N}{1,2})"), "pre_tokenizer: an unknown arrangement");
  json inverted = arrangement(R"(\p{N})");
  inverted["pre_tokenizer"]["pretokenizers"][0]["invert"] = true;
  expect_refused(inverted, "pre_tokenizer: an unknown arrangement");
  // OLMo 2's: what the pattern does not find is cut out and dropped, which is nothing.
  inverted["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed";
  EXPECT_TRUE(parse_tokenizer_json(inverted.dump(), text("t.json")).ok());
}

TEST(TokenizerJson, Llama3sWholeWordsAndBeginningOfTextAreTaken) {
  json llama3 = byte_level({{"type", "ByteLevel"}, {"add_prefix_space", false}});
  llama3["model"]["ignore_merges"] = true;
  llama3["added_tokens"] = {{{"id", 3}, {"content", "<|begin_of_text|>"}, {"special", true}}};
  llama3["post_processor"] = json::parse(R"({"type": "Sequence", "processors": [
    {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true},
    {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 0}},
                                              {"Sequence": {"id": "A", "type_id": 0}}]}]})");
  auto read = parse_tokenizer_json(llama3.dump(), text("t.json"));
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_TRUE(read->whole_words_first);
  EXPECT_TRUE(read->adds_beginning_of_text);
  EXPECT_EQ(read->beginning_of_text, 3U);

  llama3["model"]["ignore_merges"] = false;
  llama3["post_processor"] = json::parse(R"({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}]})");
  read = parse_tokenizer_json(llama3.dump(), text("t.json"));
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_FALSE(read->whole_words_first);
  EXPECT_FALSE(read->adds_beginning_of_text);
}

// Gemma 3's small models have one for images, which they cannot see.
TEST(TokenizerJson, AddedTokensBeyondTheModelsVocabularyAreLeftOut) {
  json gemma = byte_fallback();
  gemma["added_tokens"].push_back({{"id", 266}, {"content", "<image>"}, {"special", true}});
  gemma["model"]["vocab"]["<image>"] = 266;
  const auto with = parse_tokenizer_json(gemma.dump(), text("t.json"));
  const auto without = parse_tokenizer_json(gemma.dump(), text("t.json"), 266);
  const auto never = parse_tokenizer_json(byte_fallback().dump(), text("t.json"));
  ASSERT_TRUE(with.ok() && without.ok() && never.ok());
  EXPECT_EQ(without->sentencepiece_proto, never->sentencepiece_proto);
  EXPECT_NE(with->sentencepiece_proto, never->sentencepiece_proto);
}

TEST(TokenizerJson, AModelWithoutATypeIsBpeIfItHasMerges) {
  json unnamed = byte_level({{"type", "ByteLevel"}, {"add_prefix_space", false}});
  unnamed["model"].erase("type");
  EXPECT_TRUE(parse_tokenizer_json(unnamed.dump(), text("t.json")).ok());
  unnamed["model"].erase("merges");
  expect_refused(unnamed, "model.type: not BPE");
}

TEST(TokenizerJson, PythiasAndFalconsArrangementsAreKnown) {
  const json whole = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  const auto pythia = parse_tokenizer_json(byte_level(whole).dump(), text("t.json"));
  ASSERT_TRUE(pythia.ok()) << pythia.status().message();
  EXPECT_EQ(pythia->pattern, pattern_for_pretokenizer("gpt-2"));

  json parts = json::parse(R"([{"type": "Punctuation", "behavior": "Contiguous"},
    {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
    {"type": "Digits", "individual_digits": false},
    {"type": "Split", "pattern": {"Regex": "[0-9][0-9][0-9]"}, "behavior": "Isolated", "invert": false}])");
  const auto falcon =
      parse_tokenizer_json(byte_level({{"type", "Sequence"}, {"pretokenizers", parts}}).dump(), text("t.json"));
  ASSERT_TRUE(falcon.ok()) << falcon.status().message();
  EXPECT_EQ(falcon->pattern, pattern_for_pretokenizer("falcon"));
  parts[0]["behavior"] = "Isolated";
  expect_refused(byte_level({{"type", "Sequence"}, {"pretokenizers", parts}}), "pre_tokenizer: an unknown arrangement");
  json other = byte_level(whole);
  other["normalizer"] = {{"type", "NFKC"}};
  expect_refused(other, "normalizer: there is one");
}

}  // namespace
}  // namespace rill::quant
