#include "quant/gguf_families.h"

#include <cmath>

namespace rill::quant {
namespace {

// The converter lays the rotated pairs of these families side by side.
constexpr TensorName kLlama[] = {
    {"token_embd.weight", Part::kEmbedding},
    {"output.weight", Part::kHead},
    {"output_norm.weight", Part::kFinalNorm},
    {"blk.{}.attn_norm.weight", Part::kAttentionNorm},
    {"blk.{}.attn_q.weight", Part::kQuery, Rows::kAdjacentPairs},
    {"blk.{}.attn_k.weight", Part::kKey, Rows::kAdjacentPairs},
    {"blk.{}.attn_v.weight", Part::kValue},
    {"blk.{}.attn_output.weight", Part::kAttentionOut},
    {"blk.{}.ffn_norm.weight", Part::kMlpNorm},
    {"blk.{}.ffn_gate.weight", Part::kGate},
    {"blk.{}.ffn_up.weight", Part::kUp},
    {"blk.{}.ffn_down.weight", Part::kDown},
};

// The rotated pairs as halves. Qwen lacks the outer norms; to Gemma's gains the converter has added 1.
constexpr TensorName kHalves[] = {
    {"token_embd.weight", Part::kEmbedding},
    {"output.weight", Part::kHead},
    {"output_norm.weight", Part::kFinalNorm},
    {"blk.{}.attn_norm.weight", Part::kAttentionNorm},
    {"blk.{}.attn_q.weight", Part::kQuery},
    {"blk.{}.attn_k.weight", Part::kKey},
    {"blk.{}.attn_v.weight", Part::kValue},
    {"blk.{}.attn_q_norm.weight", Part::kQueryNorm},
    {"blk.{}.attn_k_norm.weight", Part::kKeyNorm},
    {"blk.{}.attn_output.weight", Part::kAttentionOut},
    {"blk.{}.post_attention_norm.weight", Part::kAttentionPostNorm},
    {"blk.{}.ffn_norm.weight", Part::kMlpNorm},
    {"blk.{}.ffn_gate.weight", Part::kGate},
    {"blk.{}.ffn_up.weight", Part::kUp},
    {"blk.{}.ffn_down.weight", Part::kDown},
    {"blk.{}.post_ffw_norm.weight", Part::kMlpPostNorm},
};

// Falcon-40B's attention reads attn_norm_2 and its MLP attn_norm; Falcon-7B has attn_norm for both.
constexpr TensorName kFalcon[] = {
    {"token_embd.weight", Part::kEmbedding},
    {"output.weight", Part::kHead},
    {"output_norm.weight", Part::kFinalNorm},
    {"blk.{}.attn_norm_2.weight", Part::kAttentionNorm},
    {"blk.{}.attn_norm.weight", Part::kAttentionNorm},
    {"blk.{}.attn_norm.weight", Part::kMlpNorm},
    {"blk.{}.attn_qkv.weight", Part::kQkv},
    {"blk.{}.attn_output.weight", Part::kAttentionOut},
    {"blk.{}.ffn_up.weight", Part::kUp},
    {"blk.{}.ffn_down.weight", Part::kDown},
};

constexpr TensorName kMpt[] = {
    {"token_embd.weight", Part::kEmbedding},
    {"output.weight", Part::kHead},
    {.pattern = "output_norm.weight", .part = Part::kFinalNorm, .zero_bias = true},
    {.pattern = "blk.{}.attn_norm.weight", .part = Part::kAttentionNorm, .zero_bias = true},
    {"blk.{}.attn_qkv.weight", Part::kQkv},
    {"blk.{}.attn_output.weight", Part::kAttentionOut},
    {.pattern = "blk.{}.ffn_norm.weight", .part = Part::kMlpNorm, .zero_bias = true},
    {"blk.{}.ffn_up.weight", Part::kUp},
    {"blk.{}.ffn_down.weight", Part::kDown},
};

// Fused rows come regrouped: all queries, all keys, all values. GPT-NeoX lacks the positions.
constexpr TensorName kFused[] = {
    {"token_embd.weight", Part::kEmbedding},
    {"position_embd.weight", Part::kPositions},
    {"output.weight", Part::kHead},
    {"output_norm.weight", Part::kFinalNorm},
    {"blk.{}.attn_norm.weight", Part::kAttentionNorm},
    {"blk.{}.attn_qkv.weight", Part::kQkv},
    {"blk.{}.attn_output.weight", Part::kAttentionOut},
    {"blk.{}.ffn_norm.weight", Part::kMlpNorm},
    {"blk.{}.ffn_up.weight", Part::kUp},
    {"blk.{}.ffn_down.weight", Part::kDown},
};

/// The converter has interleaved the halves of each head, all of it.
Status refine_adjacent_pairs(const GgufKeys& keys, ModelConfig& c, GgufPositions& /*positions*/) {
  if (c.rotary == 0) return {};
  return keys.bad("rope.dimension_count", text(c.rotary), text("the whole head, ", c.head_size));
}

/// Mistral is a llama to the converter; its window counts the token itself.
Status refine_llama(const GgufKeys& keys, ModelConfig& c, GgufPositions& positions) {
  RILL_TRY(refine_adjacent_pairs(keys, c, positions));
  RILL_ASSIGN(const std::uint32_t window, keys.number("attention.sliding_window", 0));
  if (window > 1) {
    c.local_window = window - 1;
    c.local_layers = 1;
  }
  return {};
}

Status refine_gemma3(const GgufKeys& keys, ModelConfig& c, GgufPositions& positions) {
  constexpr std::uint32_t kLayersOf27B = 62;  // the only size that scales by another width than the head's
  const double width = c.layers == kLayersOf27B ? c.hidden / c.heads : c.head_size;
  c.attention_scale = 1.0 / std::sqrt(width);
  c.embedding_scale = std::sqrt(static_cast<double>(c.hidden));
  RILL_ASSIGN(c.logit_cap, keys.real("final_logit_softcapping", 0.0));
  RILL_ASSIGN(positions.local_theta, keys.real("rope.freq_base_swa", positions.local_theta));
  RILL_ASSIGN(const std::uint32_t window, keys.number("attention.sliding_window", 0));
  c.local_window = window > 0 ? window - 1 : 0;
  RILL_ASSIGN(const std::uint32_t period, keys.number("attention.sliding_window_pattern", c.layer_period));
  if (period < 1 || period > 64) {
    return keys.bad("attention.sliding_window_pattern", text(period), text("every how many layers one has no window"));
  }
  c.layer_period = period;
  c.local_layers = (std::uint64_t{1} << (period - 1)) - 1;
  if (c.local_window == 0) c.local_layers = 0;
  return {};
}

Status refine_gpt_neox(const GgufKeys& keys, ModelConfig& c, GgufPositions& /*positions*/) {
  RILL_ASSIGN(const bool parallel, keys.flag("use_parallel_residual", true));
  c.block = parallel ? Block::kParallel : Block::kSequential;
  return {};
}

Status refine_falcon(const GgufKeys& keys, ModelConfig& c, GgufPositions& /*positions*/) {
  c.shared_norm = keys.file().find_tensor("blk.0.attn_norm_2.weight") == nullptr ? 1 : 0;
  return {};
}

Status refine_mpt(const GgufKeys& keys, ModelConfig& /*c*/, GgufPositions& positions) {
  RILL_ASSIGN(positions.alibi_most_bias, keys.real("attention.max_alibi_bias", 8.0));
  RILL_ASSIGN(const double clamp, keys.real("attention.clamp_kqv", 0.0));
  if (clamp != 0.0) {
    return keys.bad("attention.clamp_kqv", text(clamp), text("queries, keys and values without a limit"));
  }
  if (!(positions.alibi_most_bias > 0.0)) {
    return keys.bad("attention.max_alibi_bias", text(positions.alibi_most_bias), text("a number above 0"));
  }
  return {};
}

constexpr GgufFamily kGgufFamilies[] = {
    {.architecture = "llama", .family = "llama", .names = kLlama, .refine = refine_llama},
    {.architecture = "smollm3", .family = "smollm3", .names = kLlama, .refine = refine_adjacent_pairs},
    {.architecture = "qwen2", .family = "qwen2", .names = kHalves},
    {.architecture = "qwen3", .family = "qwen3", .names = kHalves},
    {.architecture = "gemma3", .family = "gemma3", .names = kHalves, .refine = refine_gemma3},
    {.architecture = "gptneox", .family = "gpt_neox", .names = kFused, .refine = refine_gpt_neox},
    {.architecture = "falcon", .family = "falcon", .names = kFalcon, .refine = refine_falcon},
    {.architecture = "mpt", .family = "mpt", .names = kMpt, .refine = refine_mpt},
    {.architecture = "gpt2", .family = "gpt2", .names = kFused},
};

}  // namespace

std::span<const GgufFamily> gguf_families() { return kGgufFamilies; }

}  // namespace rill::quant
