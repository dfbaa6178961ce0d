#include "core/forward.h"

#include <algorithm>

#include "platform/half.h"

namespace rill {
namespace {

using kernels::Activations;
using kernels::Matrix;

std::size_t groups_of(std::size_t columns, const ModelConfig& c) { return (columns + c.group - 1) / c.group; }

std::size_t widest_input(const ModelConfig& c) {
  return std::max({std::size_t{c.hidden}, std::size_t{c.heads} * c.head_size, std::size_t{c.mlp_width}});
}

std::size_t padded_rows(std::size_t rows) { return round_up(rows, kernels::kTileRows); }
std::size_t qkv_width(const ModelConfig& c) {
  return padded_rows((std::size_t{c.heads} + 2 * c.kv_heads) * c.head_size);
}
std::size_t wide_width(const ModelConfig& c) { return padded_rows(2 * std::size_t{c.mlp_width}); }

/// The steps of the pass, each one loop over the pool.
class Steps {
 public:
  Steps(const Weights& m, std::size_t n, Buffers& b, const Machine& machine)
      : m_(m), n_(n), b_(b), k_(*machine.kernels), pool_(*machine.pool) {}

  /// x [n, D] from the packed embedding.
  void embed(std::span<const Token> tokens) const {
    const kernels::TileShape& shape = m_.embedding.shape;
    for (std::size_t t = 0; t < n_; ++t) {
      const std::byte* block = m_.embedding.blocks + tokens[t] / kernels::kTileRows * shape.block_bytes();
      const std::size_t row = tokens[t] % kernels::kTileRows;
      const auto* weights = reinterpret_cast<const std::int8_t*>(block) + row * kernels::kTileColumns;
      const auto* scales = reinterpret_cast<const std::uint16_t*>(block + shape.scales_offset()) + row;
      float* x = b_.x.data() + t * x_stride();
      for (std::size_t c = 0; c < m_.config.hidden; ++c) {
        const std::int8_t w = weights[c / kernels::kTileColumns * 64 + c % kernels::kTileColumns];
        x[c] = static_cast<float>(w) * half_to_float(scales[c / shape.group * kernels::kTileRows]);
      }
    }
  }

  /// int8 activations of n rows, each made by fill(row, float scratch) first.
  template <typename Fill>
  Activations quantize_rows(std::size_t columns, std::size_t rows, Fill fill) const {
    const Activations all = {.values = b_.values.data(),
                             .scales = b_.scales.data(),
                             .offsets = b_.offsets.data(),
                             .columns = groups_of(columns, m_.config) * m_.config.group,
                             .groups = groups_of(columns, m_.config)};
    pool_.run(rows, [&](const WorkerPool::Part& part) {
      float* scratch = b_.scratch.data() + part.thread * (b_.scratch.size() / pool_.threads());
      for (std::size_t t = part.begin; t < part.end; ++t) k_.quantize(fill(t, scratch), columns, all.from_row(t));
    });
    return all;
  }

  Activations normalize(std::span<const float> gain, std::size_t first_row, std::size_t rows) const {
    const std::size_t hidden = m_.config.hidden;
    return quantize_rows(hidden, rows, [&](std::size_t t, float* scratch) {
      k_.rms_normalize(b_.x.data() + (first_row + t) * x_stride(), gain.data(), hidden,
                       static_cast<float>(m_.config.norm_epsilon), scratch);
      return scratch;
    });
  }

  void project(const Matrix& w, const Activations& in, std::size_t rows, std::span<float> out) const {
    pool_.run(w.shape.row_blocks(), [&](const WorkerPool::Part& part) {
      k_.multiply(w, part.begin, part.end, in, rows, out.data(), w.shape.padded_rows());
    });
  }

  void add_to_residual(std::span<const float> y) const { k_.add(y.data(), n_ * x_stride(), b_.x.data()); }

  std::size_t x_stride() const { return padded_rows(m_.config.hidden); }

