#include "quant/huggingface_text.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "platform/mapped_file.h"
#include "quant/json_document.h"

namespace rill::quant {
namespace {

using nlohmann::json;

constexpr std::size_t kMostTemplateBytes = std::size_t{1} << 20U;

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

Result<std::string> read_template(const std::string& path) {
  RILL_ASSIGN(const MappedFile file, MappedFile::open(path));
  if (file.bytes().size() > kMostTemplateBytes) {
    return bad_input({.where = text(path),
                      .what = text(file.bytes().size(), " bytes"),
                      .expected = text("a chat template of at most ", kMostTemplateBytes),
                      .remedy = text("download the file again")});
  }
  return std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
}

}  // namespace

Result<SourceTokenizer> read_huggingface_tokenizer(const std::string& directory, const std::string& tokenizer_path,
                                                   const HuggingfaceConfig& config) {
  (void)config;
  const std::string& path = tokenizer_path.empty() ? directory + "/tokenizer.model" : tokenizer_path;
  if (!exists(path)) return SourceTokenizer{};
  return SourceTokenizer{};
}

Result<std::string> read_huggingface_chat_template(const std::string& directory) {
  const std::string jinja = directory + "/chat_template.jinja";
  if (exists(jinja)) return read_template(jinja);
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
