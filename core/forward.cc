#include "core/forward.h"

#include <algorithm>

#include "platform/half.h"

namespace rill {
namespace {

using kernels::Activations;

std::size_t groups_of(std::size_t columns, const ModelConfig& c) { return (columns + c.group - 1) / c.group; }

std::size_t widest_input(const ModelConfig& c) {
  return std::max({std::size_t{c.hidden}, std::size_t{c.heads} * c.head_size, std::size_t{c.mlp_width}});
}

std::size_t padded_rows(std::size_t rows) { return round_up(rows, kernels::kTileRows); }
std::size_t qkv_width(const ModelConfig& c) {
  return padded_rows((std::size_t{c.heads} + 2 * c.kv_heads) * c.head_size);
}
std::size_t wide_width(const ModelConfig& c) { return padded_rows(static_cast<std::size_t>(c.wide_rows())); }

/// The part of a projection that belongs to one expert. Its rows are whole row blocks (ModelConfig's rules).
Projection of_expert(const Projection& all, std::size_t rows, std::size_t expert) {
  Projection one = all;
  one.weights.shape.rows = rows;
  one.weights.blocks += expert * one.weights.shape.row_blocks() * one.weights.shape.block_bytes();
  if (!all.bias.empty()) one.bias = all.bias.subspan(expert * rows, rows);
  return one;
}

/// Which input a row belongs to.
struct InputPlace {
  Input input;
  std::uint32_t layer;
};

/// The steps of the pass, each one loop over the pool.
class Steps {
 public:
  Steps(const Weights& m, std::size_t n, Buffers& b, const Machine& machine)
      : m_(m), n_(n), b_(b), k_(*machine.kernels), pool_(*machine.pool), observer_(machine.observer) {}

  /// x [n, D] from the packed embedding, with the learned position of each token in the cache.
  void embed(std::span<const Token> tokens, const Occupancy& occupancy) const {
    const kernels::TileShape& shape = m_.embedding.shape;
    const std::size_t hidden = m_.config.hidden;
    const auto factor = static_cast<float>(m_.config.embedding_scale);
    for (std::size_t t = 0; t < n_; ++t) {
      const std::byte* block = m_.embedding.blocks + tokens[t] / kernels::kTileRows * shape.block_bytes();
      const std::size_t row = tokens[t] % kernels::kTileRows;
      float* x = b_.x.data() + t * x_stride();
      for (std::size_t g = 0; g < shape.groups(); ++g) {
        const float scale = half_to_float(reinterpret_cast<const std::uint16_t*>(block + shape.scales_offset(g))[row]);
        const auto* weights = reinterpret_cast<const std::int8_t*>(block + shape.offset_in_block(row, g * shape.group));
        const std::size_t first = g * shape.group;
        for (std::size_t c = 0; c < std::min(shape.group, hidden - first); ++c) {
          const std::int8_t w = weights[c / kernels::kTileColumns * kernels::kTileBytes + c % kernels::kTileColumns];
          x[first + c] = static_cast<float>(w) * scale;
        }
      }
      if (factor != 1.0F) k_.scale(factor, hidden, x);
      if (!m_.positions.empty()) k_.add(m_.positions.data() + occupancy.cache_position(t) * hidden, hidden, x);
    }
  }

  /// int8 activations of `rows` rows, each made by fill(row, float scratch) first.
  template <typename Fill>
  Activations quantize_rows(InputPlace place, std::size_t columns, std::size_t rows, Fill fill) const {
    const Activations all = {.values = b_.values.data(),
                             .scales = b_.scales.data(),
                             .columns = groups_of(columns, m_.config) * m_.config.group,
                             .groups = groups_of(columns, m_.config)};
    pool_.run(rows, 1, [&](const WorkerPool::Part& part) {
      float* scratch = b_.scratch.data() + part.thread * (b_.scratch.size() / pool_.threads());
      for (std::size_t t = part.begin; t < part.end; ++t) {
        const float* const row = fill(t, scratch);
        if (observer_ != nullptr) (*observer_)(place.input, place.layer, {row, columns});
        k_.quantize(row, columns, all.from_row(t));
      }
    });
    return all;
  }

  /// The input of attention, of an MLP or of the head: the residual stream, normalised where there is a norm.
  Activations normalize(const Norm& norm, InputPlace place, std::size_t first_row, std::size_t rows) const {
    return quantize_rows(place, m_.config.hidden, rows, [&](std::size_t t, float* scratch) {
      const float* x = b_.x.data() + (first_row + t) * x_stride();
      if (norm.gain.empty()) return x;
      normalize_row(norm, x, scratch);
      return static_cast<const float*>(scratch);
    });
  }

