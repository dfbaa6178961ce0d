#include "quant/huggingface_text.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "platform/mapped_file.h"
#include "quant/json_document.h"
#include "quant/sentencepiece_file.h"
#include "quant/sentencepiece_model.h"
#include "quant/tokenizer_json.h"
#include "quant/tokenizer_writer.h"

namespace rill::quant {
namespace {

using nlohmann::json;

constexpr std::size_t kMostTemplateBytes = std::size_t{1} << 20U;

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

Result<std::string> read_file(const std::string& path, std::size_t most_bytes) {
  RILL_ASSIGN(const MappedFile file, MappedFile::open(path));
  if (file.bytes().size() > most_bytes) {
    return bad_input({.where = text(path),
                      .what = text(file.bytes().size(), " bytes"),
                      .expected = text("at most ", most_bytes),
                      .remedy = text("download the file again")});
  }
  return std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
}

/// What tokenizer_config.json says of the beginning of a text; a SentencePiece model itself does not.
Result<bool> read_adds_beginning(const std::string& directory, bool otherwise) {
  const std::string path = directory + "/tokenizer_config.json";
  if (!exists(path)) return otherwise;
  RILL_ASSIGN(const json document, read_json_object(path));
  const auto found = document.find("add_bos_token");
  return found != document.end() && found->is_boolean() ? found->get<bool>() : otherwise;
}

/// Tokens that were added for a chat are in tokenizer.json alone: it is taken where tokenizer.model is not all.
Result<SourceTokenizer> choose_tokenizer(const std::string& directory, const std::string& tokenizer_path,
                                         std::uint32_t vocabulary) {
  if (!tokenizer_path.empty()) return read_sentencepiece_file(tokenizer_path);
  const std::string proto_path = directory + "/tokenizer.model";
  const std::string json_path = directory + "/tokenizer.json";
  const bool has_json = exists(json_path);
  if (exists(proto_path)) {
    RILL_ASSIGN(SourceTokenizer tokenizer, read_sentencepiece_file(proto_path));
    if (!has_json) return tokenizer;
    RILL_ASSIGN(const SentencePieceFacts facts, examine_sentencepiece(tokenizer.sentencepiece_proto));
    if (facts.tokens.size() == vocabulary) return tokenizer;
  }
  return has_json ? read_tokenizer_json(json_path, vocabulary) : Result<SourceTokenizer>(SourceTokenizer());
}

}  // namespace

Result<SourceTokenizer> read_huggingface_tokenizer(const std::string& directory, const std::string& tokenizer_path,
                                                   const HuggingfaceConfig& config) {
  RILL_ASSIGN(SourceTokenizer tokenizer, choose_tokenizer(directory, tokenizer_path, config.model.vocabulary));
  if (tokenizer.kind == SourceTokenizer::Kind::kNone) return tokenizer;
  std::vector<std::string> pieces;
  if (tokenizer.kind == SourceTokenizer::Kind::kSentencePiece) {
    RILL_ASSIGN(SentencePieceFacts facts, examine_sentencepiece(tokenizer.sentencepiece_proto));
    RILL_ASSIGN(tokenizer.adds_beginning_of_text, read_adds_beginning(directory, tokenizer.adds_beginning_of_text));
    pieces = std::move(facts.tokens);
  }
  if (tokenizer.beginning_of_text == kNoToken) tokenizer.beginning_of_text = config.beginning_of_text;
  const auto add_end = [&ends = tokenizer.end_tokens](Token token) {
    if (std::ranges::find(ends, token) == ends.end()) ends.push_back(token);
  };
  for (const Token token : config.end_tokens) add_end(token);
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    if (is_end_spelling(pieces[id])) add_end(static_cast<Token>(id));
  }
  for (const auto* tokens : {&tokenizer.special, &tokenizer.added}) {
    for (const Token token : *tokens) {
      if (token < tokenizer.tokens.size() && is_end_spelling(tokenizer.tokens[token])) add_end(token);
    }
  }
  return tokenizer;
}

Result<std::string> read_huggingface_chat_template(const std::string& directory) {
  const std::string jinja = directory + "/chat_template.jinja";
  if (exists(jinja)) return read_file(jinja, kMostTemplateBytes);
  const std::string path = directory + "/tokenizer_config.json";
  if (!exists(path)) return std::string();
  RILL_ASSIGN(const json document, read_json_object(path));
  const auto found = document.find("chat_template");
  if (found == document.end() || found->is_null()) return std::string();
  if (found->is_string()) return found->get<std::string>();
  if (found->is_array()) {
    for (const json& named : *found) {
      if (!named.is_object() || named.value("name", json()) != "default") continue;
      if (const json chosen = named.value("template", json()); chosen.is_string()) return chosen.get<std::string>();
    }
  }
  return bad_input({.where = text(path, ", key chat_template"),
                    .what = text("a JSON ", found->type_name()),
                    .expected = text("a string, or an array with a template named \"default\""),
                    .remedy = text("download the file again")});
}

}  // namespace rill::quant
