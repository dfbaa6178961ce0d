#include "tests/support/oracle_llama.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

namespace rill::oracle {
namespace {

using quant::Part;

void add(std::span<const double> term, std::vector<double>& sum) {
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += term[i];
}

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// exp(scores) over their sum, in place.
void softmax(std::vector<double>& scores) {
  const double greatest = *std::ranges::max_element(scores);
  double sum = 0;
  for (double& score : scores) sum += score = std::exp(score - greatest);
  for (double& score : scores) score /= sum;
}

std::string name_of(std::string_view pattern, std::uint32_t layer) {
  std::string name(pattern);
  if (const std::size_t at = name.find("{}"); at != std::string::npos) name.replace(at, 2, std::to_string(layer));
  return name;
}

/// Brings a head's rows from the order of adjacent pairs (0, d/2, 1, d/2 + 1, ...) to halves (0, 1, ..., d - 1).
std::vector<float> halves_from_pairs(const std::vector<float>& values, std::size_t columns, std::size_t head_size) {
  std::vector<float> out(values.size());
  for (std::size_t row = 0; row < values.size() / columns; ++row) {
    const std::size_t in_head = row % head_size;
    const std::size_t target = row - in_head + in_head / 2 + (in_head % 2) * (head_size / 2);
    std::copy_n(values.data() + row * columns, columns, out.data() + target * columns);
  }
  return out;
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

std::vector<double> Llama::Matrix::times(std::span<const double> x) const {
  std::vector<double> y(rows);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) y[r] += static_cast<double>(values[r * columns + c]) * x[c];
  }
  return y;
}

Result<Llama::Matrix> Llama::read(const quant::SourceModel& source, const quant::TensorName& name,
                                  std::uint32_t layer) {
  const quant::SourceTensor* tensor = source.find(name_of(name.pattern, layer));
  if (tensor == nullptr)
    return failed({.where = text(name.pattern), .what = text("missing"), .expected = {}, .remedy = {}});
  Matrix matrix{
      .rows = tensor->rows, .columns = tensor->columns, .values = std::vector<float>(tensor->rows * tensor->columns)};
  RILL_TRY(source.read_rows(*tensor, 0, tensor->rows, matrix.values));
  if (name.rows == quant::Rows::kAdjacentPairs) {
    matrix.values = halves_from_pairs(matrix.values, matrix.columns, source.config().head_size);
  }
  return matrix;
}

Llama::Matrix& Llama::part(Part part, std::uint32_t layer) {
  switch (part) {
    case Part::kEmbedding:
      return embedding_;
    case Part::kHead:
      return head_;
    case Part::kFinalNorm:
      return final_norm_;
    case Part::kAttentionNorm:
      return layers_[layer].attention_norm;
    case Part::kQuery:
      return layers_[layer].query;
    case Part::kKey:
      return layers_[layer].key;
    case Part::kValue:
      return layers_[layer].value;
    case Part::kAttentionOut:
      return layers_[layer].out;
    case Part::kMlpNorm:
      return layers_[layer].mlp_norm;
    case Part::kGate:
      return layers_[layer].gate;
    case Part::kUp:
      return layers_[layer].up;
    case Part::kDown:
      break;
  }
  return layers_[layer].down;
}

Result<Llama> Llama::load(const quant::SourceModel& source) {
  Llama model;
  model.config_ = source.config();
  model.turns_ = source.rope_turns();
  model.layers_.resize(model.config_.layers);
  for (const quant::TensorName& name : source.names()) {
    if (name.part == Part::kHead && model.config_.tied_head != 0) continue;
    const std::uint32_t copies = name.pattern.find("{}") == std::string_view::npos ? 1 : model.config_.layers;
    for (std::uint32_t layer = 0; layer < copies; ++layer) {
      RILL_ASSIGN(model.part(name.part, layer), read(source, name, layer));
    }
  }
  return model;
}

/// RMSNorm: x over its root mean square, times the gain.
std::vector<double> Llama::normalize(std::span<const double> x, const Matrix& gain) const {
  const double scale = 1.0 / std::sqrt(dot(x, x) / static_cast<double>(x.size()) + config_.norm_epsilon);
  std::vector<double> y(x.size());
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = x[i] * scale * static_cast<double>(gain.values[i]);
  return y;
}

Llama::Rotations Llama::rotations(std::size_t positions) const {
  Rotations out;
  for (std::size_t position = 0; position < positions; ++position) {
    for (const double turns : turns_) {
      const double angle = 2.0 * std::numbers::pi * std::fmod(turns * static_cast<double>(position), 1.0);
      out.cosines.push_back(std::cos(angle));
      out.sines.push_back(std::sin(angle));
    }
  }
  return out;
}

/// RoPE in halves: dimensions i and i + d/2 of each head are a pair, turned by the position's angle.
std::vector<double> Llama::rotate(std::span<const double> heads, const Rotations& by, std::size_t position) const {
  const std::size_t half = turns_.size();
  std::vector<double> out(heads.size());
  for (std::size_t at = 0; at < heads.size(); at += 2 * half) {
    for (std::size_t i = 0; i < half; ++i) {
      const double cosine = by.cosines[position * half + i];
      const double sine = by.sines[position * half + i];
      out[at + i] = heads[at + i] * cosine - heads[at + half + i] * sine;
      out[at + half + i] = heads[at + half + i] * cosine + heads[at + i] * sine;
    }
  }
  return out;
}

/// Attention of one token to what is cached and to itself; query head h reads KV head h / (H / G).
/// @param h     [D], normalised
/// @param self  gets this token's key and value
/// @returns     [D], after the output projection
std::vector<double> Llama::attend(const Layer& layer, std::span<const double> h,
                                  const std::deque<PaperCache::Entry>& past, const Rotations& by,
                                  PaperCache::Entry& self) const {
  const std::size_t d = config_.head_size;
  const std::size_t n = past.size();
  self = {.key = layer.key.times(h), .value = layer.value.times(h)};
  const std::vector<double> queries = rotate(layer.query.times(h), by, n);
  std::vector<std::vector<double>> keys;  // [n + 1][G, d], each at its index in the cache
  for (std::size_t j = 0; j < n; ++j) keys.push_back(rotate(past[j].key, by, j));
  keys.push_back(rotate(self.key, by, n));

  std::vector<double> mixed(queries.size());
  for (std::size_t head = 0; head < config_.heads; ++head) {
    const std::size_t kv = head / (config_.heads / config_.kv_heads) * d;
    std::vector<double> weights(n + 1);
    for (std::size_t j = 0; j <= n; ++j) {
      weights[j] = dot(std::span(queries).subspan(head * d, d), std::span(keys[j]).subspan(kv, d)) /
                   std::sqrt(static_cast<double>(d));
    }
    softmax(weights);
    for (std::size_t j = 0; j <= n; ++j) {
      const std::vector<double>& values = j < n ? past[j].value : self.value;
      for (std::size_t i = 0; i < d; ++i) mixed[head * d + i] += weights[j] * values[kv + i];
    }
  }
  return layer.out.times(mixed);
}

/// down(silu(gate(h)) * up(h)), with silu(x) = x / (1 + exp(-x)).
std::vector<double> Llama::mlp(const Layer& layer, std::span<const double> h) const {
  std::vector<double> wide = layer.gate.times(h);
  const std::vector<double> up = layer.up.times(h);
  for (std::size_t i = 0; i < wide.size(); ++i) wide[i] = wide[i] / (1.0 + std::exp(-wide[i])) * up[i];
  return layer.down.times(wide);
}

std::vector<double> Llama::step(Token token, PaperCache& cache) const {
  const auto row = std::span(embedding_.values).subspan(token * embedding_.columns, embedding_.columns);
  std::vector<double> x(row.begin(), row.end());
  const Rotations by = rotations(cache.size() + 1);
  const std::deque<PaperCache::Entry> nothing;
  std::vector<PaperCache::Entry> entries(layers_.size());
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const std::deque<PaperCache::Entry>& past = cache.size() == 0 ? nothing : cache.layer(l);
    add(attend(layers_[l], normalize(x, layers_[l].attention_norm), past, by, entries[l]), x);
    add(mlp(layers_[l], normalize(x, layers_[l].mlp_norm)), x);
  }
  cache.commit(std::move(entries));
  return (config_.tied_head != 0 ? embedding_ : head_).times(normalize(x, final_norm_));
}

}  // namespace rill::oracle
