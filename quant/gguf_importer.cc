#include "quant/gguf_importer.h"

#include <cmath>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "quant/gguf_tokenizer.h"
#include "quant/rope_scaling.h"
#include "quant/sentencepiece_file.h"
#include "quant/tensor_table.h"

namespace rill::quant {
namespace {

constexpr TensorName kLlamaNames[] = {
    {"token_embd.weight", Part::kEmbedding},
    {"output.weight", Part::kHead},
    {"output_norm.weight", Part::kFinalNorm},
    {"blk.{}.attn_norm.weight", Part::kAttentionNorm},
    {"blk.{}.attn_q.weight", Part::kQuery, Rows::kAdjacentPairs},
    {"blk.{}.attn_k.weight", Part::kKey, Rows::kAdjacentPairs},
    {"blk.{}.attn_v.weight", Part::kValue},
    {"blk.{}.attn_output.weight", Part::kAttentionOut},
    {"blk.{}.ffn_norm.weight", Part::kMlpNorm},
    {"blk.{}.ffn_gate.weight", Part::kGate},
    {"blk.{}.ffn_up.weight", Part::kUp},
    {"blk.{}.ffn_down.weight", Part::kDown},
};

struct Family {
  std::string_view name;  ///< general.architecture
  std::span<const TensorName> names;
};
constexpr Family kFamilies[] = {{.name = "llama", .names = kLlamaNames}};

constexpr std::string_view kEmbeddingName = "token_embd.weight";
constexpr std::string_view kHeadName = "output.weight";
constexpr std::string_view kRopeDivisorsName = "rope_freqs.weight";  // of Llama 3's rope scaling: one per rotated pair

Status bad(const Text& where, const Text& what, const Text& expected, const Text& remedy) {
  return bad_input({.where = where, .what = what, .expected = expected, .remedy = remedy});
}

/// One import: the file, and what has been read out of it so far.
class GgufModel final : public SourceModel {
 public:
  explicit GgufModel(GgufFile file) : file_(std::move(file)) {}
  /// All but the tokenizer. Comes first.
  Status read_network();
  Status read_tokenizer();
  void set_tokenizer(SourceTokenizer tokenizer) { tokenizer_ = std::move(tokenizer); }

  const ModelConfig& config() const override { return config_; }
  std::string_view family() const override { return family_->name; }
  std::string_view format() const override { return "GGUF"; }
  std::uint64_t bytes_in() const override { return file_.bytes().size(); }
  std::span<const TensorName> names() const override { return family_->names; }
  const SourceTensor* find(std::string_view name) const override;
  Status read_rows(const SourceTensor& tensor, std::uint64_t first, std::uint64_t count,
                   std::span<float> out) const override;
  std::vector<double> rope_turns() const override { return rope_turns_; }
  const SourceTokenizer& tokenizer() const override { return tokenizer_; }
  std::string_view jinja_chat_template() const override { return chat_template_; }

 private:
  std::string key(std::string_view suffix) const { return std::string(family_->name) + "." + std::string(suffix); }
  Result<std::uint32_t> number(std::string_view suffix, std::optional<std::uint32_t> otherwise) const;
  Result<double> real(std::string_view suffix, std::optional<double> otherwise) const;

  Status read_family();
  Status read_dimensions();
  Status read_head_size();
  Status read_tensors();
  Status check_shape(const GgufTensor& tensor, PartShape shape) const;
  Status foreign_tensor(const GgufTensor& tensor) const;
  Status read_rope();
  Result<double> read_rope_factor() const;
  Status read_rope_divisors();
  Status read_chat_template();