  /// The output of attention or of the MLP, in place, where a model normalises it before it joins the stream.
  void normalize_output(const Norm& norm, std::span<float> y) const {
    if (norm.gain.empty()) return;
    pool_.run(n_, 1, [&](const WorkerPool::Part& part) {
      for (std::size_t t = part.begin; t < part.end; ++t) {
        normalize_row(norm, y.data() + t * x_stride(), y.data() + t * x_stride());
      }
    });
  }

  /// Queries and keys in place, per head or all heads at once.
  void normalize_heads(const Layer& layer) const {
    if (layer.query_norm.empty()) return;
    const ModelConfig& c = m_.config;
    const auto epsilon = static_cast<float>(c.norm_epsilon);
    const std::size_t query_width = std::size_t{c.heads} * c.head_size;
    const auto each = [&](std::span<const float> gain, float* heads, std::size_t width) {
      for (std::size_t at = 0; at < width; at += gain.size()) {
        k_.rms_normalize(heads + at, gain.data(), gain.size(), epsilon, heads + at);
      }
    };
    pool_.run(n_, 1, [&](const WorkerPool::Part& part) {
      for (std::size_t t = part.begin; t < part.end; ++t) {
        float* qkv = b_.qkv.data() + t * qkv_width(c);
        each(layer.query_norm, qkv, query_width);
        each(layer.key_norm, qkv + query_width, std::size_t{c.kv_heads} * c.head_size);
      }
    });
  }

  void project(const Projection& w, const Activations& in, std::size_t rows, std::span<float> out) const {
    const kernels::TileShape& shape = w.weights.shape;
    const std::size_t grain = rows > kFewRows ? k_.blocks_together : 1;
    pool_.run(shape.row_blocks(), grain, [&](const WorkerPool::Part& part) {
      k_.multiply(w.weights, part.begin, part.end, in, rows, out.data(), shape.padded_rows());
      if (w.bias.empty()) return;
      const std::size_t begin = part.begin * kernels::kTileRows;
      const std::size_t end = std::min(part.end * kernels::kTileRows, shape.rows);
      for (std::size_t t = 0; t < rows && begin < end; ++t) {
        k_.add(w.bias.data() + begin, end - begin, out.data() + t * shape.padded_rows() + begin);
      }
    });
  }

  /// What the MLP makes of its wide rows: activation(gate) * up, or activation(up).
  Activations activate(InputPlace place, std::size_t rows) const {
    const ModelConfig& c = m_.config;
    const auto limit = static_cast<float>(c.mlp_limit);
    return quantize_rows(place, c.mlp_width, rows, [&](std::size_t t, float* row) {
      const float* wide = b_.wide.data() + t * wide_width(c);
      if (c.gated_mlp != 0) {
        k_.activate_gated(c.activation, wide, wide + c.mlp_width, c.mlp_width, limit, row);
      } else {
        k_.activate(c.activation, wide, c.mlp_width, limit, row);
      }
      if (c.down_rotation != 0) k_.hadamard(c.down_rotation, c.mlp_width, row);
      return row;
    });
  }

  /// Chooses each token's experts: those of the largest router logits, with the softmax over them alone.
  /// Source: mixture of experts (arXiv 1701.06538), section 2.1.
  void route(const Layer& layer, const Activations& in) const {
    const std::size_t experts = m_.config.experts;
    const std::size_t used = m_.config.experts_used;
    project(layer.router, in, n_, b_.wide);
    for (std::size_t t = 0; t < n_; ++t) {
      float* logits = b_.wide.data() + t * padded_rows(experts);
      float* shares = b_.shares.data() + t * used;
      for (std::size_t j = 0; j < used; ++j) {
        const float* best = std::max_element(logits, logits + experts);
        b_.experts[t * used + j] = static_cast<std::uint32_t>(best - logits);
        shares[j] = *best;
        logits[best - logits] = -3.0e38F;  // not again
      }
      k_.scale(1.0F / k_.exponentiate(shares, used), used, shares);
    }
  }

