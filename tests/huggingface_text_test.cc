// The tokenizer and the chat template of a Hugging Face directory, wherever they are and whatever they leave out.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "quant/chat_section.h"
#include "quant/huggingface_importer.h"
#include "quant/tokenizer_writer.h"
#include "tests/support/huggingface_directory.h"
#include "tests/support/shared_data.h"
#include "tests/support/tokenizer_fixture.h"

namespace rill::quant {
namespace {

using nlohmann::json;

TEST(HuggingfaceText, FindsTheChatTemplateInEveryPlaceItMayHave) {
  const HuggingfaceDirectory directory;
  directory.write("tokenizer_config.json", R"({"chat_template": "one"})");
  EXPECT_EQ(opened(directory)->chat_template().jinja, "one");
  directory.write("tokenizer_config.json",
                  R"({"chat_template": [{"name": "tool", "template": "x"}, {"name": "default", "template": "two"}]})");
  EXPECT_EQ(opened(directory)->chat_template().jinja, "two");
  directory.write("chat_template.jinja", "three");
  EXPECT_EQ(opened(directory)->chat_template().jinja, "three");
  directory.remove("chat_template.jinja");
  directory.write("tokenizer_config.json", R"({"chat_template": 7})");
  directory.expect_refused("tokenizer_config.json, key chat_template: a JSON number");
  directory.write("tokenizer_config.json", R"({"chat_template": [1, {"name": 2}, {"name": "default"}]})");
  directory.expect_refused("key chat_template");
  directory.write("tokenizer_config.json", R"({"chat_template": null})");
  EXPECT_EQ(opened(directory)->chat_template().jinja, "");
}

TEST(HuggingfaceText, FindsTheSpellingsThatAChatTemplateMayWrite) {
  const HuggingfaceDirectory directory;
  directory.write("tokenizer_config.json",
                  R"({"bos_token": "<s>", "eos_token": {"content": "</s>", "special": true}})");
  EXPECT_EQ(opened(directory)->chat_template().bos_token, "<s>");
  EXPECT_EQ(opened(directory)->chat_template().eos_token, "</s>");
  directory.write("tokenizer_config.json", R"({"bos_token": null, "eos_token": 7})");
  EXPECT_EQ(opened(directory)->chat_template().bos_token, "");
  EXPECT_EQ(opened(directory)->chat_template().eos_token, "");
}

TEST(HuggingfaceText, TakesASentencePieceModelAndAddsTheConfigurationsEndTokens) {
  RILL_NEED_SHARED("models/stories260K/tok512.model");
  const std::string model_file = shared_path("models/stories260K/tok512.model");
  const HuggingfaceDirectory directory;
  directory.configure({{"eos_token_id", {4, 2}}});
  for (const bool beside : {true, false}) {
    std::filesystem::remove(directory.path() + "/tokenizer.model");
    if (beside) std::filesystem::copy_file(model_file, directory.path() + "/tokenizer.model");
    const auto model = open_huggingface_model(directory.path(), beside ? "" : model_file);
    ASSERT_TRUE(model.ok()) << model.status().message();
    const SourceTokenizer& tokenizer = (*model)->tokenizer();
    EXPECT_EQ(tokenizer.kind, SourceTokenizer::Kind::kSentencePiece);
    EXPECT_EQ(tokenizer.sentencepiece_proto.size(), std::filesystem::file_size(model_file));
    EXPECT_EQ(tokenizer.beginning_of_text, 1U);
    EXPECT_EQ(tokenizer.end_tokens, (std::vector<Token>{2, 4}));
  }
}

TEST(HuggingfaceText, RefusesATokenizerThatItCannotReadRatherThanDropIt) {
  const HuggingfaceDirectory directory;
  directory.write("tokenizer.json", "{}");
  directory.expect_refused("tokenizer.json, model.type: ");
  directory.write("tokenizer.model", "no proto at all");
  directory.expect_refused("tokenizer.model: ");
  const auto model = open_huggingface_model(directory.path(), "/nonexistent/tokenizer.model");
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().code(), Code::kBadInput);
}

/// Five byte-level tokens: a, ab, b and two special ones.
json small_tokenizer() {
  return json::parse(R"({
    "added_tokens": [{"id": 3, "content": "<|begin_of_text|>", "special": true},
                     {"id": 4, "content": "<|eot_id|>", "special": true}],
    "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
    "post_processor": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"], "ignore_merges": true}})");
}

// Llama 3's files, as they were first published: the template alone names the first token, the configuration the base
// model's end.
TEST(HuggingfaceText, BeginsAsTheTemplateDoesAndEndsWhereATurnEnds) {
  const HuggingfaceDirectory directory;
  directory.configure({{"bos_token_id", 3}, {"eos_token_id", 2}});
  directory.write("tokenizer.json", small_tokenizer().dump());
  const auto base = opened(directory);
  ASSERT_NE(base, nullptr);
  EXPECT_FALSE(base->tokenizer().adds_beginning_of_text);
  directory.write("tokenizer_config.json", R"({"chat_template": "{{ bos_token }}{{ '<|start_header_id|>' }}"})");
  const auto model = opened(directory);
  ASSERT_NE(model, nullptr);
  EXPECT_TRUE(model->tokenizer().adds_beginning_of_text);
  EXPECT_EQ(model->tokenizer().beginning_of_text, 3U);
  EXPECT_EQ(model->tokenizer().end_tokens, (std::vector<Token>{2, 4}));
}

/// A model of 520 rows and a tokenizer.model of 512 pieces.
void write_rows_beyond_tokenizer(const HuggingfaceDirectory& directory) {
  directory.configure({{"vocab_size", 520}});
  std::vector<TensorToWrite> tensors = small_tensors();
  tensors[0].shape = tensors[1].shape = {520, 8};
  directory.write("model.safetensors", weights(tensors));
  std::filesystem::copy_file(shared_path("models/stories260K/tok512.model"), directory.path() + "/tokenizer.model");
}

/// Chat tokens that were added to Llama's vocabulary are in tokenizer.json only, and the rest of the rows in neither.
TEST(HuggingfaceText, TakesTheTokenizerThatIsMadeForTheModelsVocabulary) {
  RILL_NEED_SHARED("models/stories260K/tok512.model");
  const HuggingfaceDirectory directory;
  write_rows_beyond_tokenizer(directory);
  auto model = opened(directory);
  ASSERT_NE(model, nullptr);
  EXPECT_TRUE(model->tokenizer().adds_beginning_of_text);
  const auto section = write_tokenizer_section(model->tokenizer(), 520);
  ASSERT_TRUE(section.ok()) << section.status().message();
  EXPECT_FALSE(write_tokenizer_section(model->tokenizer(), 511).ok());

  directory.write("tokenizer.json", small_tokenizer().dump());
  directory.write("tokenizer_config.json", R"({"add_bos_token": false})");
  model = opened(directory);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->tokenizer().kind, SourceTokenizer::Kind::kByteLevelBpe);
  directory.remove("tokenizer.json");
  model = opened(directory);
  ASSERT_NE(model, nullptr);
  EXPECT_FALSE(model->tokenizer().adds_beginning_of_text) << "tokenizer_config.json says so";
}

