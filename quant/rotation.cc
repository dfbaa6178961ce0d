#include "quant/rotation.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "core/model_format.h"

namespace rill::quant {
namespace {

/// Most elements of the MLP's middle that are mixed at a time; more spread outliers no further.
constexpr std::uint32_t kLargestBlock = 512;
/// Fewer would not fill a kernel's lanes.
constexpr std::uint32_t kSmallestBlock = 16;

/// The largest power of two that divides the width, within bounds; 0 if that is too small to be of use.
std::uint32_t down_block(std::uint32_t mlp_width) {
  const std::uint32_t power = std::min(kLargestBlock, mlp_width & (0U - mlp_width));
  return power < kSmallestBlock ? 0 : power;
}

bool reads_stream(const TensorSpec& spec) {
  return !spec.is_bias &&
         (spec.pattern == format::kQkv || spec.pattern == format::kGateUp || spec.pattern == format::kHead);
}
bool writes_stream(const TensorSpec& spec) {
  return spec.pattern == format::kAttentionOut || spec.pattern == format::kDown;
}
bool lies_in_stream(const TensorSpec& spec) {
  return spec.pattern == format::kEmbedding || spec.pattern == format::kPositions;
}
bool is_norm(const TensorSpec& spec) {
  return spec.pattern == format::kAttentionNorm || spec.pattern == format::kMlpNorm ||
         spec.pattern == format::kFinalNorm;
}

/// Turns each run of map.size() elements.
void turn_runs(const OrthogonalMap& map, std::span<float> x) {
  std::vector<double> run(map.size());
  for (std::size_t at = 0; at < x.size(); at += map.size()) {
    std::copy_n(x.begin() + static_cast<std::ptrdiff_t>(at), map.size(), run.begin());
    map.apply(run);
    std::ranges::transform(run, x.begin() + static_cast<std::ptrdiff_t>(at),
                           [](double value) { return static_cast<float>(value); });
  }
}

/// What takes the Hadamard transform before `down` back: its transpose over the size of its blocks.
void undo_hadamard(std::uint32_t block, std::span<float> row) {
  std::vector<double> exact(row.begin(), row.end());
  hadamard(block, exact);
  std::ranges::transform(exact, row.begin(), [&](double value) { return static_cast<float>(value / block); });
}

Status cannot_turn(const SourceModel& source, std::string_view what) {
  return bad_usage(
      {.where = text("--rotate, ", source.format()),
       .what = text("the model has ", what),
       .expected = text("RMSNorm in front of attention and of one MLP, as Llama, Mistral, Qwen2, Qwen3 and "
                        "SmolLM3 have"),
       .remedy = text("leave --rotate out")});
}

}  // namespace

Result<Rotation> Rotation::of(const SourceModel& source, ModelConfig& config) {
  if (config.norm != NormKind::kRms) return cannot_turn(source, "LayerNorm");
  if (config.norm_placement != NormPlacement::kBefore) return cannot_turn(source, "norms behind attention and MLP");
  if (config.experts > 0) return cannot_turn(source, "experts");
  config.head_transform = config.tied_head;
  config.down_rotation = down_block(config.mlp_width);
  return Rotation(source, config);
}

Result<std::vector<float>> Rotation::gain_before(const TensorSpec& reader) const {
  const bool is_attention =
      reader.pattern == format::kQkv || (reader.pattern == format::kGateUp && config_.shared_norm);
  const bool is_mlp = reader.pattern == format::kGateUp && !is_attention;
  const TensorSpec norm = {
      .pattern = is_attention ? format::kAttentionNorm : (is_mlp ? format::kMlpNorm : format::kFinalNorm),
      .layer = reader.layer,
      .rows = 1,
      .columns = config_.hidden};
  return read_vector(*source_, norm);
}

Result<TurnedRows> TurnedRows::find(const SourceModel& source, const TensorSpec& spec, const Rotation* rotation) {
  TurnedRows turned(spec);
  if (spec.pattern != format::kHeadTransform) {
    RILL_ASSIGN(FusedRows rows, FusedRows::find(source, spec));
    turned.source_rows_.push_back(std::move(rows));
  }
  if (rotation == nullptr) return turned;
  turned.rotation_ = rotation;
  if (reads_stream(spec) || spec.pattern == format::kHeadTransform) {
    RILL_ASSIGN(turned.gain_, rotation->gain_before(spec));
  }
  const bool mixes_rows = spec.pattern == format::kQkv || writes_stream(spec) || spec.pattern == format::kHeadTransform;
  if (mixes_rows) RILL_TRY(turned.read_whole(*rotation));
  return turned;
}

/// The tensors whose rows, or elements of a bias, mix.
Status TurnedRows::read_whole(const Rotation& rotation) {
  const ModelConfig& c = rotation.config();
  whole_.resize(static_cast<std::size_t>(spec_.rows * spec_.columns));
  if (spec_.pattern == format::kHeadTransform) {  // Q diag(gain) Q^T
    for (std::size_t i = 0; i < gain_.size(); ++i) {
      std::vector<double> row(gain_.size());
      row[i] = 1;
      rotation.stream().apply_transposed(row);
      for (std::size_t k = 0; k < row.size(); ++k) row[k] *= static_cast<double>(gain_[k]);
      rotation.stream().apply(row);
      std::ranges::transform(row, whole_.begin() + static_cast<std::ptrdiff_t>(i * row.size()),
                             [](double value) { return static_cast<float>(value); });
    }
    return {};
  }
  RILL_TRY(source_rows_.front().read_all(whole_));
  const std::uint64_t first_value = (std::uint64_t{c.heads} + c.kv_heads) * c.head_size;
  if (spec_.is_bias) {
    const std::span<float> bias = whole_;
    if (spec_.pattern == format::kQkv) {
      turn_runs(rotation.head(), bias.subspan(static_cast<std::size_t>(first_value)));
    } else {
      turn_runs(rotation.stream(), bias);
    }
    return {};
  }
  const auto columns = static_cast<std::size_t>(spec_.columns);
  for (std::size_t at = 0; at < whole_.size(); at += columns) turn_row(std::span(whole_).subspan(at, columns));
  if (spec_.pattern == format::kQkv) {
    for (std::uint64_t row = first_value; row < spec_.rows; row += c.head_size) turn_columns(rotation.head(), row);
  } else {
    turn_columns(rotation.stream(), 0);
  }
  return {};
}

/// What happens to the inputs of a matrix, or to a vector of the stream.
void TurnedRows::turn_row(std::span<float> row) const {
  if (is_norm(spec_)) std::ranges::fill(row, 1.0F);
  if (!gain_.empty()) std::ranges::transform(row, gain_, row.begin(), std::multiplies());
  if (reads_stream(spec_) || lies_in_stream(spec_)) turn_runs(rotation_->stream(), row);
  if (spec_.pattern == format::kAttentionOut) turn_runs(rotation_->head(), row);
  if (spec_.pattern == format::kDown && rotation_->config().down_rotation != 0) {
    undo_hadamard(rotation_->config().down_rotation, row);
  }
}

/// Turns the rows [first_row, first_row + map.size()) into each other.
void TurnedRows::turn_columns(const OrthogonalMap& map, std::uint64_t first_row) {
  const auto columns = static_cast<std::size_t>(spec_.columns);
  const std::span<float> rows = std::span(whole_).subspan(static_cast<std::size_t>(first_row) * columns);
  std::vector<double> column(map.size());
  for (std::size_t c = 0; c < columns; ++c) {
    for (std::size_t r = 0; r < map.size(); ++r) column[r] = static_cast<double>(rows[r * columns + c]);
    map.apply(column);
    for (std::size_t r = 0; r < map.size(); ++r) rows[r * columns + c] = static_cast<float>(column[r]);
  }
}

Status TurnedRows::read(std::uint64_t first, std::uint64_t count, std::span<float> out) const {
  const auto columns = static_cast<std::size_t>(spec_.columns);
  if (!whole_.empty()) {
    std::copy_n(whole_.begin() + static_cast<std::ptrdiff_t>(first * columns), count * columns, out.begin());
    return {};
  }
  RILL_TRY(spec_.is_bias ? source_rows_.front().read_all(out) : source_rows_.front().read(first, count, out));
  if (rotation_ == nullptr || spec_.is_bias) return {};
  for (std::size_t at = 0; at < out.size(); at += columns) turn_row(out.subspan(at, columns));
  return {};
}

}  // namespace rill::quant