  /// The experts' MLPs; their sum, each with its share, goes to b.projected [n, D].
  void mix_experts(const Layer& layer, const Activations& in) const {
    const ModelConfig& c = m_.config;
    const std::size_t used = c.experts_used;
    const auto wide_rows = static_cast<std::size_t>(c.wide_rows());
    route(layer, in);
    for (std::size_t i = 0; i < n_ * used; ++i) {
      project(of_expert(layer.gate_up, wide_rows, b_.experts[i]), in.from_row(i / used), 1,
              b_.wide.subspan(i * wide_width(c)));
    }
    const Activations gated = activate({Input::kDown, layer.index}, n_ * used);
    for (std::size_t i = 0; i < n_ * used; ++i) {
      project(of_expert(layer.down, c.hidden, b_.experts[i]), gated.from_row(i), 1,
              b_.projected.subspan(i * x_stride()));
    }
    for (std::size_t t = 0; t < n_; ++t) {
      for (std::size_t j = 0; j < used; ++j) {
        float* y = b_.projected.data() + (t * used + j) * x_stride();
        k_.scale(b_.shares[t * used + j], x_stride(), y);
        if (j > 0) k_.add(y, x_stride(), b_.projected.data() + t * used * x_stride());
      }
      // The sums move together, row t used to row t: never past a row that is still needed.
      std::copy_n(b_.projected.data() + t * used * x_stride(), x_stride(), b_.projected.data() + t * x_stride());
    }
  }

  void add_to_residual(std::span<const float> y) const {
    pool_.run(n_, kFewRows, [&](const WorkerPool::Part& part) {
      const std::size_t begin = part.begin * x_stride();
      k_.add(y.data() + begin, part.end * x_stride() - begin, b_.x.data() + begin);
    });
  }

  std::size_t x_stride() const { return padded_rows(m_.config.hidden); }

 private:
  void normalize_row(const Norm& norm, const float* x, float* out) const {
    const auto epsilon = static_cast<float>(m_.config.norm_epsilon);
    if (norm.bias.empty()) {
      k_.rms_normalize(x, norm.gain.data(), m_.config.hidden, epsilon, out);
    } else {
      k_.layer_normalize(x, norm.gain.data(), norm.bias.data(), m_.config.hidden, epsilon, out);
    }
  }

