#include "quant/huggingface_importer.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <map>
#include <set>
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

/// After so many bytes the pages read so far are given back: an import stays small however large its source.
constexpr std::uint64_t kForgetAfterBytes = std::uint64_t{16} << 20U;

Status bad_directory(const Text& where, const Text& what, const Text& expected) {
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
  std::string_view family() const override { return config_.family->family; }
  std::string_view format() const override { return "Hugging Face directory"; }
  std::uint64_t bytes_in() const override { return shards_.bytes(); }
  std::span<const TensorName> names() const override { return config_.family->names; }
  const SourceTensor* find(std::string_view name) const override;
  Status read_rows(const SourceTensor& tensor, std::uint64_t first, std::uint64_t count,
                   std::span<float> out) const override;
  std::vector<double> rope_turns() const override { return config_.rope_turns(); }
  std::vector<double> alibi_slopes() const override { return config_.alibi_slopes(); }
  const SourceTokenizer& tokenizer() const override { return tokenizer_; }
  ChatTemplate chat_template() const override { return chat_template_; }

 private:
  struct Found {
    SourceTensor tensor;
    SafetensorsShards::Place place;
    bool transposed = false;
  };

  bool is_ignored(std::string_view name) const;
  Status refuse_strangers(const std::vector<NeededTensor>& needed) const;
  const SafetensorsShards::Place* locate(const std::string& name) const;
  Status untie_other_head();
  Status place_tensor(const NeededTensor& needed);
  Status check_tensor(const SafetensorsShards::Place& place, const NeededTensor& needed, bool transposed) const;
  Status read_transposed(const Found& source, std::uint64_t first, std::uint64_t count, std::span<float> out) const;

  std::string directory_;
  HuggingfaceConfig config_;
  SafetensorsShards shards_;
  std::map<std::string, Found, std::less<>> tensors_;
  SourceTokenizer tokenizer_;
  ChatTemplate chat_template_;
  mutable std::atomic<std::uint64_t> bytes_since_forgetting_ = 0;
};

/// What a checkpoint may carry and no network needs: tables that follow from the configuration, and under the head's
/// name what is the embedding in a tied model.
bool HuggingfaceModel::is_ignored(std::string_view name) const {
  const auto ends_name = [&](std::string_view suffix) { return name.ends_with(suffix); };
  const auto is_head = [&](const TensorName& row) { return row.part == Part::kHead && row.pattern == name; };
  return std::ranges::any_of(config_.family->ignored, ends_name) || std::ranges::any_of(names(), is_head);
}

Status HuggingfaceModel::refuse_strangers(const std::vector<NeededTensor>& needed) const {
  std::set<std::string_view> known;
  for (const NeededTensor& tensor : needed) known.insert(tensor.names.begin(), tensor.names.end());
  for (const auto& [name, place] : shards_.tensors()) {
    std::string_view bare = name;
    if (bare.starts_with(config_.family->optional_prefix)) bare.remove_prefix(config_.family->optional_prefix.size());
    if (known.contains(name) || known.contains(bare) || is_ignored(name)) continue;
    return bad_directory(shards_.file(place).where(*place.tensor), text("not a part of the ", family(), " network"),
                         text("only what the family names, in ", config().layers, " layers"));
  }
  return {};
}

/// A tensor of the file, with the family's prefix or without; nullptr if there is none.
const SafetensorsShards::Place* HuggingfaceModel::locate(const std::string& name) const {
  for (const std::string& written : {name, std::string(config_.family->optional_prefix) + name}) {
    const auto found = shards_.tensors().find(written);
    if (found != shards_.tensors().end()) return &found->second;
  }
  return nullptr;
}

Status HuggingfaceModel::place_tensor(const NeededTensor& needed) {
  for (std::size_t i = 0; i < needed.names.size(); ++i) {
    const SafetensorsShards::Place* const found = locate(needed.names[i]);
    if (found == nullptr) continue;
    const bool transposed = needed.rows[i]->transposed && !needed.is_bias;
    RILL_TRY(check_tensor(*found, needed, transposed));
    tensors_[needed.names[i]] = {
        .tensor = {.name = needed.names[i], .rows = needed.shape.rows, .columns = needed.shape.columns},
        .place = *found,
        .transposed = transposed};
    return {};
  }
  return bad_directory(text(directory_, ", tensor ", needed.names.front()), text("missing"),
                       text("[", needed.shape.rows, ", ", needed.shape.columns, "]"));
}

