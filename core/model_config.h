#pragma once
// What a model is, in numbers. The fields are listed once, in for_each_field(): the writer, the reader, its range
// checks and `rill inspect` all walk that list. A model family is a row of these fields (core/model_family.h); the
// forward pass knows no family.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "platform/kernels/kernels.h"
#include "platform/status.h"

namespace rill {

/// A token's id in the vocabulary.
using Token = std::uint32_t;

/// "No such token", for a vocabulary without a beginning-of-text token and the like.
inline constexpr Token kNoToken = 0xffffffffU;

enum class NormKind : std::uint32_t {
  kRms,   ///< RMSNorm (arXiv 1910.07467)
  kLayer  ///< LayerNorm (arXiv 1607.06450), with a bias
};
/// Where attention and MLP are normalised.
enum class NormPlacement : std::uint32_t {
  kBefore,  ///< their input
  kAfter,   ///< their output, before it joins the residual stream (OLMo 2)
  kAround   ///< both (Gemma)
};
/// How attention and MLP share the residual stream.
enum class Block : std::uint32_t {
  kSequential,  ///< the MLP reads what attention has added
  kParallel     ///< both read the block's input
};
enum class Position : std::uint32_t {
  kRope,    ///< rotated queries and keys (arXiv 2104.09864), in halves
  kAlibi,   ///< a bias on the scores, linear in the distance (arXiv 2108.12409)
  kLearned  ///< a vector per position in the cache, added to the embedding
};
/// RMSNorm of queries and keys before they are rotated.
enum class HeadNorm : std::uint32_t { kNone, kPerHead, kAllHeads };
enum class Softmax : std::uint32_t {
  kStandard,
  kPlusOne,   ///< exp(x) / (1 + sum of exp): the "zero sink"
  kSinkLogit  ///< a learned logit per head joins the sum and is dropped (gpt-oss)
};
using kernels::ActivationFunction;

/// Dimensions and constants of one model. Plain data; read-only once loaded. The defaults are Llama-2's.
struct ModelConfig {
  std::uint32_t hidden = 0;  ///< D, width of the residual stream
  std::uint32_t layers = 0;
  std::uint32_t heads = 0;           ///< H, query heads
  std::uint32_t kv_heads = 0;        ///< G, key and value heads; divides H
  std::uint32_t head_size = 0;       ///< d
  std::uint32_t mlp_width = 0;       ///< F
  std::uint32_t vocabulary = 0;      ///< V
  std::uint32_t context_length = 0;  ///< tokens of a training sequence; 0 if the source does not say
  std::uint32_t group = 32;          ///< inputs that share one weight scale and one activation scale

  std::uint32_t tied_head = 0;       ///< 1: the head is the embedding
  std::uint32_t head_bias = 0;       ///< 1: the head has a bias
  std::uint32_t head_transform = 0;  ///< 1: a tied head's input goes through a matrix first (quant/rotation.h)
  double embedding_scale = 1.0;      ///< the embedding's rows are multiplied by this
  double logit_cap = 0.0;            ///< c: logits become c tanh(logits / c); 0: they stay

  NormKind norm = NormKind::kRms;
  NormPlacement norm_placement = NormPlacement::kBefore;
  std::uint32_t shared_norm = 0;  ///< 1: a parallel block whose MLP reads attention's normalised input
  double norm_epsilon = 1e-5;
  Block block = Block::kSequential;

  Position position = Position::kRope;
  std::uint32_t rotary = 0;       ///< kRope: dimensions of each head that rotate, its first ones; 0: all of them
  std::uint32_t rope_tables = 1;  ///< kRope: 2 where local layers rotate at a speed of their own
  double rope_theta = 10000.0;    ///< for people; the exact phases are in the tensor rope_turns

  std::uint32_t attention_bias = 0;  ///< 1: queries, keys and values have biases
  std::uint32_t out_bias = 0;        ///< 1: attention's output has a bias
  HeadNorm head_norm = HeadNorm::kNone;
  double attention_scale = 0.0;  ///< scores are multiplied by this; 0: by 1 / sqrt(d)
  double attention_cap = 0.0;    ///< as logit_cap, of the scores
  Softmax softmax = Softmax::kStandard;

  ActivationFunction activation = ActivationFunction::kSilu;
  std::uint32_t gated_mlp = 1;      ///< 1: activation(gate) * up; 0: activation(up)
  std::uint32_t mlp_bias = 0;       ///< 1: the MLP's matrices, and the router, have biases
  std::uint32_t down_rotation = 0;  ///< of the MLP's middle, so many elements at a time go through a Hadamard transform
  double mlp_limit = 0.0;           ///< of ActivationFunction::kClampedSwish
  std::uint32_t experts = 0;        ///< E; 0: one MLP for all tokens
  std::uint32_t experts_used = 0;   ///< experts that a token goes through, the most probable ones

  // Layers may differ in two ways, by a pattern that repeats every layer_period layers; bit i is layer i of the period.
  std::uint32_t layer_period = 1;      ///< 1 to 64
  std::uint64_t local_layers = 0;      ///< these see only local_window tokens before a token, counted in the cache
  std::uint64_t unrotated_layers = 0;  ///< these have no positions
  std::uint32_t local_window = 0;