  const Weights& m_;
  std::size_t n_;
  Buffers& b_;
  const kernels::KernelSet& k_;
  WorkerPool& pool_;
  const InputObserver* observer_;
};

void count_in(std::size_t n, StreamCache& cache) {
  cache.occupancy.advance(n);
  cache.position += n;
}

}  // namespace

// n tokens, D hidden, H heads, G KV heads, d head size, F MLP width, V vocabulary.
void forward(const Weights& m, std::span<const Token> tokens, Chunk kind, StreamCache& cache, Buffers& b,
             const Machine& machine) {
  const ModelConfig& c = m.config;
  const std::size_t n = tokens.size();
  const std::size_t mixed_width = std::size_t{c.heads} * c.head_size;
  const Steps step(m, n, b, machine);

  WorkerPool& pool = *machine.pool;
  step.embed(tokens, cache.occupancy);             // x       [n, D]  float32, the residual stream
  prepare_phases(m, cache, n, b.attention, pool);  // angles  [n, rotated/2]  twice: for the ring, for the sinks
  for (const Layer& layer : m.layers) {
    const auto of = [&](Input input) { return InputPlace{input, layer.index}; };
    // h  [n, D]  int8, a scale per (token, group)
    const Activations h = step.normalize(layer.attention_norm, of(Input::kQkv), 0, n);
    step.project(layer.qkv, h, n, b.qkv);  // qkv       [n, (H + 2 G) d]  float32
    step.normalize_heads(layer);
    const Slots staged = kind == Chunk::kFed ? b.attention.staged : drafted_slots(c, layer, cache);
    attend(m, layer, b.qkv, qkv_width(c), n, cache, staged, b.attention, *machine.kernels, pool,
           b.mixed);  // mixed     [n, H d]  float32
    // Not earlier: the chunk's first query needs the oldest slot.
    if (kind == Chunk::kFed) commit(c, layer, 0, n, cache, staged, pool);
    const auto row_of_mixed = [&](std::size_t t, float*) { return &b.mixed[t * mixed_width]; };
    const Activations mixed = step.quantize_rows(of(Input::kOut), mixed_width, n, row_of_mixed);
    step.project(layer.out, mixed, n, b.projected);  // projected [n, D]  float32
    step.normalize_output(layer.attention_post_norm, b.projected);
    if (c.block == Block::kSequential) step.add_to_residual(b.projected);

    const Activations g = step.normalize(layer.mlp_norm, of(Input::kGateUp), 0, n);  // g         [n, D]  int8
    if (c.block == Block::kParallel) step.add_to_residual(b.projected);              // now that the MLP has its input
    if (c.experts > 0) {
      step.mix_experts(layer, g);  // projected [n, D]
    } else {
      step.project(layer.gate_up, g, n, b.wide);  // wide      [n, 2 F]  float32: gates, ups; F without gates
      const Activations gated = step.activate(of(Input::kDown), n);  // gated     [n, F]  int8
      step.project(layer.down, gated, n, b.projected);               // projected [n, D]  float32
    }
    step.normalize_output(layer.mlp_post_norm, b.projected);
    step.add_to_residual(b.projected);
  }
  if (kind == Chunk::kFed) count_in(n, cache);
}

void commit_drafted(const Weights& m, std::size_t first, StreamCache& cache, WorkerPool& pool) {
  for (const Layer& layer : m.layers) {
    commit(m.config, layer, first, 1, cache, drafted_slots(m.config, layer, cache), pool);
  }
  count_in(1, cache);
}

std::span<const float> project_logits(const Weights& m, std::size_t first, std::size_t count, Buffers& b,
                                      const Machine& machine) {
  const Steps step(m, count, b, machine);
  constexpr InputPlace kPlace = {Input::kHead, 0};
  Activations h = step.normalize(m.final_norm, kPlace, first, count);  // h         [count, D]  int8
  if (m.config.head_transform != 0) {
    step.project(m.head_transform, h, count, b.projected);
    h = step.quantize_rows(kPlace, m.config.hidden, count,
                           [&](std::size_t t, float*) { return b.projected.data() + t * step.x_stride(); });
  }
  step.project(m.head, h, count, b.logits);  // logits    [count, V]  float32
  const std::span<float> logits = b.logits.first(count * padded_vocabulary(m.config));
  if (m.config.logit_cap > 0) {
    machine.kernels->soft_cap(static_cast<float>(m.config.logit_cap), logits.size(), logits.data());
  }
  return logits;
}

std::size_t padded_vocabulary(const ModelConfig& config) { return padded_rows(config.vocabulary); }

ChunkItems plan_chunk(MemoryPlan& plan, const ModelConfig& config, const CachePolicy& policy, std::size_t chunk,
                      std::size_t logits_rows, std::size_t threads) {
  constexpr Lifetime kLife = Lifetime::kOneCall;
  const Size n(chunk);
  const Size mlps = n * Size(config.mlps_per_token());
  const Size padded_hidden(padded_rows(config.hidden));
  const Size groups(groups_of(widest_input(config), config));
  const Size routes = config.experts == 0 ? Size(0) : mlps;
  // The router's logits lie where the wide rows come afterwards.
  const Size wide(std::max(wide_width(config), padded_rows(config.experts)));
  ChunkItems items;
  items.chunk = chunk;
  items.logits_rows = logits_rows;
  items.x = plan.add<float>("residual stream", n * padded_hidden, kLife);
  items.values = plan.add<std::int8_t>("activations int8", mlps * groups * Size(config.group), kLife);
  items.scales = plan.add<float>("activation scales", mlps * groups, kLife);
  items.scratch = plan.add<float>("rows to quantise", Size(threads) * round_up(Size(widest_input(config)), 16), kLife);
  items.qkv = plan.add<float>("queries, keys, values", n * Size(qkv_width(config)), kLife);
  items.attention = plan_attention(plan, config, policy, chunk, threads);
  items.mixed = plan.add<float>("attention output", n * Size(std::uint64_t{config.heads} * config.head_size), kLife);
  items.projected = plan.add<float>("projections", mlps * padded_hidden, kLife);
  items.wide = plan.add<float>("MLP gates and ups", mlps * wide, kLife);
  items.experts = plan.add<std::uint32_t>("experts of each token", routes, kLife);
  items.shares = plan.add<float>("their shares", routes, kLife);
  items.logits = plan.add<float>("logits", Size(logits_rows) * Size(padded_vocabulary(config)), kLife);
  return items;
}

Buffers cut_chunk(const Arena& arena, const ChunkItems& items, const ModelConfig& config, std::size_t threads) {
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
          .experts = arena[items.experts],
          .shares = arena[items.shares],
          .attention = cut_attention(arena, items.attention, config, threads)};
}

}  // namespace rill
