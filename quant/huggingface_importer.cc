#include "quant/huggingface_importer.h"

#include <atomic>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>
#include <vector>

#include "quant/huggingface_config.h"
#include "quant/huggingface_text.h"
#include "quant/json_document.h"
#include "quant/safetensors_shards.h"
#include "quant/tensor_table.h"

namespace rill::quant {
namespace {

/// What older checkpoints carry and no network needs: tables that follow from the configuration.
constexpr std::string_view kDerivedSuffix = ".rotary_emb.inv_freq";

/// After so many bytes the pages read so far are given back: an import stays small however large its source.
constexpr std::uint64_t kForgetAfterBytes = std::uint64_t{16} << 20U;

Status bad(const Text& where, const Text& what, const Text& expected) {
  return bad_input({.where = where,
                    .what = what,
                    .expected = expected,
                    .remedy = text("import a directory whose config.json and weights belong together")});
}

class HuggingfaceModel final : public SourceModel {
 public:
  HuggingfaceModel(std::string directory, HuggingfaceConfig config, SafetensorsShards shards)
      : directory_(std::move(directory)), config_(std::move(config)), shards_(std::move(shards)) {}
  /// Checks the tensors against the configuration.
  Status read_tensors();
  /// Reads the tokenizer and the chat template.
  Status read_text(const std::string& tokenizer_path);

  const ModelConfig& config() const override { return config_.model; }
  std::string_view family() const override { return config_.family->model_type; }
  std::string_view format() const override { return "Hugging Face directory"; }
  std::uint64_t bytes_in() const override { return shards_.bytes(); }
  std::span<const TensorName> names() const override { return config_.family->names; }
  const SourceTensor* find(std::string_view name) const override;
  Status read_rows(const SourceTensor& tensor, std::uint64_t first, std::uint64_t count,
                   std::span<float> out) const override;
  std::vector<double> rope_turns() const override {
    return quant::rope_turns(config_.model.head_size, config_.model.rope_theta, config_.rope);
  }
  const SourceTokenizer& tokenizer() const override { return tokenizer_; }
  std::string_view jinja_chat_template() const override { return chat_template_; }

 private:
  struct Found {
    SourceTensor tensor;
    SafetensorsShards::Place place;
  };

  std::map<std::string, PartShape, std::less<>> needed_tensors() const;
  Status check_tensor(const SafetensorsShards::Place& place, PartShape shape) const;

  std::string directory_;
  HuggingfaceConfig config_;
  SafetensorsShards shards_;
  std::map<std::string, Found, std::less<>> tensors_;
  SourceTokenizer tokenizer_;
  std::string chat_template_;
  mutable std::atomic<std::uint64_t> bytes_since_forgetting_ = 0;
};

std::map<std::string, PartShape, std::less<>> HuggingfaceModel::needed_tensors() const {
  std::map<std::string, PartShape, std::less<>> needed;
  for (const TensorName& name : names()) {
    if (name.part == Part::kHead && config().tied_head != 0) continue;
    const std::uint32_t copies = is_per_layer(name.pattern) ? config().layers : 1;
    for (std::uint32_t layer = 0; layer < copies; ++layer) {
      needed.emplace(tensor_name(name.pattern, layer), shape_of(name.part, config()));
    }
  }
  return needed;
}

Status HuggingfaceModel::read_tensors() {
  const auto needed = needed_tensors();
  std::string_view head;  // a tied model's file may repeat the embedding under the head's name
  for (const TensorName& name : names()) {
    if (name.part == Part::kHead) head = name.pattern;
  }
  // First what is too much: it says more about a model of another kind than what it lacks.
  for (const auto& [name, place] : shards_.tensors()) {
    if (needed.contains(name) || name == head || name.ends_with(kDerivedSuffix)) continue;
    return bad(shards_.file(place).where(*place.tensor), text("not a part of the ", family(), " network"),
               text("only what the family names, in ", config().layers, " layers"));
  }
  for (const auto& [name, shape] : needed) {
    const auto found = shards_.tensors().find(name);
    if (found == shards_.tensors().end()) {
      return bad(text(directory_, ", tensor ", name), text("missing"), text("[", shape.rows, ", ", shape.columns, "]"));
    }
    RILL_TRY(check_tensor(found->second, shape));
    tensors_[name] = {{.name = name, .rows = shape.rows, .columns = shape.columns}, found->second};
  }
  return {};
}

Status HuggingfaceModel::check_tensor(const SafetensorsShards::Place& place, PartShape shape) const {
  const SafetensorsTensor& tensor = *place.tensor;
  const Text where = shards_.file(place).where(tensor);
  const bool is_vector = tensor.shape.size() == 1;
  const bool is_matrix = tensor.shape.size() == 2;
  const std::uint64_t rows = is_matrix ? tensor.shape[0] : 1;
  if ((!is_matrix && !(is_vector && shape.rows == 1)) || rows != shape.rows || tensor.shape.back() != shape.columns) {
    Text found = text('[');
    for (const std::uint64_t extent : tensor.shape) found.append(text(found.view() == "[" ? "" : ", ", extent).view());
    return bad(where, text(found, ']'), text('[', shape.rows, ", ", shape.columns, "] by config.json"));
  }
  if (!SafetensorsFile::is_real(*tensor.type)) {
    return bad(where, text("elements of ", tensor.type->name), text("F32, F16, BF16 or F64"));
  }
  return {};
}

Status HuggingfaceModel::read_text(const std::string& tokenizer_path) {
  RILL_ASSIGN(tokenizer_, read_huggingface_tokenizer(directory_, tokenizer_path, config_));
  RILL_ASSIGN(chat_template_, read_huggingface_chat_template(directory_));
  return {};
}

const SourceTensor* HuggingfaceModel::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second.tensor;
}

Status HuggingfaceModel::read_rows(const SourceTensor& tensor, std::uint64_t first, std::uint64_t count,
                                   std::span<float> out) const {
  const auto found = tensors_.find(tensor.name);
  if (found == tensors_.end() || first > found->second.tensor.rows || count > found->second.tensor.rows - first ||
      out.size() != count * found->second.tensor.columns) {
    return failed({.where = text(directory_, ", tensor ", legible(tensor.name)),
                   .what = text("rows ", first, " and the next ", count, " into ", out.size(), " floats"),
                   .expected = text("some of its ", tensor.rows, " rows, ", tensor.columns, " floats each"),
                   .remedy = {}});
  }
  const Found& source = found->second;
  const SafetensorsFile& file = shards_.file(source.place);
  RILL_TRY(file.read_floats(*source.place.tensor, first * source.tensor.columns, out));
  const std::uint64_t read = out.size() * source.place.tensor->type->bytes;
  if (bytes_since_forgetting_.fetch_add(read) + read >= kForgetAfterBytes) {
    bytes_since_forgetting_ = 0;
    file.forget_pages();
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<SourceModel>> open_huggingface_model(const std::string& directory,
                                                            const std::string& tokenizer_path) {
  RILL_ASSIGN(HuggingfaceConfig config, read_huggingface_config(directory + "/config.json"));
  const std::string generation = directory + "/generation_config.json";
  std::error_code ignored;
  if (std::filesystem::exists(generation, ignored)) RILL_TRY(read_generation_config(generation, config));
  RILL_ASSIGN(SafetensorsShards shards, SafetensorsShards::open(directory));
  auto model = std::make_unique<HuggingfaceModel>(directory, std::move(config), std::move(shards));
  RILL_TRY(model->read_tensors());
  RILL_TRY(model->read_text(tokenizer_path));
  return std::unique_ptr<SourceModel>(std::move(model));
}

}  // namespace rill::quant
