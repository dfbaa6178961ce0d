#include "quant/gguf_importer.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "core/model_family.h"
#include "quant/gguf_families.h"
#include "quant/gguf_tokenizer.h"
#include "quant/rope_scaling.h"
#include "quant/sentencepiece_file.h"
#include "quant/tensor_table.h"

namespace rill::quant {
namespace {

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
  std::string_view family() const override { return family_->family; }
  std::string_view format() const override { return "GGUF"; }
  std::uint64_t bytes_in() const override { return file_.bytes().size(); }
  std::span<const TensorName> names() const override { return family_->names; }
  const SourceTensor* find(std::string_view name) const override;
  Status read_rows(const SourceTensor& tensor, std::uint64_t first, std::uint64_t count,
                   std::span<float> out) const override;
  std::vector<double> rope_turns() const override { return rope_turns_; }
  std::vector<double> alibi_slopes() const override {
    if (config_.position != Position::kAlibi) return {};
    return quant::alibi_slopes(config_.heads, positions_.alibi_most_bias);
  }
  const SourceTokenizer& tokenizer() const override { return tokenizer_; }
  ChatTemplate chat_template() const override { return chat_template_; }

 private:
  GgufKeys keys() const { return {file_, family_->architecture}; }
  std::string key(std::string_view suffix) const { return keys().key(suffix); }

  Status read_family();
  Status read_dimensions();
  Status read_head_size();
  bool is_same(const GgufTensor& one, const GgufTensor& other) const;
  Status read_tensors();
  Status check_shape(const GgufTensor& tensor, PartShape shape) const;
  bool is_known(std::string_view name, const std::set<std::string_view>& needed) const;
  Status foreign_tensor(const GgufTensor& tensor) const;
  Status read_rope();
  Result<double> read_rope_factor() const;
  Status read_rope_divisors();
  Status read_chat_template();

