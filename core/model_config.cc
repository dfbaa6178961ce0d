#include "core/model_config.h"

#include <bit>
#include <type_traits>

namespace rill {
namespace {

/// One check of validate(): what must hold between fields.
struct Rule {
  std::string_view field;
  bool holds;
  Text what;
  Text expected;
};

Status refuse(const Text& where, std::string_view field, const Text& what, const Text& expected) {
  return bad_input({.where = text(where, ", field ", field),
                    .what = what,
                    .expected = expected,
                    .remedy = text("make the model file anew with `rill quantize`")});
}

Status check_ranges(const ModelConfig& config, const Text& where) {
  Status status;
  for_each_field(config, [&](std::string_view name, auto value, double least, double most) {
    const auto number = static_cast<double>(value);
    if (status.ok() && !(number >= least && number <= most)) {  // written so that NaN fails
      status = refuse(where, name, text(number), text("a number from ", least, " to ", most));
    }
  });
  return status;
}

/// The bits of a layer pattern lie inside its period, so that two files never mean the same by different numbers.
bool is_pattern(std::uint64_t layers, std::uint32_t period) { return period == 64 || layers >> period == 0; }

/// 0, or the size of a transform that whole lanes of the kernels can do on a row of this width.
bool is_hadamard(std::uint32_t block, std::uint32_t width) {
  return block == 0 || (block >= 16 && std::has_single_bit(block) && width % block == 0);
}

}  // namespace

Status validate(const ModelConfig& c, const Text& where) {
  RILL_TRY(check_ranges(c, where));
  const bool has_experts = c.experts > 0;
  const Rule rules[] = {
      {"kv_heads", c.heads % c.kv_heads == 0, text(c.kv_heads), text("a divisor of heads, ", c.heads)},
      {"head_size", c.head_size % 2 == 0, text(c.head_size), text("an even number")},
      {"group", c.group % 16 == 0, text(c.group), text("a multiple of 16")},
      {"head_transform", c.head_transform == 0 || c.tied_head != 0, text(c.head_transform),
       text("0 where the head is not tied")},
      {"down_rotation", is_hadamard(c.down_rotation, c.mlp_width), text(c.down_rotation),
       text("0, or a power of two from 16 that divides mlp_width, ", c.mlp_width)},
      {"rotary", c.rotary % 2 == 0 && c.rotary <= c.head_size, text(c.rotary),
       text("an even number up to head_size, ", c.head_size)},
      {"local_layers", is_pattern(c.local_layers, c.layer_period), text(c.local_layers),
       text("bits of a pattern of layer_period, ", c.layer_period, ", layers")},
      {"unrotated_layers", is_pattern(c.unrotated_layers, c.layer_period), text(c.unrotated_layers),
       text("bits of a pattern of layer_period, ", c.layer_period, ", layers")},
      {"local_window", c.local_layers == 0 || c.local_window > 0, text(c.local_window),
       text("at least 1 where layers are local")},
      {"shared_norm", c.shared_norm == 0 || c.block == Block::kParallel, text(c.shared_norm),
       text("0 in a sequential block")},
      {"norm_placement", c.block == Block::kSequential || c.norm_placement == NormPlacement::kBefore,
       text(static_cast<std::uint32_t>(c.norm_placement)), text("0 in a parallel block")},
      {"context_length", c.position != Position::kLearned || c.context_length >= 2, text(c.context_length),
       text("the number of learned positions, 2 or more")},
      {"experts_used", has_experts ? c.experts_used >= 1 && c.experts_used <= c.experts : c.experts_used == 0,
       text(c.experts_used), text(has_experts ? "1 to " : "", c.experts)},
      {"experts", !has_experts || (c.hidden % 16 == 0 && c.wide_rows() % 16 == 0), text(c.experts),
       text("experts whose rows are multiples of 16")},
      {"sink_token", c.sink_token == kNoToken || c.sink_token < c.vocabulary, text(c.sink_token),
       text("an id below vocabulary, ", c.vocabulary)},
  };
  for (const Rule& rule : rules) {
    if (!rule.holds) return refuse(where, rule.field, rule.what, rule.expected);
  }
  return {};
}

}  // namespace rill
