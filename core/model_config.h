#pragma once
// What a model is, in numbers. The fields are listed once, in for_each_field(): the writer, the reader, its range
// checks and `rill inspect` all walk that list.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "platform/status.h"

namespace rill {

/// A token's id in the vocabulary.
using Token = std::uint32_t;

/// "No such token", for a vocabulary without a beginning-of-text token and the like.
inline constexpr Token kNoToken = 0xffffffffU;

/// Dimensions and constants of one model. Plain data; read-only once loaded.
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
  double norm_epsilon = 1e-5;
  double rope_theta = 10000.0;  ///< for people; the exact phases are in the tensor rope_turns
  double temperature = 0.7;     ///< the model's own sampling, where its makers name one
  double top_p = 1.0;
  std::uint32_t top_k = 0;  ///< 0: no limit

  friend bool operator==(const ModelConfig&, const ModelConfig&) = default;
};

/// Calls visit(name, field, least, most) for every field of a ModelConfig (const or not), in file order.
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
  visit("norm_epsilon", c.norm_epsilon, 0.0, 1.0);
  visit("rope_theta", c.rope_theta, 1.0, 1e12);
  visit("temperature", c.temperature, 0.0, 100.0);
  visit("top_p", c.top_p, 0.0, 1.0);
  visit("top_k", c.top_k, 0.0, 16777216.0);
}

/// Ok, or a sentence that names the first field out of its range or at odds with another (kv_heads must divide heads,
/// head_size be even, group a multiple of 16).
/// @param where  what the sentence begins with: the file.
Status validate(const ModelConfig& config, const Text& where);

}  // namespace rill
