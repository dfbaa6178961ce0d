#include "quant/llama2c_importer.h"

#include <array>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "platform/mapped_file.h"
#include "platform/size.h"
#include "quant/rope_scaling.h"
#include "quant/sentencepiece_file.h"
#include "quant/tensor_table.h"

namespace rill::quant {
namespace {

// In the order of the file. Each name with "{}" is one tensor per layer, stacked. The head stands at the file's end,
// after the tables of cosines and sines, which are computed anew here.
constexpr TensorName kNames[] = {
    {"token_embedding", Part::kEmbedding},
    {"layers.{}.rms_att", Part::kAttentionNorm},
    {"layers.{}.wq", Part::kQuery, Rows::kAdjacentPairs},
    {"layers.{}.wk", Part::kKey, Rows::kAdjacentPairs},
    {"layers.{}.wv", Part::kValue},
    {"layers.{}.wo", Part::kAttentionOut},
    {"layers.{}.rms_ffn", Part::kMlpNorm},
    {"layers.{}.w1", Part::kGate},
    {"layers.{}.w2", Part::kDown},
    {"layers.{}.w3", Part::kUp},
    {"rms_final", Part::kFinalNorm},
    {"wcls", Part::kHead},
};

constexpr std::uint32_t kNewerMagic = 0x616b3432;  // "ak42", versions 1 and 2
constexpr std::size_t kFields = 7;
constexpr std::uint64_t kHeaderBytes = kFields * sizeof(std::int32_t);
constexpr std::array<std::string_view, kFields> kFieldNames = {"dim",        "hidden_dim", "n_layers", "n_heads",
                                                               "n_kv_heads", "vocab_size", "seq_len"};

/// Without a magic number any file may come here, so the sentence says what it was taken for.
Status bad_checkpoint(const Text& where, const Text& what, const Text& expected) {
  return bad_input({.where = text(where, ", read as a llama2.c checkpoint"),
                    .what = what,
                    .expected = expected,
                    .remedy = text("give a GGUF file, a Hugging Face directory or a whole checkpoint of version 0")});
}

/// A checkpoint; `mapping_` is empty when the bytes are borrowed.
class Llama2cModel final : public SourceModel {
 public:
  Llama2cModel(std::span<const std::byte> bytes, std::string_view name) : bytes_(bytes), name_(name) {}
  Llama2cModel(MappedFile mapping, std::string_view name)
      : mapping_(std::move(mapping)), bytes_(mapping_.bytes()), name_(name) {}

  Status read();
  void set_tokenizer(SourceTokenizer tokenizer) { tokenizer_ = std::move(tokenizer); }

  const ModelConfig& config() const override { return config_; }
  std::string_view family() const override { return "llama"; }
  std::string_view format() const override { return "llama2.c checkpoint"; }
  std::uint64_t bytes_in() const override { return bytes_.size(); }
  std::span<const TensorName> names() const override { return kNames; }
  const SourceTensor* find(std::string_view name) const override;
  Status read_rows(const SourceTensor& tensor, std::uint64_t first, std::uint64_t count,
                   std::span<float> out) const override;
  std::vector<double> rope_turns() const override {
    return quant::rope_turns(config_.head_size, config_.rope_theta, {});
  }
  const SourceTokenizer& tokenizer() const override { return tokenizer_; }

 private:
  struct Placed {
    SourceTensor tensor;
    std::uint64_t offset;
  };

  Status read_header();
  Status place_tensors();
  void place(const TensorName& name, Size& offset);