  Token sink_token = kNoToken;      ///< fed in front of every stream: a sink that was learned
  std::uint32_t default_sinks = 4;  ///< sinks of the policy "stream" where nobody says how many

  double temperature = 0.7;  ///< the model's own sampling, where its makers name one
  double top_p = 1.0;
  std::uint32_t top_k = 0;  ///< 0: no limit
  double min_p = 0;
  double repeat_penalty = 0;  ///< 0: none is named

  bool is_local(std::uint32_t layer) const { return (local_layers >> (layer % layer_period) & 1U) != 0; }
  bool rotates(std::uint32_t layer) const {
    return position == Position::kRope && (unrotated_layers >> (layer % layer_period) & 1U) == 0;
  }
  /// Dimensions of a head that rotate; 0 for a model without RoPE.
  std::uint32_t rotated_size() const {
    if (position != Position::kRope) return 0;
    return rotary == 0 ? head_size : rotary;
  }
  /// Rows of the MLP's first matrix, for one expert.
  std::uint64_t wide_rows() const { return std::uint64_t{mlp_width} * (gated_mlp != 0 ? 2 : 1); }
  /// MLPs that a token goes through.
  std::uint32_t mlps_per_token() const { return experts == 0 ? 1 : experts_used; }

  friend bool operator==(const ModelConfig&, const ModelConfig&) = default;
};

/// Calls visit(name, field, least, most) for every field of a ModelConfig (const or not), in file order. A field is an
/// unsigned integer of 32 or 64 bits, an enumeration of 32, or a double.
template <typename Config, typename Visitor>
void for_each_field(Config& c, Visitor&& visit) {
  visit("hidden", c.hidden, 4.0, 65536.0);
  visit("layers", c.layers, 1.0, 1024.0);
  visit("heads", c.heads, 1.0, 1024.0);
  visit("kv_heads", c.kv_heads, 1.0, 1024.0);
  visit("head_size", c.head_size, 2.0, 1024.0);
  visit("mlp_width", c.mlp_width, 1.0, 1048576.0);
  visit("vocabulary", c.vocabulary, 1.0, 16777216.0);
  visit("context_length", c.context_length, 0.0, 4294967295.0);
  visit("group", c.group, 16.0, 256.0);
  visit("tied_head", c.tied_head, 0.0, 1.0);
  visit("head_bias", c.head_bias, 0.0, 1.0);
  visit("head_transform", c.head_transform, 0.0, 1.0);
  visit("embedding_scale", c.embedding_scale, 1e-6, 1e6);
  visit("logit_cap", c.logit_cap, 0.0, 1e6);
  visit("norm", c.norm, 0.0, 1.0);
  visit("norm_placement", c.norm_placement, 0.0, 2.0);
  visit("shared_norm", c.shared_norm, 0.0, 1.0);
  visit("norm_epsilon", c.norm_epsilon, 0.0, 1.0);
  visit("block", c.block, 0.0, 1.0);
  visit("position", c.position, 0.0, 2.0);
  visit("rotary", c.rotary, 0.0, 1024.0);
  visit("rope_tables", c.rope_tables, 1.0, 2.0);
  visit("rope_theta", c.rope_theta, 1.0, 1e12);
  visit("attention_bias", c.attention_bias, 0.0, 1.0);
  visit("out_bias", c.out_bias, 0.0, 1.0);
  visit("head_norm", c.head_norm, 0.0, 2.0);
  visit("attention_scale", c.attention_scale, 0.0, 1e6);
  visit("attention_cap", c.attention_cap, 0.0, 1e6);
  visit("softmax", c.softmax, 0.0, 2.0);
  visit("activation", c.activation, 0.0, 3.0);
  visit("gated_mlp", c.gated_mlp, 0.0, 1.0);
  visit("mlp_bias", c.mlp_bias, 0.0, 1.0);
  visit("down_rotation", c.down_rotation, 0.0, 4096.0);
  visit("mlp_limit", c.mlp_limit, 0.0, 1e6);
  visit("experts", c.experts, 0.0, 1024.0);
  visit("experts_used", c.experts_used, 0.0, 64.0);
  visit("layer_period", c.layer_period, 1.0, 64.0);
  visit("local_layers", c.local_layers, 0.0, 18446744073709551615.0);
  visit("unrotated_layers", c.unrotated_layers, 0.0, 18446744073709551615.0);
  visit("local_window", c.local_window, 0.0, 16777216.0);
  visit("sink_token", c.sink_token, 0.0, 4294967295.0);
  visit("default_sinks", c.default_sinks, 0.0, 64.0);
  visit("temperature", c.temperature, 0.0, 100.0);
  visit("top_p", c.top_p, 0.0, 1.0);
  visit("top_k", c.top_k, 0.0, 16777216.0);
  visit("min_p", c.min_p, 0.0, 1.0);
  visit("repeat_penalty", c.repeat_penalty, 0.0, 100.0);
}

/// Ok, or a sentence that names the first field out of its range or at odds with another (kv_heads must divide heads,
/// head_size be even, group a multiple of 16, and so on).
/// @param where  what the sentence begins with: the file.
Status validate(const ModelConfig& config, const Text& where);

}  // namespace rill
