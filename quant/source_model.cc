#include "quant/source_model.h"

#include <filesystem>
#include <system_error>

#include "platform/mapped_file.h"
#include "quant/gguf_file.h"
#include "quant/gguf_importer.h"
#include "quant/huggingface_importer.h"
#include "quant/llama2c_importer.h"

namespace rill::quant {
namespace {

/// Files that people have at hand and that hold no model to import, by what they begin with.
struct Stranger {
  std::size_t offset;
  std::string_view magic;
  std::string_view what;
  std::string_view remedy;
};
constexpr Stranger kStrangers[] = {
    {0, "RILL\r\n", "a model that has been imported already", "run it with `rill chat`"},
    {0, "PK\x03\x04", "a zip archive, such as a PyTorch checkpoint",
     "give a GGUF file or a directory with safetensors"},
    {8, "{\"", "a safetensors file", "give the directory in which it lies with its config.json"},
};

Status refuse_strangers(const MappedFile& file) {
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  for (const Stranger& stranger : kStrangers) {
    if (bytes.size() < stranger.offset || !bytes.substr(stranger.offset).starts_with(stranger.magic)) continue;
    return bad_input({.where = text(file.name()),
                      .what = text(stranger.what),
                      .expected = text("a model to import"),
                      .remedy = text(stranger.remedy)});
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<SourceModel>> open_source_model(const std::string& path, const std::string& tokenizer_path) {
  std::error_code ignored;  // what cannot be looked at cannot be mapped either, and says so there
  if (std::filesystem::is_directory(path, ignored)) return open_huggingface_model(path, tokenizer_path);
  bool is_gguf = false;
  {
    RILL_ASSIGN(const auto file, MappedFile::open(path));
    is_gguf = GgufFile::recognises(file.bytes());
    RILL_TRY(refuse_strangers(file));
  }
  if (is_gguf) return open_gguf_model(path, tokenizer_path);
  return open_llama2c_model(path, tokenizer_path);
}

}  // namespace rill::quant
