#include "core/engine_state.h"
#include "core/model_format.h"

namespace rill {

namespace {

/// Finds tensors of a checked model file, where its weights lie now.
class Binder {
 public:
  Binder(const ModelFile& model, std::span<const std::byte> weights) : model_(model), weights_(weights) {}

  kernels::Matrix matrix(std::string_view pattern, std::uint32_t layer = 0) const {
    const TensorView tensor = model_.tensor(pattern, layer);
    return tensor ? kernels::Matrix{.blocks = moved(tensor), .shape = tensor.tiles()} : kernels::Matrix{};
  }
  std::span<const float> floats(std::string_view pattern, std::uint32_t layer = 0, bool is_bias = false) const {
    const TensorView tensor = model_.tensor(pattern, layer, is_bias);
    if (!tensor) return {};
    return {reinterpret_cast<const float*>(moved(tensor)), tensor.floats().size()};
  }
  std::span<const std::uint64_t> integers(std::string_view pattern) const {
    const TensorView tensor = model_.tensor(pattern);
    if (!tensor) return {};
    return {reinterpret_cast<const std::uint64_t*>(moved(tensor)), tensor.integers().size()};
  }
  Norm norm(std::string_view pattern, std::uint32_t layer = 0) const {
    return {.gain = floats(pattern, layer), .bias = floats(pattern, layer, true)};
  }
  Projection projection(std::string_view pattern, std::uint32_t layer = 0) const {
    return {.weights = matrix(pattern, layer), .bias = floats(pattern, layer, true)};
  }
  Layer layer(std::uint32_t l) const {
    const ModelConfig& c = model_.config();
    Layer layer{.attention_norm = norm(format::kAttentionNorm, l),
                .qkv = projection(format::kQkv, l),
                .query_norm = floats(format::kQueryNorm, l),
                .key_norm = floats(format::kKeyNorm, l),
                .sink_logits = floats(format::kSinkLogits, l),
                .out = projection(format::kAttentionOut, l),
                .attention_post_norm = norm(format::kAttentionPostNorm, l),
                .mlp_norm = norm(format::kMlpNorm, l),
                .router = projection(format::kRouter, l),
                .gate_up = projection(format::kGateUp, l),
                .down = projection(format::kDown, l),
                .mlp_post_norm = norm(format::kMlpPostNorm, l),
                .is_local = c.is_local(l),
                .rotates = c.rotates(l),
                .rope_table = c.rope_tables == 2 && c.is_local(l) ? 1U : 0U,
                .index = l,
                .ring_index = 0};
    if (c.shared_norm != 0) layer.mlp_norm = layer.attention_norm;
    return layer;
  }

 private:
  const std::byte* moved(const TensorView& tensor) const {
    return weights_.data() + (tensor.bytes.data() - model_.weights().data());
  }

  const ModelFile& model_;
  std::span<const std::byte> weights_;
};

}  // namespace

Weights bind_weights(const ModelFile& model, std::span<const std::byte> weights, std::span<Layer> layers) {
  const Binder bind(model, weights);
  Weights w;
  w.config = model.config();
  w.embedding = bind.matrix(format::kEmbedding);
  w.positions = bind.floats(format::kPositions);
  w.alibi = bind.floats(format::kAlibi);
  w.rope_turns = bind.integers(format::kRopeTurns);
  w.final_norm = bind.norm(format::kFinalNorm);
  w.head_transform = bind.projection(format::kHeadTransform);
  w.head = bind.projection(format::kHead);
  if (w.config.tied_head != 0) w.head.weights = w.embedding;
  std::uint32_t of_kind[2] = {0, 0};
  for (std::uint32_t l = 0; l < w.config.layers; ++l) {
    layers[l] = bind.layer(l);
    layers[l].ring_index = of_kind[layers[l].is_local ? 1 : 0]++;
  }
  w.layers = layers;
  return w;
}

}  // namespace rill
