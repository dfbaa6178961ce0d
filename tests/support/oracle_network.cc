#include "tests/support/oracle_network.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <numeric>
#include <utility>

#include "core/model_format.h"
#include "core/model_tensors.h"
#include "quant/fused_rows.h"
#include "quant/packed_matrix.h"
#include "quant/tensor_table.h"

namespace rill::oracle {
namespace {

void add(std::span<const double> term, std::vector<double>& sum) {
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += term[i];
}

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// exp(scores) over their sum.
std::vector<double> softmax(std::vector<double> scores) {
  const double greatest = *std::ranges::max_element(scores);
  double sum = 0;
  for (double& score : scores) sum += score = std::exp(score - greatest);
  for (double& score : scores) score /= sum;
  return scores;
}

double activation(ActivationFunction function, double x, double limit) {
  switch (function) {
    case ActivationFunction::kSilu:
      return x / (1.0 + std::exp(-x));
    case ActivationFunction::kGelu:
      return 0.5 * x * (1.0 + std::erf(x / std::numbers::sqrt2));
    case ActivationFunction::kGeluTanh:
      return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case ActivationFunction::kClampedSwish:
      break;
  }
  x = std::min(x, limit);
  return x / (1.0 + std::exp(-1.702 * x));
}

}  // namespace

void PaperCache::commit(std::vector<Entry> entries) {
  layers_.resize(entries.size());
  for (std::size_t l = 0; l < entries.size(); ++l) {
    layers_[l].push_back(std::move(entries[l]));
    const std::size_t after_sinks = layers_[l].size() - std::min(layers_[l].size(), policy_.sinks);
    if (after_sinks > policy_.window) {
      layers_[l].erase(layers_[l].begin() + static_cast<std::ptrdiff_t>(policy_.sinks));
    }
  }
}

Result<Network> Network::load(const quant::SourceModel& source) {
  Network network;
  network.config_ = source.config();
  network.turns_ = source.rope_turns();
  network.slopes_ = source.alibi_slopes();
  const auto read = [&](const TensorSpec& spec) -> Status {
    if (quant::is_computed(spec)) return {};
    RILL_ASSIGN(const quant::FusedRows rows, quant::FusedRows::find(source, spec));
    Tensor tensor{.rows = spec.rows, .columns = spec.columns, .values = std::vector<float>(spec.rows * spec.columns)};
    RILL_TRY(rows.read_all(tensor.values));
    network.tensors_.emplace(tensor_name(spec.pattern, spec.layer, spec.is_bias).view(), std::move(tensor));
    return {};
  };
  RILL_TRY(for_each_tensor(network.config_, read));
  return network;
}

Result<Network> Network::open(const std::string& path, const std::string& tokenizer) {
  RILL_ASSIGN(const auto source, quant::open_source_model(path, tokenizer));
  return load(*source);
}

void Network::round_as(const ModelFile& file) {
  is_rounded_ = true;
  config_.group = file.config().group;
  for (auto& [name, tensor] : tensors_) {
    const TensorView packed = file.tensor(name);
    if (packed && packed.entry->format == format::TensorFormat::kFloat32) {
      std::memcpy(tensor.values.data(), packed.bytes.data(), tensor.values.size() * sizeof(float));
    }
    if (!packed || packed.entry->format != format::TensorFormat::kInt8Tiles) continue;
    const format::TileShape shape = packed.tiles();
    for (std::size_t r = 0; r < tensor.rows; ++r) {
      quant::unpack_row(packed.bytes.subspan(r / format::kTileRows * shape.block_bytes()), shape, r % format::kTileRows,
                        std::span(tensor.values).subspan(r * tensor.columns, tensor.columns));
    }
  }
}

Network::Vector Network::rounded(std::span<const double> x, std::size_t run, double levels) const {
  Vector out(x.begin(), x.end());
  if (!is_rounded_) return out;
  for (std::size_t begin = 0; begin < out.size(); begin += run) {
    const std::span<double> part = std::span(out).subspan(begin, std::min(run, out.size() - begin));
    double top = 0;
    for (const double value : part) top = std::max(top, std::fabs(value));
    if (top == 0) continue;
    for (double& value : part) value = std::nearbyint(value / top * levels) * top / levels;
  }
  return out;
}

const Network::Tensor* Network::find(std::string_view pattern, std::uint32_t layer, bool is_bias) const {
  const auto found = tensors_.find(tensor_name(pattern, layer, is_bias).view());
  return found == tensors_.end() ? nullptr : &found->second;
}

Network::Vector Network::times(std::string_view pattern, std::uint32_t layer, std::span<const double> x,
                               std::size_t first, std::size_t count) const {
  const Tensor& matrix = *find(pattern, layer);
  const Tensor* bias = find(pattern, layer, true);
  const Vector input = rounded(x, config_.group, 127);
  Vector y(count);
  for (std::size_t r = 0; r < count; ++r) {
    const float* row = matrix.values.data() + (first + r) * matrix.columns;
    for (std::size_t c = 0; c < matrix.columns; ++c) y[r] += static_cast<double>(row[c]) * input[c];
    if (bias != nullptr) y[r] += static_cast<double>(bias->values[first + r]);
  }
  return y;
}

Network::Vector Network::times(std::string_view pattern, std::uint32_t layer, std::span<const double> x) const {
  return times(pattern, layer, x, 0, find(pattern, layer)->rows);
}

/// RMSNorm or LayerNorm; x as it is where the model has no norm of this name.
Network::Vector Network::normalize(std::string_view pattern, std::uint32_t layer, Vector x) const {
  const Tensor* gain = find(pattern, layer);
  if (gain == nullptr) return x;
  const auto n = static_cast<double>(x.size());
  if (config_.norm == NormKind::kLayer) {
    const double mean = std::accumulate(x.begin(), x.end(), 0.0) / n;
    for (double& value : x) value -= mean;
  }
  const double scale = 1.0 / std::sqrt(dot(x, x) / n + config_.norm_epsilon);
  const Tensor* bias = find(pattern, layer, true);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = x[i] * scale * static_cast<double>(gain->values[i]) +
           (bias != nullptr ? static_cast<double>(bias->values[i]) : 0.0);
  }
  return x;
}