  MappedFile mapping_;
  std::span<const std::byte> bytes_;
  std::string name_;
  ModelConfig config_;
  std::map<std::string, Placed, std::less<>> tensors_;
  SourceTokenizer tokenizer_;
};

Status Llama2cModel::read() {
  RILL_TRY(read_header());
  RILL_TRY(validate(config_, text(name_, ", read as a llama2.c checkpoint")));
  return place_tensors();
}

Status Llama2cModel::read_header() {
  std::array<std::int32_t, kFields> fields{};
  if (bytes_.size() < kHeaderBytes) {
    return bad_checkpoint(text(name_), text(bytes_.size(), " bytes"), text("a header of at least ", kHeaderBytes));
  }
  std::memcpy(fields.data(), bytes_.data(), kHeaderBytes);
  if (static_cast<std::uint32_t>(fields[0]) == kNewerMagic) {
    return bad_checkpoint(text(name_), text("a llama2.c checkpoint of version ", fields[1]),
                          text("version 0 (export.py with --version 0)"));
  }
  for (std::size_t i = 0; i < kFields; ++i) {
    const bool may_be_negative = kFieldNames[i] == "vocab_size";
    if (fields[i] == 0 || (fields[i] < 0 && !may_be_negative)) {
      return bad_checkpoint(text(name_, ", field ", kFieldNames[i], " at offset ", i * sizeof(std::int32_t)),
                            text(fields[i]), text(may_be_negative ? "a number that is not 0" : "a number above 0"));
    }
  }
  const auto field = [&](std::size_t i) { return static_cast<std::uint32_t>(fields[i]); };
  config_.hidden = field(0);
  config_.mlp_width = field(1);
  config_.layers = field(2);
  config_.heads = field(3);
  config_.kv_heads = field(4);
  config_.vocabulary = fields[5] < 0 ? 0U - field(5) : field(5);  // negative: the head is a matrix of its own
  config_.tied_head = fields[5] < 0 ? 0 : 1;
  config_.context_length = field(6);
  if (config_.hidden % config_.heads != 0) {
    return bad_checkpoint(text(name_, ", field n_heads at offset 12"), text(config_.heads),
                          text("a divisor of dim, ", fields[0]));
  }
  config_.head_size = config_.hidden / config_.heads;
  return {};
}

Status Llama2cModel::place_tensors() {
  // First the size alone, so that a hostile header costs nothing: a map entry per tensor only for a file that has them.
  const auto floats = [&](Part part) {
    const PartShape shape = shape_of(part, config_, kNames);
    return Size(shape.rows) * Size(shape.columns);
  };
  Size total;
  for (const TensorName& name : kNames) {
    if (name.part == Part::kHead && config_.tied_head != 0) continue;
    total = total + floats(name.part) * Size(is_per_layer(name.pattern) ? config_.layers : 1);
  }
  const Size phases = Size(config_.context_length) * Size(config_.head_size / 2) * Size(2);
  const Size expected = (total + phases) * Size(sizeof(float)) + Size(kHeaderBytes);
  if (expected.wrapped || expected.value != bytes_.size()) {
    return bad_checkpoint(text(name_), text(bytes_.size(), " bytes"), text(expected.value, " from its header"));
  }
  Size offset = kHeaderBytes;
  for (const TensorName& name : kNames) {
    if (name.part == Part::kHead) {
      if (config_.tied_head != 0) continue;
      offset = offset + phases * Size(sizeof(float));
    }
    place(name, offset);
  }
  return {};
}

void Llama2cModel::place(const TensorName& name, Size& offset) {
  const PartShape shape = shape_of(name.part, config_, kNames);
  const std::uint32_t copies = is_per_layer(name.pattern) ? config_.layers : 1;
  for (std::uint32_t layer = 0; layer < copies; ++layer) {
    SourceTensor tensor{.name = source_name(name.pattern, layer), .rows = shape.rows, .columns = shape.columns};
    std::string key = tensor.name;
    tensors_.emplace(std::move(key), Placed{.tensor = std::move(tensor), .offset = offset.value});
    offset = offset + Size(shape.rows) * Size(shape.columns) * Size(sizeof(float));
  }
}

const SourceTensor* Llama2cModel::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second.tensor;
}

Status Llama2cModel::read_rows(const SourceTensor& tensor, std::uint64_t first, std::uint64_t count,
                               std::span<float> out) const {
  const auto found = tensors_.find(tensor.name);
  if (found == tensors_.end() || first > found->second.tensor.rows || count > found->second.tensor.rows - first ||
      out.size() != count * found->second.tensor.columns) {
    return failed({.where = text(name_, ", tensor ", tensor.name),
                   .what = text("rows ", first, " and the next ", count, " into ", out.size(), " floats"),
                   .expected = text("some of its ", tensor.rows, " rows, ", tensor.columns, " floats each"),
                   .remedy = {}});
  }
  const Placed& placed = found->second;
  if (!out.empty()) {
    std::memcpy(out.data(), bytes_.data() + placed.offset + first * placed.tensor.columns * sizeof(float),
                out.size_bytes());
  }
  if (first + count == placed.tensor.rows) mapping_.forget_pages();  // an import's memory is a tensor's, not the file's
  return {};
}

}  // namespace

Result<std::unique_ptr<SourceModel>> open_llama2c_model(const std::string& path, const std::string& tokenizer_path) {
  RILL_ASSIGN(auto mapping, MappedFile::open(path));
  auto model = std::make_unique<Llama2cModel>(std::move(mapping), path);
  RILL_TRY(model->read());
  if (!tokenizer_path.empty()) {
    RILL_ASSIGN(auto tokenizer, read_sentencepiece_file(tokenizer_path));
    model->set_tokenizer(std::move(tokenizer));
  }
  return std::unique_ptr<SourceModel>(std::move(model));
}

Result<std::unique_ptr<SourceModel>> import_llama2c(std::span<const std::byte> bytes, std::string_view name) {
  auto model = std::make_unique<Llama2cModel>(bytes, name);
  RILL_TRY(model->read());
  return std::unique_ptr<SourceModel>(std::move(model));
}

}  // namespace rill::quant