 private:
  const Weights& m_;
  std::size_t n_;
  Buffers& b_;
  const kernels::KernelSet& k_;
  WorkerPool& pool_;
};

}  // namespace

// n tokens, D hidden, H heads, G KV heads, d head size, F MLP width, V vocabulary.
void forward(const Weights& m, std::span<const Token> tokens, StreamCache& cache, Buffers& b, const Machine& machine) {
  const ModelConfig& c = m.config;
  const kernels::KernelSet& k = *machine.kernels;
  const std::size_t n = tokens.size();
  const std::size_t mixed_width = std::size_t{c.heads} * c.head_size;
  const Steps step(m, n, b, machine);

  step.embed(tokens);                                   // x         [n, D]  float32, the residual stream
  prepare_phases(m.rope_turns, cache, n, b.attention);  // angles    [n, d/2]  twice: for the ring, for the sinks
  for (std::size_t l = 0; l < m.layers.size(); ++l) {
    const Layer& layer = m.layers[l];
    const Activations h =
        step.normalize(layer.attention_norm, 0, n);  // h        [n, D]  int8, a scale per (token, group)
    step.project(layer.qkv, h, n, b.qkv);            // qkv      [n, (H + 2 G) d]  float32
    attend(c, l, b.qkv, qkv_width(c), n, cache, b.attention, k, *machine.pool, b.mixed);  // mixed [n, H d]  float32
    commit(c, l, n, cache, b.attention);  // not earlier: the chunk's first query needs the oldest slot
    const Activations mixed =
        step.quantize_rows(mixed_width, n, [&](std::size_t t, float*) { return &b.mixed[t * mixed_width]; });
    step.project(layer.out, mixed, n, b.projected);  // projected [n, D]  float32
    step.add_to_residual(b.projected);

    const Activations g = step.normalize(layer.mlp_norm, 0, n);  // g        [n, D]  int8
    step.project(layer.gate_up, g, n, b.wide);                   // wide     [n, 2 F]  float32: gates, ups
    const Activations gated = step.quantize_rows(c.mlp_width, n, [&](std::size_t t, float* row) {
      const float* gate = &b.wide[t * wide_width(c)];
      k.silu_multiply(gate, gate + c.mlp_width, c.mlp_width, row);  // gated    [n, F]  int8
      return row;
    });
    step.project(layer.down, gated, n, b.projected);  // projected [n, D]  float32
    step.add_to_residual(b.projected);
  }
  cache.occupancy.advance(n);
  cache.position += n;
}

std::span<const float> project_logits(const Weights& m, std::size_t first, std::size_t count, Buffers& b,
                                      const Machine& machine) {
  const Steps step(m, count, b, machine);
  const Activations h = step.normalize(m.final_norm, first, count);  // h         [count, D]  int8
  step.project(m.head, h, count, b.logits);                          // logits    [count, V]  float32
  return b.logits.first(count * padded_vocabulary(m.config));
}

std::size_t padded_vocabulary(const ModelConfig& config) { return padded_rows(config.vocabulary); }

ChunkItems plan_chunk(MemoryPlan& plan, const ModelConfig& config, const CachePolicy& policy, std::size_t chunk,
                      std::size_t logits_rows, std::size_t threads) {
  constexpr Lifetime kLife = Lifetime::kOneCall;
  const Size n(chunk);
  const Size padded_hidden(padded_rows(config.hidden));
  const Size groups(groups_of(widest_input(config), config));
  ChunkItems items;
  items.chunk = chunk;
  items.logits_rows = logits_rows;
  items.x = plan.add<float>("residual stream", n * padded_hidden, kLife);
  items.values = plan.add<std::int8_t>("activations int8", n * groups * Size(config.group), kLife);
  items.scales = plan.add<float>("activation scales", n * groups, kLife);
  items.offsets = plan.add<std::int32_t>("activation offsets", n * groups, kLife);
  items.scratch = plan.add<float>("rows to quantise", Size(threads) * round_up(Size(widest_input(config)), 16), kLife);
  items.qkv = plan.add<float>("queries, keys, values", n * Size(qkv_width(config)), kLife);
  items.attention = plan_attention(plan, config, policy, chunk, threads);
  items.mixed = plan.add<float>("attention output", n * Size(std::uint64_t{config.heads} * config.head_size), kLife);
  items.projected = plan.add<float>("projections", n * padded_hidden, kLife);
  items.wide = plan.add<float>("MLP gates and ups", n * Size(wide_width(config)), kLife);
  items.logits = plan.add<float>("logits", Size(logits_rows) * Size(padded_vocabulary(config)), kLife);
  return items;
}

Buffers cut_chunk(const Arena& arena, const ChunkItems& items, const ModelConfig& config) {
  return {.chunk = items.chunk,
          .logits_rows = items.logits_rows,
          .x = arena[items.x],
          .scratch = arena[items.scratch],
          .qkv = arena[items.qkv],
          .mixed = arena[items.mixed],
          .projected = arena[items.projected],
          .wide = arena[items.wide],
          .logits = arena[items.logits],
          .values = arena[items.values],
          .scales = arena[items.scales],
          .offsets = arena[items.offsets],
          .attention = cut_attention(arena, items.attention, config)};
}

}  // namespace rill