// As fine-tuned Llama and Mistral models were published before tokenizer.json was common.
TEST(HuggingfaceText, TakesTheTokensThatStandBesideTokenizerModel) {
  RILL_NEED_SHARED("models/stories260K/tok512.model");
  const HuggingfaceDirectory directory;
  write_rows_beyond_tokenizer(directory);
  directory.write("tokenizer_config.json",
                  R"({"chat_template": "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + )"
                  R"('<|im_end|>\\n' }}{% endfor %}{{ '<|im_start|>assistant\\n' }}", "added_tokens_decoder": {
                      "1": {"content": "<s>", "special": true},
                      "513": {"content": "<|im_end|>", "special": true},
                      "512": {"content": "<|im_start|>", "special": true},
                      "515": {"content": "<tool>", "special": false},
                      "700": {"content": "<beyond the matrix>", "special": true}}})");
  auto model = opened(directory);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->tokenizer().special, (std::vector<Token>{512, 513}));
  EXPECT_EQ(model->tokenizer().added, std::vector<Token>{515});
  EXPECT_TRUE(std::ranges::count(model->tokenizer().end_tokens, Token{513}) == 1);
  const auto section = write_tokenizer_section(model->tokenizer(), 520);
  ASSERT_TRUE(section.ok()) << section.status().message();
  const auto chat = write_chat_section(model->chat_template(), *section);
  ASSERT_TRUE(chat.ok()) << chat.status().message();
  EXPECT_EQ(chat->section, "form: chatml\nsystem: ");
  const test::LoadedTokenizer tokenizer(*section);
  ASSERT_TRUE(tokenizer);
  const std::vector<Token> marked = tokenizer.tokens("<|im_start|>a<|im_end|>", SpecialTokens::kControl);
  ASSERT_GE(marked.size(), 3U);
  EXPECT_EQ(marked.front(), 512U);
  EXPECT_EQ(marked.back(), 513U);
  for (const Token token : tokenizer.tokens("<|im_start|>a<|im_end|>")) EXPECT_LT(token, 512U) << "a forged mark";
  EXPECT_EQ(std::ranges::count(tokenizer.tokens("a<tool>a"), Token{515}), 1);

  directory.write("tokenizer_config.json", "{}");
  directory.write("added_tokens.json", R"({"<|im_end|>": 512})");
  model = opened(directory);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->tokenizer().added, std::vector<Token>{512});
  EXPECT_TRUE(std::ranges::count(model->tokenizer().end_tokens, Token{512}) == 1);

  directory.write("added_tokens.json", R"({"<|im_end|>": "512"})");
  directory.expect_refused("added token <|im_end|>: no id and spelling");
  directory.write("tokenizer_config.json", R"({"added_tokens_decoder": {"5x": {"content": "a"}}})");
  directory.expect_refused("added token 5x");
}

}  // namespace
}  // namespace rill::quant