/// RMSNorm of each head, or of all heads at once: as many elements as there are gains.
void Network::normalize_heads(std::string_view pattern, std::uint32_t layer, std::span<double> heads) const {
  const Tensor* gain = find(pattern, layer);
  if (gain == nullptr) return;
  const std::size_t n = gain->columns;
  for (std::size_t at = 0; at < heads.size(); at += n) {
    const std::span<double> head = heads.subspan(at, n);
    const double scale = 1.0 / std::sqrt(dot(head, head) / static_cast<double>(n) + config_.norm_epsilon);
    for (std::size_t i = 0; i < n; ++i) head[i] *= scale * static_cast<double>(gain->values[i]);
  }
}

/// RoPE in halves: of each head's rotated dimensions, i and i + half are a pair, turned by the position's angle.
Network::Vector Network::rotate(std::span<const double> heads, std::uint32_t layer, std::size_t position) const {
  Vector out(heads.begin(), heads.end());
  if (!config_.rotates(layer)) return out;
  const std::size_t half = config_.rotated_size() / 2;
  const bool is_local_speed = config_.rope_tables == 2 && config_.is_local(layer);
  const std::span<const double> turns = std::span(turns_).subspan(is_local_speed ? half : 0, half);
  for (std::size_t at = 0; at < heads.size(); at += config_.head_size) {
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = 2.0 * std::numbers::pi * std::fmod(turns[i] * static_cast<double>(position), 1.0);
      out[at + i] = heads[at + i] * std::cos(angle) - heads[at + half + i] * std::sin(angle);
      out[at + half + i] = heads[at + half + i] * std::cos(angle) + heads[at + i] * std::sin(angle);
    }
  }
  return out;
}

