#include "quant/huggingface_text.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "platform/mapped_file.h"
#include "quant/json_document.h"
#include "quant/sentencepiece_file.h"
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

}  // namespace

Result<SourceTokenizer> read_huggingface_tokenizer(const std::string& directory, const std::string& tokenizer_path,
                                                   const HuggingfaceConfig& config) {
  const std::string path = tokenizer_path.empty() ? directory + "/tokenizer.model" : tokenizer_path;
  const std::string json_path = directory + "/tokenizer.json";
  const bool has_proto = !tokenizer_path.empty() || exists(path);
  if (!has_proto && !exists(json_path)) return SourceTokenizer{};
  RILL_ASSIGN(SourceTokenizer tokenizer, has_proto ? read_sentencepiece_file(path) : read_tokenizer_json(json_path));
  if (tokenizer.beginning_of_text == kNoToken) tokenizer.beginning_of_text = config.beginning_of_text;
  for (const Token token : config.end_tokens) {
    auto& ends = tokenizer.end_tokens;
    if (std::ranges::find(ends, token) == ends.end()) ends.push_back(token);
  }
  for (const Token token : tokenizer.special) {
    if (token < tokenizer.tokens.size() && is_end_spelling(tokenizer.tokens[token])) {
      tokenizer.end_tokens.push_back(token);
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