/// A tied model's file may have a head that is not the embedding: transformers 5 takes it then.
Status HuggingfaceModel::untie_other_head() {
  const auto find = [&](Part part) -> const SafetensorsShards::Place* {
    const auto row = std::ranges::find(names(), part, &TensorName::part);
    return row == names().end() ? nullptr : locate(std::string(row->pattern));
  };
  const SafetensorsShards::Place* const head = find(Part::kHead);
  const SafetensorsShards::Place* const embedding = find(Part::kEmbedding);
  if (head == nullptr || embedding == nullptr) return {};
  if (head->tensor->shape != embedding->tensor->shape) return {};  // as transformers 4 had it
  std::vector<float> ours(4096);
  std::vector<float> theirs(ours.size());
  for (std::uint64_t first = 0; first < head->tensor->elements; first += ours.size()) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(ours.size(), head->tensor->elements - first));
    RILL_TRY(shards_.file(*head).read_floats(*head->tensor, first, std::span(ours).first(count)));
    RILL_TRY(shards_.file(*embedding).read_floats(*embedding->tensor, first, std::span(theirs).first(count)));
    if (std::equal(ours.begin(), ours.begin() + static_cast<std::ptrdiff_t>(count), theirs.begin())) continue;
    config_.model.tied_head = 0;
    break;
  }
  return {};
}

Status HuggingfaceModel::read_tensors() {
  if (config().tied_head != 0) RILL_TRY(untie_other_head());
  const std::vector<NeededTensor> needed = needed_tensors(names(), config());
  // First what is too much: it says more about a model of another kind than what it lacks.
  RILL_TRY(refuse_strangers(needed));
  for (const NeededTensor& tensor : needed) RILL_TRY(place_tensor(tensor));
  return {};
}

/// A vector, a matrix, or one matrix per expert: [experts, rows, columns], as the file has them.
Status HuggingfaceModel::check_tensor(const SafetensorsShards::Place& place, const NeededTensor& needed,
                                      bool transposed) const {
  const SafetensorsTensor& tensor = *place.tensor;
  const Text where = shards_.file(place).where(tensor);
  const PartShape shape = needed.shape;
  const std::uint64_t experts = config().experts;
  const Part part = needed.rows.front()->part;
  const bool is_per_expert = experts > 0 && !needed.is_bias && (part == Part::kGateUp || part == Part::kDown);
  std::vector<std::uint64_t> expected = {shape.rows, shape.columns};
  if (transposed) std::swap(expected.front(), expected.back());
  if (is_per_expert) {
    expected = {experts, shape.rows / experts, shape.columns};
    if (transposed) std::swap(expected[1], expected[2]);
  }
  if (tensor.shape.size() == 1 && shape.rows == 1 && !transposed) expected = {shape.columns};
  if (!std::ranges::equal(tensor.shape, expected)) {
    const auto spell = [](const auto& extents) {
      Text spelt = text('[');
      for (const std::uint64_t extent : extents) spelt.append(text(spelt.view() == "[" ? "" : ", ", extent).view());
      spelt.append("]");
      return spelt;
    };
    return bad_directory(where, spell(tensor.shape), text(spell(expected), " by config.json"));
  }
  if (!SafetensorsFile::is_real(*tensor.type)) {
    return bad_directory(where, text("elements of ", tensor.type->name), text("F32, F16, BF16 or F64"));
  }
  return {};
}

Status HuggingfaceModel::read_text(const std::string& tokenizer_path) {
  RILL_ASSIGN(tokenizer_, read_huggingface_tokenizer(directory_, tokenizer_path, config_));
  RILL_ASSIGN(chat_template_, read_huggingface_chat_template(directory_));
  // Llama 3's template begins with the token that its tokenizer.json, as it was first published, leaves to it.
  if (tokenizer_.kind == SourceTokenizer::Kind::kByteLevelBpe &&
      chat_template_.jinja.find("bos_token") != std::string::npos) {
    tokenizer_.adds_beginning_of_text = tokenizer_.beginning_of_text != kNoToken;
  }
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
  RILL_TRY(source.transposed ? read_transposed(source, first, count, out)
                             : file.read_floats(*source.place.tensor, first * source.tensor.columns, out));
  const std::uint64_t read = out.size() * source.place.tensor->type->bytes;
  if (bytes_since_forgetting_.fetch_add(read) + read >= kForgetAfterBytes) {
    bytes_since_forgetting_ = 0;
    file.forget_pages();
  }
  return {};
}

/// Rows of a matrix that the file has as columns: [columns, rows], for each expert where there are any.
Status HuggingfaceModel::read_transposed(const Found& source, std::uint64_t first, std::uint64_t count,
                                         std::span<float> out) const {
  const SafetensorsFile& file = shards_.file(source.place);
  const bool per_expert = source.place.tensor->shape.size() == 3;
  const std::uint64_t columns = source.tensor.columns;
  const std::uint64_t rows = per_expert ? source.place.tensor->shape[2] : source.tensor.rows;  // of one matrix
  std::vector<float> part;
  for (std::uint64_t done = 0; done < count;) {
    const std::uint64_t in_matrix = (first + done) % rows;
    const std::uint64_t run = std::min(count - done, rows - in_matrix);
    const std::uint64_t matrix_start = (first + done) / rows * rows * columns;
    part.resize(static_cast<std::size_t>(run));
    for (std::uint64_t c = 0; c < columns; ++c) {
      RILL_TRY(file.read_floats(*source.place.tensor, matrix_start + c * rows + in_matrix, part));
      for (std::size_t r = 0; r < part.size(); ++r) out[static_cast<std::size_t>((done + r) * columns + c)] = part[r];
    }
    done += run;
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