/// What a query pays attention to: one weight per key, its own last.
/// @param keys  [n + 1][G, d], rotated
Network::Vector Network::weights_of(std::uint32_t layer, std::size_t head, std::span<const double> query,
                                    const std::vector<Vector>& keys) const {
  const std::size_t d = config_.head_size;
  const std::size_t kv = head / (config_.heads / config_.kv_heads) * d;
  const double scale = config_.attention_scale > 0 ? config_.attention_scale : 1.0 / std::sqrt(static_cast<double>(d));
  Vector scores;
  for (std::size_t j = 0; j < keys.size(); ++j) {
    double score = dot(query, std::span(keys[j]).subspan(kv, d)) * scale;
    if (config_.attention_cap > 0) score = config_.attention_cap * std::tanh(score / config_.attention_cap);
    const std::size_t distance = keys.size() - 1 - j;
    if (!slopes_.empty()) score -= slopes_[head] * static_cast<double>(distance);
    if (config_.is_local(layer) && distance > config_.local_window) score = -std::numeric_limits<double>::infinity();
    scores.push_back(score);
  }
  if (config_.softmax == Softmax::kPlusOne) scores.push_back(0.0);
  if (config_.softmax == Softmax::kSinkLogit) {
    scores.push_back(static_cast<double>(find(format::kSinkLogits, layer)->values[head]));
  }
  Vector weights = softmax(std::move(scores));
  weights.resize(keys.size());
  return weights;
}

/// Weights as the runtime has them: times the scales of their values they are integers of at most 127 * 128, whose sum
/// is at most 2^23.
template <typename ValueOf>
Network::Vector Network::rounded_weights(const Vector& weights, ValueOf value_of) const {
  if (!is_rounded_) return weights;
  Vector scales;
  double top = 0;
  double sum = 0;
  for (std::size_t j = 0; j < weights.size(); ++j) {
    double largest = 0;
    for (const double v : value_of(j)) largest = std::max(largest, std::fabs(v));
    scales.push_back(largest / 127);
    top = std::max(top, weights[j] * scales[j]);
    sum += weights[j] * scales[j];
  }
  const double unit = std::max(top / (127 * 128), sum / 8388608);
  Vector shares;
  for (std::size_t j = 0; j < weights.size(); ++j) {
    shares.push_back(scales[j] > 0 ? std::nearbyint(weights[j] * scales[j] / unit) * unit / scales[j] : 0);
  }
  return shares;
}

/// Attention of one token to what is cached and to itself; query head h reads KV head h / (H / G).
/// @param h     [D], normalised
/// @param self  gets this token's key and value
/// @returns     [D], after the output projection
Network::Vector Network::attend(std::uint32_t layer, std::span<const double> h,
                                const std::deque<PaperCache::Entry>& past, PaperCache::Entry& self) const {
  const std::size_t d = config_.head_size;
  const std::size_t query_width = config_.heads * d;
  const std::size_t kv_width = config_.kv_heads * d;
  Vector qkv = times(format::kQkv, layer, h);
  normalize_heads(format::kQueryNorm, layer, std::span(qkv).first(query_width));
  normalize_heads(format::kKeyNorm, layer, std::span(qkv).subspan(query_width, kv_width));
  const auto key = qkv.begin() + static_cast<std::ptrdiff_t>(query_width);
  const auto value = key + static_cast<std::ptrdiff_t>(kv_width);
  self = {.key = Vector(key, value), .value = rounded(Vector(value, qkv.end()), d, 127)};
  const std::size_t n = past.size();
  const Vector queries = rounded(rotate(std::span(qkv).first(query_width), layer, n), d, 127 * 128);
  std::vector<Vector> keys;  // each at its index in the cache
  for (std::size_t j = 0; j < n; ++j) keys.push_back(rounded(rotate(past[j].key, layer, j), d, 127));
  keys.push_back(rounded(rotate(self.key, layer, n), d, 127));

  Vector mixed(query_width);
  for (std::size_t head = 0; head < config_.heads; ++head) {
    const std::size_t kv = head / (config_.heads / config_.kv_heads) * d;
    const Vector weights = weights_of(layer, head, std::span(queries).subspan(head * d, d), keys);
    const auto value_of = [&](std::size_t j) { return std::span(j < n ? past[j].value : self.value).subspan(kv, d); };
    const Vector shares = rounded_weights(weights, value_of);
    for (std::size_t j = 0; j <= n; ++j) {
      for (std::size_t i = 0; i < d; ++i) mixed[head * d + i] += shares[j] * value_of(j)[i];
    }
  }
  return times(format::kAttentionOut, layer, mixed);
}

