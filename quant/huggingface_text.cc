#include "quant/huggingface_text.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
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

Status bad_added_token(const std::string& path, std::string_view entry) {
  return bad_input({.where = text(path, ", added token ", legible(entry)),
                    .what = text("no id and spelling"),
                    .expected = text("\"ID\": {\"content\": SPELLING} in tokenizer_config.json, SPELLING: ID in "
                                     "added_tokens.json"),
                    .remedy = text("download the file again")});
}

/// What tokenizer_config.json lists, with whether it is special, else what the older added_tokens.json does.
Result<std::map<std::uint64_t, AddedToken>> read_added_tokens(const std::string& directory) {
  std::map<std::uint64_t, AddedToken> added;
  if (const std::string path = directory + "/tokenizer_config.json"; exists(path)) {
    RILL_ASSIGN(const json document, read_json_object(path));
    const json listed = document.value("added_tokens_decoder", json::object());
    for (const auto& [id, token] : listed.items()) {
      std::uint64_t number = 0;
      const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number);
      const json spelling = token.is_object() ? token.value("content", json()) : json();
      if (error != std::errc() || end != id.data() + id.size() || !spelling.is_string()) {
        return bad_added_token(path, id);
      }
      added[number] = {.spelling = spelling.get<std::string>(), .is_special = token.value("special", json()) == true};
    }
  }
  if (const std::string path = directory + "/added_tokens.json"; added.empty() && exists(path)) {
    RILL_ASSIGN(const json document, read_json_object(path));
    for (const auto& [spelling, id] : document.items()) {
      if (!id.is_number_unsigned()) return bad_added_token(path, spelling);
      added[id.get<std::uint64_t>()] = {.spelling = spelling};
    }
  }
  return added;
}

/// Gives a SentencePiece model the tokens that stand beside it, behind its own pieces.
Status add_tokens(const std::string& directory, std::uint32_t vocabulary, SourceTokenizer& tokenizer) {
  RILL_ASSIGN(const auto added, read_added_tokens(directory));
  RILL_ASSIGN(const SentencePieceFacts facts, examine_sentencepiece(tokenizer.sentencepiece_proto));
  std::set<std::string_view> known(facts.tokens.begin(), facts.tokens.end());
  std::map<Token, AddedToken> missing;
  for (const auto& [id, token] : added) {
    if (id < facts.tokens.size() || id >= vocabulary || token.spelling.empty()) continue;
    if (!known.insert(token.spelling).second) continue;  // libsentencepiece takes no piece twice
    missing[static_cast<Token>(id)] = token;
    (token.is_special ? tokenizer.special : tokenizer.added).push_back(static_cast<Token>(id));
  }
  if (missing.empty()) return {};
  tokenizer.sentencepiece_proto += more_pieces(facts.tokens.size(), std::size_t{missing.rbegin()->first} + 1, missing);
  return {};
}

/// Tokens that were added for a chat are in tokenizer.json: it is taken where tokenizer.model is not all.
Result<SourceTokenizer> choose_tokenizer(const std::string& directory, const std::string& tokenizer_path,
                                         std::uint32_t vocabulary) {
  if (!tokenizer_path.empty()) return read_sentencepiece_file(tokenizer_path);
  const std::string proto_path = directory + "/tokenizer.model";
  const std::string json_path = directory + "/tokenizer.json";
  const bool has_json = exists(json_path);
  if (exists(proto_path)) {
    RILL_ASSIGN(SourceTokenizer tokenizer, read_sentencepiece_file(proto_path));
    if (!has_json) {
      RILL_TRY(add_tokens(directory, vocabulary, tokenizer));
      return tokenizer;
    }
    RILL_ASSIGN(const SentencePieceFacts facts, examine_sentencepiece(tokenizer.sentencepiece_proto));
    if (facts.tokens.size() == vocabulary) return tokenizer;
  }
  return has_json ? read_tokenizer_json(json_path, vocabulary) : Result<SourceTokenizer>(SourceTokenizer());
}

/// The template itself, or of several the one named "default".
Result<std::string> chosen_template(const json& value, const std::string& path) {
  if (value.is_null()) return std::string();
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array()) {
    for (const json& named : value) {
      if (!named.is_object() || named.value("name", json()) != "default") continue;
      if (const json chosen = named.value("template", json()); chosen.is_string()) return chosen.get<std::string>();
    }
  }
  return bad_input({.where = text(path, ", key chat_template"),
                    .what = text("a JSON ", value.type_name()),
                    .expected = text("a string, or an array with a template named \"default\""),
                    .remedy = text("download the file again")});
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

Result<ChatTemplate> read_huggingface_chat_template(const std::string& directory) {
  const std::string path = directory + "/tokenizer_config.json";
  const std::string jinja = directory + "/chat_template.jinja";
  json document = json::object();
  if (exists(path)) {
    RILL_ASSIGN(document, read_json_object(path));
  }
  ChatTemplate found;
  const auto spelling = [&](const char* key) {
    const json token = document.value(key, json());
    const json content = token.is_object() ? token.value("content", json()) : token;
    return content.is_string() ? content.get<std::string>() : std::string();
  };
  found.bos_token = spelling("bos_token");
  found.eos_token = spelling("eos_token");
  if (exists(jinja)) {
    RILL_ASSIGN(found.jinja, read_file(jinja, kMostTemplateBytes));
  } else {
    RILL_ASSIGN(found.jinja, chosen_template(document.value("chat_template", json()), path));
  }
  return found;
}

}  // namespace rill::quant