  GgufFile file_;
  const GgufFamily* family_ = nullptr;
  ModelConfig config_;
  GgufPositions positions_;
  std::map<std::string, SourceTensor, std::less<>> tensors_;
  std::vector<double> rope_turns_;
  SourceTokenizer tokenizer_;
  ChatTemplate chat_template_;
};

Status GgufModel::read_network() {
  RILL_TRY(read_family());
  RILL_TRY(read_dimensions());
  RILL_TRY(validate(config_, text(file_.name())));
  RILL_TRY(read_tensors());
  RILL_TRY(read_rope());
  return read_chat_template();
}

Status GgufModel::read_family() {
  constexpr std::string_view kKey = "general.architecture";
  RILL_ASSIGN(const auto name, file_.find_string(kKey));
  Text known;
  for (const GgufFamily& family : gguf_families()) {
    if (name && family.architecture == *name) family_ = &family;
    known.append(known.empty() ? "" : ", ");
    known.append(family.architecture);
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
  config_ = find_family(family_->family)->config;
  ModelConfig& c = config_;
  const GgufKeys keys = this->keys();
  RILL_ASSIGN(c.layers, keys.number("block_count"));
  RILL_ASSIGN(c.hidden, keys.number("embedding_length"));
  RILL_ASSIGN(c.mlp_width, keys.number("feed_forward_length"));
  RILL_ASSIGN(c.heads, keys.number("attention.head_count"));
  RILL_ASSIGN(c.kv_heads, keys.number("attention.head_count_kv", c.heads));
  const bool learned = c.position == Position::kLearned;
  RILL_ASSIGN(c.context_length, keys.number("context_length", learned ? std::nullopt : std::optional(0U)));
  RILL_ASSIGN(const bool is_causal, keys.flag("attention.causal", true));
  if (!is_causal) {
    return bad(file_.where(key("attention.causal")), text("false"), text("a model that sees what came before only"),
               text("import one that generates text"));
  }
  const bool is_layer_norm = c.norm == NormKind::kLayer;
  RILL_ASSIGN(c.norm_epsilon,
              keys.real(is_layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon"));
  const GgufTensor* embedding = file_.find_tensor(kEmbeddingName);
  if (embedding == nullptr || embedding->dimensions[1] > std::numeric_limits<std::uint32_t>::max()) {
    return bad(text(file_.name(), ", tensor ", kEmbeddingName), embedding ? text("too many rows") : text("missing"),
               text("one row for each token"), text("give the GGUF file that holds the whole model"));
  }
  c.vocabulary = static_cast<std::uint32_t>(embedding->dimensions[1]);
  const GgufTensor* head = file_.find_tensor(kHeadName);
  c.tied_head = head == nullptr || is_same(*head, *embedding) ? 1 : 0;
  if (c.heads == 0 || c.kv_heads == 0) return validate(c, text(file_.name()));
  RILL_TRY(read_head_size());
  return family_->refine != nullptr ? family_->refine(keys, c, positions_) : Status();
}

/// True for two copies of one matrix: some converters write a tied head as well.
bool GgufModel::is_same(const GgufTensor& one, const GgufTensor& other) const {
  return one.format == other.format && one.dimensions == other.dimensions &&
         std::ranges::equal(file_.data(one), file_.data(other));
}

Status GgufModel::read_head_size() {
  ModelConfig& c = config_;
  const GgufKeys keys = this->keys();
  const bool divides = c.hidden % c.heads == 0;
  RILL_ASSIGN(c.head_size,
              keys.number("attention.key_length", divides ? std::optional(c.hidden / c.heads) : std::nullopt));
  RILL_ASSIGN(const auto value_size, keys.number("attention.value_length", c.head_size));
  if (value_size != c.head_size) {
    return bad(file_.where(key("attention.value_length")), text(value_size), text("the key length, ", c.head_size),
               text("import a model whose keys and values have one size"));
  }
  if (c.position != Position::kRope) return {};
  RILL_ASSIGN(c.rope_theta, keys.real("rope.freq_base", c.rope_theta));
  RILL_ASSIGN(const auto rotated, keys.number("rope.dimension_count", c.head_size));
  if (rotated == 0 || rotated > c.head_size) {
    return bad(file_.where(key("rope.dimension_count")), text(rotated), text("1 to the head size, ", c.head_size),
               text("import a model that says so"));
  }
  if (rotated < c.head_size) c.rotary = rotated;
  return {};
}

/// What a file may carry though the network does not need it: divisors read elsewhere, a tied head's copy.
bool GgufModel::is_known(std::string_view name, const std::set<std::string_view>& needed) const {
  return name == kRopeDivisorsName || name == kHeadName || needed.contains(name);
}

Status GgufModel::read_tensors() {
  const std::vector<NeededTensor> needed = needed_tensors(family_->names, config_);
  std::set<std::string_view> names;
  for (const NeededTensor& tensor : needed) names.insert(tensor.names.begin(), tensor.names.end());
  // First what is too much: it says more about a model of another kind than what it lacks.
  for (const GgufTensor& tensor : file_.tensors()) {
    if (!is_known(tensor.name, names)) return foreign_tensor(tensor);
  }
  for (const NeededTensor& tensor : needed) {
    const auto found =
        std::ranges::find_if(tensor.names, [&](const std::string& name) { return file_.find_tensor(name) != nullptr; });
    if (found == tensor.names.end()) {
      return bad(text(file_.name(), ", tensor ", tensor.names.front()), text("missing"),
                 text("[", tensor.shape.rows, ", ", tensor.shape.columns, "]"), text("convert the model again"));
    }
    RILL_TRY(check_shape(*file_.find_tensor(*found), tensor.shape));
    tensors_.emplace(*found, SourceTensor{.name = *found, .rows = tensor.shape.rows, .columns = tensor.shape.columns});
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
  return bad(file_.where(tensor), text("not a part of the ", family_->family, " network"),
             text("only what the family names, in ", config_.layers, " layers"), text("import a model without it"));
}

Status GgufModel::read_rope() {
  if (config_.position != Position::kRope) return {};
  RILL_ASSIGN(const double factor, read_rope_factor());
  rope_turns_ = quant::rope_turns(config_.rotated_size(), config_.rope_theta,
                                  {.kind = RopeScaling::Kind::kLinear, .factor = factor});
  RILL_TRY(read_rope_divisors());
  if (config_.rope_tables == 2) {
    const std::vector<double> local = quant::rope_turns(config_.rotated_size(), positions_.local_theta, {});
    rope_turns_.insert(rope_turns_.end(), local.begin(), local.end());
  }
  return {};
}

/// What linear scaling divides every frequency by; 1 where there is none.
Result<double> GgufModel::read_rope_factor() const {
  RILL_ASSIGN(const double magnitude, keys().real("rope.scaling.attn_factor", 1.0));
  if (magnitude != 1.0) {
    return bad(file_.where(key("rope.scaling.attn_factor")), text(magnitude), text("1"),
               text("import a model without it"));
  }
  RILL_ASSIGN(const auto type, file_.find_string(key("rope.scaling.type")));
  RILL_ASSIGN(const double old_factor, keys().real("rope.scale_linear", 1.0));  // how older converters wrote it
  RILL_ASSIGN(const double factor, keys().real("rope.scaling.factor", old_factor));
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
  RILL_ASSIGN(const auto tokens, file_.find_strings("tokenizer.ggml.tokens"));
  const auto spelling = [&](std::string_view key) -> Result<std::string> {
    RILL_ASSIGN(const auto id, file_.find_u64(key));
    if (!id || !tokens || *id >= tokens->size()) return std::string();
    return std::string(*std::next(tokens->begin(), static_cast<std::ptrdiff_t>(*id)));
  };
  chat_template_.jinja = chat.value_or(std::string_view());
  RILL_ASSIGN(chat_template_.bos_token, spelling("tokenizer.ggml.bos_token_id"));
  RILL_ASSIGN(chat_template_.eos_token, spelling("tokenizer.ggml.eos_token_id"));
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