/// One MLP: down(activation(gate(h)) * up(h)), or down(activation(up(h))).
Network::Vector Network::expert(std::uint32_t layer, std::span<const double> h, std::size_t index) const {
  const std::size_t wide_rows = config_.wide_rows();
  const std::size_t width = config_.mlp_width;
  Vector wide = times(format::kGateUp, layer, h, index * wide_rows, wide_rows);
  for (std::size_t i = 0; i < width; ++i) {
    double up = config_.gated_mlp != 0 ? wide[width + i] : 1.0;
    if (config_.activation == ActivationFunction::kClampedSwish) {
      up = std::clamp(up, -config_.mlp_limit, config_.mlp_limit) + 1.0;
    }
    wide[i] = activation(config_.activation, wide[i], config_.mlp_limit) * up;
  }
  return times(format::kDown, layer, std::span(wide).first(width), index * config_.hidden, config_.hidden);
}

/// The MLP, or the experts of the largest router logits with the softmax over them alone.
Network::Vector Network::mlp(std::uint32_t layer, std::span<const double> h) const {
  if (config_.experts == 0) return expert(layer, h, 0);
  const Vector logits = times(format::kRouter, layer, h);
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
  order.resize(config_.experts_used);
  Vector chosen;
  for (const std::size_t index : order) chosen.push_back(logits[index]);
  const Vector shares = softmax(std::move(chosen));
  Vector sum(config_.hidden);
  for (std::size_t j = 0; j < order.size(); ++j) {
    const Vector y = expert(layer, h, order[j]);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += shares[j] * y[i];
  }
  return sum;
}

std::vector<double> Network::step(Token token, PaperCache& cache) const {
  const Tensor& embedding = *find(format::kEmbedding, 0);
  Vector x;
  for (std::size_t i = 0; i < config_.hidden; ++i) {
    x.push_back(static_cast<double>(embedding.values[token * embedding.columns + i]) * config_.embedding_scale);
    if (config_.position == Position::kLearned) {
      x[i] += static_cast<double>(find(format::kPositions, 0)->values[cache.size() * config_.hidden + i]);
    }
  }
  const std::deque<PaperCache::Entry> nothing;
  std::vector<PaperCache::Entry> entries(config_.layers);
  for (std::uint32_t l = 0; l < config_.layers; ++l) {
    const std::deque<PaperCache::Entry>& past = cache.size() == 0 ? nothing : cache.layer(l);
    const Vector block_input = x;
    Vector attended = attend(l, normalize(format::kAttentionNorm, l, x), past, entries[l]);
    add(normalize(format::kAttentionPostNorm, l, std::move(attended)), x);
    const bool is_parallel = config_.block == Block::kParallel;
    const Vector g = normalize(config_.shared_norm != 0 ? format::kAttentionNorm : format::kMlpNorm, l,
                               is_parallel ? block_input : x);
    add(normalize(format::kMlpPostNorm, l, mlp(l, g)), x);
  }
  cache.commit(std::move(entries));
  const bool is_tied = config_.tied_head != 0;
  Vector logits = times(is_tied ? format::kEmbedding : format::kHead, 0, normalize(format::kFinalNorm, 0, x));
  if (config_.logit_cap > 0) {
    for (double& logit : logits) logit = config_.logit_cap * std::tanh(logit / config_.logit_cap);
  }
  return logits;
}

}  // namespace rill::oracle
