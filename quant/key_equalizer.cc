#include "quant/key_equalizer.h"

#include <algorithm>
#include <cmath>

#include "core/model_format.h"
#include "quant/fused_rows.h"
#include "quant/packed_matrix.h"
#include "quant/size_factors.h"

namespace rill::quant {
namespace {

/// Of a normal distribution, one element in 370 is larger: about the largest of a key's.
constexpr double kDeviations = 3.0;
/// Rows that are read at a time.
constexpr std::uint64_t kReadRows = 16;

using Sizes = std::vector<double>;  // [G, d]: of a key's elements

/// The norm in front of queries and keys: its input has a mean square of 1 before gains and bias. [D]
struct InputNorm {
  std::vector<float> gain;
  std::vector<float> bias;
};

Result<InputNorm> input_norm(const SourceModel& source, std::uint32_t layer) {
  const ModelConfig& c = source.config();
  InputNorm norm{.gain = std::vector<float>(c.hidden, 1.0F), .bias = std::vector<float>(c.hidden, 0.0F)};
  if (c.norm_placement == NormPlacement::kAfter) return norm;
  TensorSpec spec{.pattern = format::kAttentionNorm, .layer = layer, .rows = 1, .columns = c.hidden};
  RILL_ASSIGN(norm.gain, read_vector(source, spec));
  if (c.norm != NormKind::kLayer) return norm;
  spec.is_bias = true;
  RILL_ASSIGN(norm.bias, read_vector(source, spec));
  return norm;
}

/// True if a factor could make a weight larger than int8 can hold, be the norm's gain folded in (--rotate) or not.
bool may_leave_int8(std::span<const float> row, const InputNorm& norm) {
  for (std::size_t k = 0; k < row.size(); ++k) {
    const float gain = std::max(1.0F, std::fabs(norm.gain[k]));
    if (!(std::fabs(row[k]) * gain * float{kLargestFactor} <= kLargestWeight)) return true;
  }
  return false;
}

/// How large a row's product with a normalised input, plus its bias, mostly is.
double size_of(std::span<const float> row, const InputNorm& norm, double bias) {
  double variance = 0;
  double mean = bias;
  for (std::size_t k = 0; k < row.size(); ++k) {
    const double weight = row[k];
    variance += weight * norm.gain[k] * weight * norm.gain[k];
    mean += weight * norm.bias[k];
  }
  return std::sqrt(kDeviations * kDeviations * variance + mean * mean);
}

/// How large each element of a key mostly is, as it comes out of its matrix; zeros if a weight is so large that a
/// factor could take it out of int8's reach.
Result<Sizes> matrix_sizes(const SourceModel& source, std::uint32_t layer) {
  const ModelConfig& c = source.config();
  const std::uint64_t queries = std::uint64_t{c.heads} * c.head_size;
  const std::uint64_t keys = std::uint64_t{c.kv_heads} * c.head_size;
  TensorSpec spec{.pattern = format::kQkv, .layer = layer, .rows = queries + 2 * keys, .columns = c.hidden};
  RILL_ASSIGN(const InputNorm norm, input_norm(source, layer));
  RILL_ASSIGN(const FusedRows matrix, FusedRows::find(source, spec));
  std::vector<float> bias(static_cast<std::size_t>(spec.rows), 0.0F);
  if (c.attention_bias != 0) {
    const TensorSpec bias_spec{
        .pattern = spec.pattern, .is_bias = true, .layer = layer, .rows = 1, .columns = spec.rows};
    RILL_ASSIGN(bias, read_vector(source, bias_spec));
  }

  Sizes sizes(static_cast<std::size_t>(keys));
  std::vector<float> rows(kReadRows * c.hidden);
  for (std::uint64_t first = 0; first < queries + keys; first += kReadRows) {
    const std::uint64_t count = std::min(kReadRows, queries + keys - first);
    const std::span<float> piece = std::span(rows).first(static_cast<std::size_t>(count * c.hidden));
    RILL_TRY(matrix.read(first, count, piece));
    for (std::uint64_t row = first; row < first + count; ++row) {
      const auto weights = piece.subspan(static_cast<std::size_t>((row - first) * c.hidden), c.hidden);
      if (may_leave_int8(weights, norm)) return Sizes(sizes.size());
      if (row < queries) continue;
      sizes[static_cast<std::size_t>(row - queries)] = size_of(weights, norm, bias[static_cast<std::size_t>(row)]);
    }
  }
  return sizes;
}

double mean_square(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return sum / static_cast<double>(values.size());
}

/// The sizes after the keys' own norm. Gains that all heads share ask for one size of all heads.
Status normalize(const SourceModel& source, std::uint32_t layer, Sizes& sizes) {
  const ModelConfig& c = source.config();
  if (c.head_norm == HeadNorm::kNone) return {};
  const bool all_heads = c.head_norm == HeadNorm::kAllHeads;
  const std::size_t run = all_heads ? sizes.size() : c.head_size;
  RILL_ASSIGN(const std::vector<float> gain,
              read_vector(source, {.pattern = format::kKeyNorm, .layer = layer, .rows = 1, .columns = run}));
  for (std::size_t at = 0; at < sizes.size(); at += run) {
    const std::span<double> head = std::span(sizes).subspan(at, run);
    const double rms = std::sqrt(mean_square(head));
    if (rms == 0) continue;
    for (std::size_t i = 0; i < run; ++i) head[i] *= std::fabs(double{gain[i]}) / rms;
  }
  if (all_heads) return {};
  for (std::size_t i = 0; i < run; ++i) {
    Sizes element;
    for (std::size_t at = i; at < sizes.size(); at += run) element.push_back(sizes[at]);
    const double shared = std::sqrt(mean_square(element));
    for (std::size_t at = i; at < sizes.size(); at += run) sizes[at] = shared;
  }
  return {};
}

/// Gives both elements of each rotated pair of a head the same size.
void join_pairs(std::uint32_t rotated, std::span<double> head) {
  const std::size_t half = rotated / 2;
  for (std::size_t i = 0; i < half; ++i) {
    head[i] = head[i + half] = std::sqrt((head[i] * head[i] + head[i + half] * head[i + half]) / 2);
  }
}

}  // namespace

Result<KeyEqualizer> KeyEqualizer::of(const SourceModel& source, std::uint32_t layer) {
  const ModelConfig& c = source.config();
  KeyEqualizer equalizer(c);
  RILL_ASSIGN(Sizes sizes, matrix_sizes(source, layer));
  RILL_TRY(normalize(source, layer, sizes));
  for (std::size_t at = 0; at < sizes.size(); at += c.head_size) {
    const std::span<double> head = std::span(sizes).subspan(at, c.head_size);
    if (c.rotates(layer)) join_pairs(c.rotated_size(), head);
    set_factors(head, std::span(equalizer.factors_).subspan(at, c.head_size));
  }
  return equalizer;
}

/// Of an element of all queries, then all keys, then all values.
float KeyEqualizer::multiplier(std::uint64_t element) const {
  const ModelConfig& c = *config_;
  const std::uint64_t head = element / c.head_size;
  const std::uint64_t queries_per_key = c.heads / c.kv_heads;
  const auto factor = [&](std::uint64_t kv_head) {
    return factors_[static_cast<std::size_t>(kv_head * c.head_size + element % c.head_size)];
  };
  if (head < c.heads) return factor(head / queries_per_key);
  if (head < c.heads + c.kv_heads) return 1.0F / factor(head - c.heads);
  return 1.0F;
}

bool KeyEqualizer::changes(const TensorSpec& spec, const ModelConfig& config) {
  if (config.head_norm == HeadNorm::kNone) return spec.pattern == format::kQkv;
  return spec.pattern == format::kQueryNorm || spec.pattern == format::kKeyNorm;
}

void KeyEqualizer::apply(const TensorSpec& spec, std::uint64_t first, std::span<float> rows) const {
  if (!changes(spec, *config_)) return;
  const auto width = static_cast<std::size_t>(spec.rows == 1 ? 1 : spec.columns);
  const bool is_key_norm = spec.pattern == format::kKeyNorm;
  const std::uint64_t begin = first + (is_key_norm ? std::uint64_t{config_->heads} * config_->head_size : 0);
  for (std::size_t row = 0; row < rows.size() / width; ++row) {
    const float by = multiplier(begin + row);
    for (float& weight : rows.subspan(row * width, width)) weight *= by;
  }
}

}  // namespace rill::quant
