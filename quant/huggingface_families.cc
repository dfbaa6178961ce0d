#include "quant/huggingface_families.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "quant/huggingface_names.h"
#include "quant/layer_pattern.h"

namespace rill::quant {
namespace {

using nlohmann::json;

constexpr double kMostWindow = 16777217.0;

/// `sliding_window` counts the token itself; local_window does not.
/// @param otherwise  where the key is absent; written as null it means that there is none
Status read_window(const Fields& fields, ModelConfig& c, std::uint32_t otherwise = 4096) {
  const std::uint32_t unwritten = fields.is_null("sliding_window") ? 1 : otherwise;
  RILL_ASSIGN(const std::uint32_t window, fields.whole("sliding_window", 2.0, kMostWindow, unwritten));
  c.local_window = window - 1;
  if (c.local_window == 0) c.local_layers = 0;
  return {};
}

/// `layer_types` names the local layers one by one; without it the family's own pattern stands.
Status read_layer_types(const Fields& fields, ModelConfig& c) {
  const json* types = fields.find("layer_types");
  if (types == nullptr || c.local_window == 0) return {};
  std::vector<bool> local;
  for (const json& type : *types) {
    const bool is_local = type == "sliding_attention";
    if (!types->is_array() || (!is_local && type != "full_attention")) {
      return fields.bad("layer_types", Fields::describe(&type), text("sliding_attention or full_attention"));
    }
    local.push_back(is_local);
  }
  return set_layer_pattern(fields, "layer_types", local, c, &ModelConfig::local_layers);
}

/// Every layer has the window, whatever `layer_types` says: transformers passes it over.
Status refine_mistral(const Fields& fields, ModelConfig& c, PositionSource& /*positions*/) {
  c.attention_bias = c.out_bias = c.mlp_bias = 0;  // whatever the file says: its network has none
  RILL_TRY(read_window(fields, c));
  const json* types = fields.find("layer_types");
  if (types == nullptr || c.local_window == 0) return {};
  const bool agrees =
      types->is_array() && std::ranges::all_of(*types, [](const json& t) { return t == "sliding_attention"; });
  return agrees ? Status()
                : fields.bad("layer_types", text("not every layer slides"), text("\"sliding_window\": null, or none"));
}

/// Qwen states a window that counts only with use_sliding_window, and then for the last layers.
Status refine_qwen(const Fields& fields, ModelConfig& c, PositionSource& /*positions*/) {
  RILL_ASSIGN(const bool windowed, fields.flag("use_sliding_window", false));
  if (!windowed) return {};
  RILL_TRY(read_window(fields, c));
  if (c.local_window == 0) return {};
  RILL_ASSIGN(const std::uint32_t first, fields.whole("max_window_layers", 0.0, 1024.0, 28));
  std::vector<bool> local(c.layers);
  for (std::uint32_t l = first; l < c.layers; ++l) local[l] = true;
  RILL_TRY(set_layer_pattern(fields, "max_window_layers", local, c, &ModelConfig::local_layers));
  return read_layer_types(fields, c);
}

Status refine_qwen2(const Fields& fields, ModelConfig& c, PositionSource& positions) {
  c.attention_bias = 1;  // whatever the file says: its network has these and no others
  c.out_bias = 0;
  return refine_qwen(fields, c, positions);
}

Status refine_smollm3(const Fields& fields, ModelConfig& c, PositionSource& /*positions*/) {
  RILL_TRY(fields.must_be("use_sliding_window", false, false));
  c.rope_theta = 2e6;  // where the file has none
  std::vector<bool> unrotated;
  RILL_ASSIGN(const std::uint32_t interval, fields.whole("no_rope_layer_interval", 1.0, 1024.0, 4));
  for (std::uint32_t l = 0; l < c.layers; ++l) unrotated.push_back((l + 1) % interval == 0);
  if (const json* rotates = fields.find("no_rope_layers"); rotates != nullptr) {  // 1 where the layer does rotate
    unrotated.clear();
    for (const json& flag : *rotates) {
      if (!rotates->is_array() || !flag.is_number_unsigned() || flag.get<std::uint64_t>() > 1) {
        return fields.bad("no_rope_layers", Fields::describe(&flag), text("an array of 0 and 1"));
      }
      unrotated.push_back(flag.get<std::uint64_t>() == 0);
    }
  }
  return set_layer_pattern(fields, "no_rope_layers", unrotated, c, &ModelConfig::unrotated_layers);
}

Status refine_gemma(const Fields& fields, ModelConfig& c, PositionSource& positions) {
  c.embedding_scale = std::sqrt(static_cast<double>(c.hidden));
  RILL_ASSIGN(const double scalar, fields.number("query_pre_attn_scalar", 1e-3, 1e6, 256.0));
  c.attention_scale = 1.0 / std::sqrt(scalar);
  // A cap that is written as null is none; one that is not written is the family's.
  const auto read_cap = [&](std::string_view key, double& cap) -> Status {
    RILL_ASSIGN(cap, fields.number(key, 1e-3, 1e6, fields.is_null(key) ? 0.0 : cap));
    return {};
  };
  RILL_TRY(read_cap("attn_logit_softcapping", c.attention_cap));
  RILL_TRY(read_cap("final_logit_softcapping", c.logit_cap));
  RILL_ASSIGN(positions.local_theta, fields.number("rope_local_base_freq", 1.0, 1e12, positions.local_theta));
  RILL_TRY(read_window(fields, c));
  if (c.local_window > 0 && fields.has("sliding_window_pattern") && !fields.has("layer_types")) {
    RILL_ASSIGN(const std::uint32_t period, fields.whole("sliding_window_pattern", 1.0, 64.0, 6));
    std::vector<bool> local(c.layers);
    for (std::uint32_t l = 0; l < c.layers; ++l) local[l] = (l + 1) % period != 0;
    RILL_TRY(set_layer_pattern(fields, "sliding_window_pattern", local, c, &ModelConfig::local_layers));
  }
  return read_layer_types(fields, c);
}

Status refine_gpt_neox(const Fields& fields, ModelConfig& c, PositionSource& /*positions*/) {
  RILL_ASSIGN(const bool parallel, fields.flag("use_parallel_residual", true));
  c.block = parallel ? Block::kParallel : Block::kSequential;
  return {};
}

Status refine_falcon(const Fields& fields, ModelConfig& c, PositionSource& positions) {
  RILL_ASSIGN(const bool grouped, fields.flag("new_decoder_architecture", false));
  RILL_ASSIGN(const bool multi_query, fields.flag("multi_query", true));
  RILL_ASSIGN(const bool parallel, fields.flag("parallel_attn", true));
  RILL_ASSIGN(const bool alibi, fields.flag("alibi", false));
  RILL_ASSIGN(const bool biases, fields.flag("bias", false));
  RILL_TRY(fields.must_be("apply_residual_connection_post_layernorm", false, false));
  c.kv_heads = multi_query ? 1 : c.heads;  // whatever num_kv_heads says, which real Falcon-7B files fill with 71
  if (grouped) {
    RILL_ASSIGN(c.kv_heads, fields.whole("num_kv_heads", 1.0, 1024.0, c.heads));
  }
  RILL_ASSIGN(const std::uint32_t norms, fields.whole("num_ln_in_parallel_attn", 1.0, 2.0, grouped ? 2 : 1));
  c.block = parallel || grouped ? Block::kParallel : Block::kSequential;
  c.shared_norm = c.block == Block::kParallel && norms == 1 ? 1 : 0;
  c.attention_bias = c.out_bias = c.mlp_bias = biases ? 1 : 0;
  if (alibi) {
    c.position = Position::kAlibi;
    positions.alibi_factor = 1.0 / std::sqrt(static_cast<double>(c.head_size));  // added before the scores are scaled
  }
  return {};
}

Status refine_mpt_attention(const Fields& attention, ModelConfig& c, PositionSource& positions) {
  RILL_TRY(attention.must_be("alibi", true, false));
  RILL_TRY(attention.must_be("qk_ln", false, false));
  RILL_TRY(attention.must_be("prefix_lm", false, false));
  RILL_TRY(attention.must_be_absent("clip_qkv", "queries, keys and values without a limit"));
  RILL_TRY(attention.must_be_absent("attn_logit_softcapping", "scores without a cap"));
  if (const json* window = attention.find("sliding_window_size"); window != nullptr && *window != -1) {
    return attention.bad("sliding_window_size", Fields::describe(window), text("-1: no window"));
  }
  RILL_ASSIGN(positions.alibi_most_bias, attention.number("alibi_bias_max", 1e-3, 1e3, 8.0));
  RILL_ASSIGN(c.attention_scale, attention.number("softmax_scale", 1e-6, 1e6, 0.0));
  RILL_ASSIGN(c.kv_heads, attention.whole("kv_n_heads", 1.0, 1024.0, c.kv_heads));
  return {};
}

Status refine_mpt(const Fields& fields, ModelConfig& c, PositionSource& positions) {
  RILL_TRY(fields.must_be("no_bias", true, true));
  RILL_TRY(fields.must_be_absent("logit_scale", "logits as they are"));
  RILL_ASSIGN(const std::string norm, fields.word("norm_type", "low_precision_layernorm"));
  if (norm != "low_precision_layernorm" && norm != "layernorm") {
    return fields.bad("norm_type", Fields::describe(fields.find("norm_type")), text("layernorm"));
  }
  RILL_ASSIGN(c.norm_epsilon, fields.number("norm_eps", 0.0, 1.0, c.norm_epsilon));
  RILL_ASSIGN(const auto mlp, fields.object("ffn_config"));
  if (mlp) {
    const json* act = mlp->find("ffn_act_fn");
    const bool is_gelu = act == nullptr || (act->is_object() && act->value("name", json()) == "gelu" &&
                                            act->value("approximate", json("none")) == "none");
    if (!is_gelu) return mlp->bad("ffn_act_fn", Fields::describe(act), text("gelu"));
  }
  RILL_ASSIGN(const std::uint32_t ratio, fields.whole("expansion_ratio", 1.0, 64.0, 4));
  c.mlp_width = c.hidden * ratio;
  RILL_ASSIGN(const auto attention, fields.object("attn_config"));
  if (!attention) return fields.bad("attn_config", text("absent"), text("an object that says \"alibi\": true"));
  return refine_mpt_attention(*attention, c, positions);
}

Status refine_gpt2(const Fields& fields, ModelConfig& /*c*/, PositionSource& /*positions*/) {
  RILL_TRY(fields.must_be("scale_attn_by_inverse_layer_idx", false, false));
  RILL_TRY(fields.must_be("add_cross_attention", false, false));
  return fields.must_be("scale_attn_weights", true, true);
}

Status refine_phi(const Fields& fields, ModelConfig& /*c*/, PositionSource& /*positions*/) {
  RILL_TRY(fields.must_be("tie_word_embeddings", false, false));
  return fields.must_be("qk_layernorm", false, false);
}

Status refine_stablelm(const Fields& fields, ModelConfig& c, PositionSource& /*positions*/) {
  RILL_TRY(fields.must_be("qk_layernorm", false, false));
  RILL_ASSIGN(const bool parallel, fields.flag("use_parallel_residual", false));
  if (parallel) c.block = Block::kParallel;
  c.shared_norm = parallel ? 1 : 0;
  RILL_ASSIGN(const bool biases, fields.flag("use_qkv_bias", false));
  c.attention_bias = biases ? 1 : 0;
  return {};
}

/// Of the published models, and of the kernels.
constexpr double kSwigluAlpha = 1.702;

Status refine_gpt_oss(const Fields& fields, ModelConfig& c, PositionSource& /*positions*/) {
  RILL_ASSIGN(c.experts, fields.whole("num_local_experts", 1.0, 1024.0, 32));
  RILL_ASSIGN(const std::uint32_t used, fields.whole("experts_per_token", 1.0, 64.0, 4));
  RILL_ASSIGN(c.experts_used, fields.whole("num_experts_per_tok", 1.0, 64.0, used));
  RILL_ASSIGN(c.mlp_limit, fields.number("swiglu_limit", 1e-3, 1e6, c.mlp_limit));
  c.activation = ActivationFunction::kClampedSwish;  // the file says "silu"
  RILL_ASSIGN(const double alpha, fields.number("swiglu_alpha", 1e-3, 1e6, kSwigluAlpha));
  if (alpha != kSwigluAlpha) return fields.bad("swiglu_alpha", text(alpha), text(kSwigluAlpha));
  if (!fields.has("rope_scaling") && !fields.has("rope_parameters")) {
    return fields.bad("rope_scaling", text("absent"), text("how the positions are scaled, as its makers wrote it"));
  }
  RILL_TRY(read_window(fields, c, 128));
  return read_layer_types(fields, c);
}

constexpr std::string_view kRopeTables[] = {".rotary_emb.inv_freq"};
constexpr std::string_view kGptNeoxMasks[] = {".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias"};
constexpr std::string_view kGpt2Masks[] = {".attn.bias", ".attn.masked_bias"};

namespace names = huggingface_names;

constexpr HuggingfaceFamily kHuggingfaceFamilies[] = {
    {.model_type = "llama", .family = "llama", .ignored = kRopeTables, .names = names::kLlama},
    {.model_type = "mistral",
     .family = "mistral",
     .ignored = kRopeTables,
     .names = names::kLlama,
     .refine = refine_mistral},
    {.model_type = "qwen2", .family = "qwen2", .ignored = kRopeTables, .names = names::kLlama, .refine = refine_qwen2},
    {.model_type = "qwen3", .family = "qwen3", .names = names::kLlama, .refine = refine_qwen},
    {.model_type = "smollm3", .family = "smollm3", .names = names::kLlama, .refine = refine_smollm3},
    {.model_type = "olmo2", .family = "olmo2", .names = names::kOlmo2},
    {.model_type = "gemma2", .family = "gemma2", .names = names::kGemma, .refine = refine_gemma},
    {.model_type = "gemma3_text", .family = "gemma3", .names = names::kGemma, .refine = refine_gemma},
    {.model_type = "gpt_neox",
     .family = "gpt_neox",
     .rotary_fraction = 0.25,
     .ignored = kGptNeoxMasks,
     .names = names::kGptNeox,
     .refine = refine_gpt_neox},
    {.model_type = "falcon",
     .family = "falcon",
     .mlp_ratio = 4,
     .ignored = kRopeTables,
     .names = names::kFalcon,
     .refine = refine_falcon},
    {.model_type = "mpt", .family = "mpt", .mlp_ratio = 4, .names = names::kMpt, .refine = refine_mpt},
    {.model_type = "gpt2",
     .family = "gpt2",
     .mlp_ratio = 4,
     .ignored = kGpt2Masks,
     .names = names::kGpt2,
     .optional_prefix = "transformer.",
     .refine = refine_gpt2},
    {.model_type = "phi",
     .family = "phi",
     .rotary_fraction = 0.5,
     .ignored = kRopeTables,
     .names = names::kPhi,
     .refine = refine_phi},
    {.model_type = "stablelm",
     .family = "stablelm",
     .rotary_fraction = 0.25,
     .ignored = kRopeTables,
     .names = names::kLlama,
     .refine = refine_stablelm},
    {.model_type = "gpt_oss", .family = "gpt_oss", .names = names::kGptOss, .refine = refine_gpt_oss},
};

}  // namespace

std::span<const HuggingfaceFamily> huggingface_families() { return kHuggingfaceFamilies; }

}  // namespace rill::quant