  GgufFile file_;
  const Family* family_ = nullptr;
  ModelConfig config_;
  std::map<std::string, SourceTensor, std::less<>> tensors_;
  std::vector<double> rope_turns_;
  SourceTokenizer tokenizer_;
  std::string_view chat_template_;
};

Status GgufModel::read_network() {
  RILL_TRY(read_family());
  RILL_TRY(read_dimensions());
  RILL_TRY(validate(config_, text(file_.name())));
  RILL_TRY(read_tensors());
  RILL_TRY(read_rope());
  return read_chat_template();
}

Result<std::uint32_t> GgufModel::number(std::string_view suffix, std::optional<std::uint32_t> otherwise) const {
  const std::string name = key(suffix);
  RILL_ASSIGN(const auto found, file_.find_u64(name));
  if (!found && otherwise) return *otherwise;
  if (!found || *found > std::numeric_limits<std::uint32_t>::max()) {
    return bad(file_.where(name), found ? text(*found) : text("the key is missing"), text("a 32-bit integer"),
               text("convert the model again"));
  }
  return static_cast<std::uint32_t>(*found);
}

Result<double> GgufModel::real(std::string_view suffix, std::optional<double> otherwise) const {
  const std::string name = key(suffix);
  RILL_ASSIGN(const auto found, file_.find_f64(name));
  if (!found && otherwise) return *otherwise;
  if (!found || !std::isfinite(*found)) {
    return bad(file_.where(name), found ? text(*found) : text("the key is missing"), text("a finite number"),
               text("convert the model again"));
  }
  return *found;
}

Status GgufModel::read_family() {
  constexpr std::string_view kKey = "general.architecture";
  RILL_ASSIGN(const auto name, file_.find_string(kKey));
  Text known;
  for (const Family& family : kFamilies) {
    if (name && family.name == *name) family_ = &family;
    known.append(known.empty() ? "" : ", ");
    known.append(family.name);
  }
  if (family_ == nullptr) {
    return bad(file_.where(kKey),
               name ? text("family ", printable(*name), " is not known") : text("the key is missing"),
               text("one of ", known), text("import a model of a known family"));
  }
  RILL_ASSIGN(const auto parts, file_.find_u64("split.count"));
  if (parts.value_or(1) > 1) {
    return bad(file_.where("split.count"), text("one of ", *parts, " parts of a model"), text("a model in one file"),
               text("join the parts with `llama-gguf-split --merge` first"));
  }
  if (file_.tensors().empty()) {
    return bad(text(file_.name()), text("a vocabulary without a single tensor"), text("a whole model"),
               text("give the GGUF file that holds the weights"));
  }
  return {};
}

Status GgufModel::read_dimensions() {
  ModelConfig& c = config_;
  RILL_ASSIGN(c.layers, number("block_count", {}));
  RILL_ASSIGN(c.hidden, number("embedding_length", {}));
  RILL_ASSIGN(c.mlp_width, number("feed_forward_length", {}));
  RILL_ASSIGN(c.heads, number("attention.head_count", {}));
  RILL_ASSIGN(c.kv_heads, number("attention.head_count_kv", c.heads));
  RILL_ASSIGN(c.context_length, number("context_length", 0));
  RILL_ASSIGN(c.norm_epsilon, real("attention.layer_norm_rms_epsilon", {}));
  RILL_ASSIGN(c.rope_theta, real("rope.freq_base", 10000.0));
  RILL_ASSIGN(const auto window, number("attention.sliding_window", 0));
  if (window != 0) {
    return bad(file_.where(key("attention.sliding_window")), text("the model was trained with a window of ", window),
               text("a model that attends to all of its context"), text("import another model"));
  }
  const GgufTensor* embedding = file_.find_tensor(kEmbeddingName);
  if (embedding == nullptr || embedding->dimensions[1] > std::numeric_limits<std::uint32_t>::max()) {
    return bad(text(file_.name(), ", tensor ", kEmbeddingName), embedding ? text("too many rows") : text("missing"),
               text("one row for each token"), text("give the GGUF file that holds the whole model"));
  }
  c.vocabulary = static_cast<std::uint32_t>(embedding->dimensions[1]);
  c.tied_head = file_.find_tensor(kHeadName) == nullptr ? 1 : 0;
  return read_head_size();
}

Status GgufModel::read_head_size() {
  ModelConfig& c = config_;
  const bool divides = c.heads != 0 && c.hidden % c.heads == 0;
  RILL_ASSIGN(c.head_size, number("attention.key_length", divides ? std::optional(c.hidden / c.heads) : std::nullopt));
  RILL_ASSIGN(const auto value_size, number("attention.value_length", c.head_size));
  RILL_ASSIGN(const auto rotated, number("rope.dimension_count", c.head_size));
  if (value_size != c.head_size) {
    return bad(file_.where(key("attention.value_length")), text(value_size), text("the key length, ", c.head_size),
               text("import a model whose keys and values have one size"));
  }
  if (rotated != c.head_size) {
    return bad(file_.where(key("rope.dimension_count")), text(rotated), text("the head size, ", c.head_size),
               text("import a model that rotates whole heads"));
  }
  return {};
}

Status GgufModel::read_tensors() {
  std::map<std::string, PartShape, std::less<>> needed;
  for (const TensorName& name : family_->names) {
    if (name.part == Part::kHead && config_.tied_head != 0) continue;
    const std::uint32_t copies = is_per_layer(name.pattern) ? config_.layers : 1;
    for (std::uint32_t layer = 0; layer < copies; ++layer) {
      needed.emplace(tensor_name(name.pattern, layer), shape_of(name.part, config_));
    }
  }
  // First what is too much: it says more about a model of another kind than what it lacks.
  for (const GgufTensor& tensor : file_.tensors()) {
    if (tensor.name != kRopeDivisorsName && !needed.contains(tensor.name)) return foreign_tensor(tensor);
  }
  for (const auto& [name, shape] : needed) {
    const GgufTensor* tensor = file_.find_tensor(name);
    if (tensor == nullptr) {
      return bad(text(file_.name(), ", tensor ", name), text("missing"),
                 text("[", shape.rows, ", ", shape.columns, "]"), text("convert the model again"));
    }
    RILL_TRY(check_shape(*tensor, shape));
    tensors_.emplace(name, SourceTensor{.name = name, .rows = shape.rows, .columns = shape.columns});
  }
  return {};
}

Status GgufModel::check_shape(const GgufTensor& tensor, PartShape shape) const {
  const auto& d = tensor.dimensions;
  if (d[0] == shape.columns && d[1] == shape.rows && d[2] == 1 && d[3] == 1) return {};
  return bad(file_.where(tensor), text("[", d[3] * d[2] * d[1], ", ", d[0], "]"),  // their product was checked
             text("[", shape.rows, ", ", shape.columns, "] by the file's own configuration"),
             text("convert the model again"));
}

Status GgufModel::foreign_tensor(const GgufTensor& tensor) const {
  return bad(file_.where(tensor), text("not a part of the ", family_->name, " network"),
             text("no biases, experts or extra norms beside the ", family_->names.size(),
                  " tensors the family names, in ", config_.layers, " layers"),
             text("import a model without it"));
}

Status GgufModel::read_rope() {
  RILL_ASSIGN(const double factor, read_rope_factor());
  rope_turns_ =
      quant::rope_turns(config_.head_size, config_.rope_theta, {.kind = RopeScaling::Kind::kLinear, .factor = factor});
  return read_rope_divisors();
}

/// What linear scaling divides every frequency by; 1 where there is none.
Result<double> GgufModel::read_rope_factor() const {
  RILL_ASSIGN(const auto type, file_.find_string(key("rope.scaling.type")));
  RILL_ASSIGN(const double old_factor, real("rope.scale_linear", 1.0));  // how older converters wrote it
  RILL_ASSIGN(const double factor, real("rope.scaling.factor", old_factor));
  if (type == "none") return 1.0;
  if (type && *type != "linear") {
    return bad(file_.where(key("rope.scaling.type")), text("rope scaling ", printable(*type), " is not known"),
               text("none, linear, or the divisors in ", kRopeDivisorsName), text("import a model without it"));
  }
  if (factor == 0.0) return 1.0;  // means "not scaled" to those who write it
  if (!(factor > 0.0)) {
    return bad(file_.where(key("rope.scaling.factor")), text(factor), text("a number above 0"),
               text("convert the model again"));
  }
  return factor;
}

Status GgufModel::read_rope_divisors() {
  const GgufTensor* tensor = file_.find_tensor(kRopeDivisorsName);
  if (tensor == nullptr) return {};
  RILL_TRY(check_shape(*tensor, {.rows = 1, .columns = rope_turns_.size()}));
  std::vector<float> divisors(rope_turns_.size());
  tensor->format->dequantize(file_.data(*tensor).data(), divisors.size() / tensor->format->elements, divisors.data());
  for (std::size_t i = 0; i < divisors.size(); ++i) {
    if (!std::isfinite(divisors[i]) || divisors[i] <= 0.0F) {
      return bad(file_.where(*tensor), text("element ", i, " is ", divisors[i]), text("a divisor above 0"),
                 text("convert the model again"));
    }
    rope_turns_[i] /= static_cast<double>(divisors[i]);
  }
  return {};
}

Status GgufModel::read_tokenizer() {
  RILL_ASSIGN(tokenizer_, read_gguf_tokenizer(file_));
  RILL_ASSIGN(const auto tokens, file_.find_strings("tokenizer.ggml.tokens"));
  if (tokenizer_.kind != SourceTokenizer::Kind::kNone && tokens && tokens->size() != config_.vocabulary) {
    return bad(file_.where("tokenizer.ggml.tokens"), text(tokens->size(), " tokens"),
               text(config_.vocabulary, ", the rows of ", kEmbeddingName), text("convert the model again"));
  }
  return {};
}

Status GgufModel::read_chat_template() {
  RILL_ASSIGN(const auto chat, file_.find_string("tokenizer.chat_template"));
  chat_template_ = chat.value_or(std::string_view());
  return {};
}

const SourceTensor* GgufModel::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

Status GgufModel::read_rows(const SourceTensor& tensor, std::uint64_t first, std::uint64_t count,
                            std::span<float> out) const {
  const SourceTensor* known = find(tensor.name);
  const GgufTensor* source = file_.find_tensor(tensor.name);
  if (known == nullptr || source == nullptr || first > known->rows || count > known->rows - first ||
      out.size() != count * known->columns) {
    return failed({.where = text(file_.name(), ", tensor ", printable(tensor.name)),
                   .what = text("rows ", first, " and the next ", count, " into ", out.size(), " floats"),
                   .expected = text("some of its ", tensor.rows, " rows, ", tensor.columns, " floats each"),
                   .remedy = {}});
  }
  const std::uint64_t blocks_per_row = known->columns / source->format->elements;
  const std::span<const std::byte> bytes = file_.data(*source);
  source->format->dequantize(bytes.data() + first * blocks_per_row * source->format->bytes,
                             static_cast<std::size_t>(count * blocks_per_row), out.data());
  if (first + count == known->rows) file_.forget_pages();  // an import's memory is a tensor's, not the file's
  return {};
}

}  // namespace

Result<std::unique_ptr<SourceModel>> open_gguf_model(const std::string& path, const std::string& tokenizer_path) {
  RILL_ASSIGN(auto file, GgufFile::open(path));
  if (tokenizer_path.empty()) return import_gguf(std::move(file));
  auto model = std::make_unique<GgufModel>(std::move(file));
  RILL_TRY(model->read_network());
  RILL_ASSIGN(auto tokenizer, read_sentencepiece_file(tokenizer_path));
  model->set_tokenizer(std::move(tokenizer));
  return std::unique_ptr<SourceModel>(std::move(model));
}

Result<std::unique_ptr<SourceModel>> import_gguf(GgufFile file) {
  auto model = std::make_unique<GgufModel>(std::move(file));
  RILL_TRY(model->read_network());
  RILL_TRY(model->read_tokenizer());
  return std::unique_ptr<SourceModel>(std::move(model));
}

}  // namespace rill::quant
