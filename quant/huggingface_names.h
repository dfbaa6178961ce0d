#pragma once
// What Hugging Face calls the tensors of each family.

#include "quant/source_model.h"

namespace rill::quant::huggingface_names {

// Llama's names, which most families have; the parts that a configuration lacks are not looked for.
inline constexpr TensorName kLlama[] = {
    {"model.embed_tokens.weight", Part::kEmbedding},
    {"lm_head.weight", Part::kHead},
    {"model.norm.weight", Part::kFinalNorm},
    {"model.layers.{}.input_layernorm.weight", Part::kAttentionNorm},
    {"model.layers.{}.self_attn.q_proj.weight", Part::kQuery},
    {"model.layers.{}.self_attn.k_proj.weight", Part::kKey},
    {"model.layers.{}.self_attn.v_proj.weight", Part::kValue},
    {"model.layers.{}.self_attn.q_norm.weight", Part::kQueryNorm},
    {"model.layers.{}.self_attn.k_norm.weight", Part::kKeyNorm},
    {"model.layers.{}.self_attn.o_proj.weight", Part::kAttentionOut},
    {"model.layers.{}.post_attention_layernorm.weight", Part::kMlpNorm},
    {"model.layers.{}.mlp.gate_proj.weight", Part::kGate},
    {"model.layers.{}.mlp.up_proj.weight", Part::kUp},
    {"model.layers.{}.mlp.down_proj.weight", Part::kDown},
};

inline constexpr TensorName kGemma[] = {
    {"model.embed_tokens.weight", Part::kEmbedding},
    {"lm_head.weight", Part::kHead},
    {.pattern = "model.norm.weight", .part = Part::kFinalNorm, .plus_one = true},
    {.pattern = "model.layers.{}.input_layernorm.weight", .part = Part::kAttentionNorm, .plus_one = true},
    {"model.layers.{}.self_attn.q_proj.weight", Part::kQuery},
    {"model.layers.{}.self_attn.k_proj.weight", Part::kKey},
    {"model.layers.{}.self_attn.v_proj.weight", Part::kValue},
    {.pattern = "model.layers.{}.self_attn.q_norm.weight", .part = Part::kQueryNorm, .plus_one = true},
    {.pattern = "model.layers.{}.self_attn.k_norm.weight", .part = Part::kKeyNorm, .plus_one = true},
    {"model.layers.{}.self_attn.o_proj.weight", Part::kAttentionOut},
    {.pattern = "model.layers.{}.post_attention_layernorm.weight", .part = Part::kAttentionPostNorm, .plus_one = true},
    {.pattern = "model.layers.{}.pre_feedforward_layernorm.weight", .part = Part::kMlpNorm, .plus_one = true},
    {"model.layers.{}.mlp.gate_proj.weight", Part::kGate},
    {"model.layers.{}.mlp.up_proj.weight", Part::kUp},
    {"model.layers.{}.mlp.down_proj.weight", Part::kDown},
    {.pattern = "model.layers.{}.post_feedforward_layernorm.weight", .part = Part::kMlpPostNorm, .plus_one = true},
};

inline constexpr TensorName kOlmo2[] = {
    {"model.embed_tokens.weight", Part::kEmbedding},
    {"lm_head.weight", Part::kHead},
    {"model.norm.weight", Part::kFinalNorm},
    {"model.layers.{}.self_attn.q_proj.weight", Part::kQuery},
    {"model.layers.{}.self_attn.k_proj.weight", Part::kKey},
    {"model.layers.{}.self_attn.v_proj.weight", Part::kValue},
    {"model.layers.{}.self_attn.q_norm.weight", Part::kQueryNorm},
    {"model.layers.{}.self_attn.k_norm.weight", Part::kKeyNorm},
    {"model.layers.{}.self_attn.o_proj.weight", Part::kAttentionOut},
    {"model.layers.{}.post_attention_layernorm.weight", Part::kAttentionPostNorm},
    {"model.layers.{}.mlp.gate_proj.weight", Part::kGate},
    {"model.layers.{}.mlp.up_proj.weight", Part::kUp},
    {"model.layers.{}.mlp.down_proj.weight", Part::kDown},
    {"model.layers.{}.post_feedforward_layernorm.weight", Part::kMlpPostNorm},
};

inline constexpr TensorName kGptNeox[] = {
    {"gpt_neox.embed_in.weight", Part::kEmbedding},
    {"embed_out.weight", Part::kHead},
    {"gpt_neox.final_layer_norm.weight", Part::kFinalNorm},
    {"gpt_neox.layers.{}.input_layernorm.weight", Part::kAttentionNorm},
    {"gpt_neox.layers.{}.attention.query_key_value.weight", Part::kQkv, Rows::kPerKvHead},
    {"gpt_neox.layers.{}.attention.dense.weight", Part::kAttentionOut},
    {"gpt_neox.layers.{}.post_attention_layernorm.weight", Part::kMlpNorm},
    {"gpt_neox.layers.{}.mlp.dense_h_to_4h.weight", Part::kUp},
    {"gpt_neox.layers.{}.mlp.dense_4h_to_h.weight", Part::kDown},
};

// Falcon-7B has one norm, Falcon-40B two of the same input, Falcon-RW two one after the other.
inline constexpr TensorName kFalcon[] = {
    {"transformer.word_embeddings.weight", Part::kEmbedding},
    {"lm_head.weight", Part::kHead},
    {"transformer.ln_f.weight", Part::kFinalNorm},
    {"transformer.h.{}.ln_attn.weight", Part::kAttentionNorm},
    {"transformer.h.{}.input_layernorm.weight", Part::kAttentionNorm},
    {"transformer.h.{}.self_attention.query_key_value.weight", Part::kQkv, Rows::kPerKvHead},
    {"transformer.h.{}.self_attention.dense.weight", Part::kAttentionOut},
    {"transformer.h.{}.ln_mlp.weight", Part::kMlpNorm},
    {"transformer.h.{}.post_attention_layernorm.weight", Part::kMlpNorm},
    {"transformer.h.{}.mlp.dense_h_to_4h.weight", Part::kUp},
    {"transformer.h.{}.mlp.dense_4h_to_h.weight", Part::kDown},
};

inline constexpr TensorName kMpt[] = {
    {"transformer.wte.weight", Part::kEmbedding},
    {"lm_head.weight", Part::kHead},
    {.pattern = "transformer.norm_f.weight", .part = Part::kFinalNorm, .zero_bias = true},
    {.pattern = "transformer.blocks.{}.norm_1.weight", .part = Part::kAttentionNorm, .zero_bias = true},
    {"transformer.blocks.{}.attn.Wqkv.weight", Part::kQkv},
    {"transformer.blocks.{}.attn.out_proj.weight", Part::kAttentionOut},
    {.pattern = "transformer.blocks.{}.norm_2.weight", .part = Part::kMlpNorm, .zero_bias = true},
    {"transformer.blocks.{}.ffn.up_proj.weight", Part::kUp},
    {"transformer.blocks.{}.ffn.down_proj.weight", Part::kDown},
};

inline constexpr TensorName kGpt2[] = {
    {"wte.weight", Part::kEmbedding},
    {"wpe.weight", Part::kPositions},
    {"lm_head.weight", Part::kHead},
    {"ln_f.weight", Part::kFinalNorm},
    {"h.{}.ln_1.weight", Part::kAttentionNorm},
    {.pattern = "h.{}.attn.c_attn.weight", .part = Part::kQkv, .transposed = true},
    {.pattern = "h.{}.attn.c_proj.weight", .part = Part::kAttentionOut, .transposed = true},
    {"h.{}.ln_2.weight", Part::kMlpNorm},
    {.pattern = "h.{}.mlp.c_fc.weight", .part = Part::kUp, .transposed = true},
    {.pattern = "h.{}.mlp.c_proj.weight", .part = Part::kDown, .transposed = true},
};

inline constexpr TensorName kPhi[] = {
    {"model.embed_tokens.weight", Part::kEmbedding},
    {"lm_head.weight", Part::kHead},
    {"model.final_layernorm.weight", Part::kFinalNorm},
    {"model.layers.{}.input_layernorm.weight", Part::kAttentionNorm},
    {"model.layers.{}.self_attn.q_proj.weight", Part::kQuery},
    {"model.layers.{}.self_attn.k_proj.weight", Part::kKey},
    {"model.layers.{}.self_attn.v_proj.weight", Part::kValue},
    {"model.layers.{}.self_attn.dense.weight", Part::kAttentionOut},
    {"model.layers.{}.mlp.fc1.weight", Part::kUp},
    {"model.layers.{}.mlp.fc2.weight", Part::kDown},
};

inline constexpr TensorName kGptOss[] = {
    {"model.embed_tokens.weight", Part::kEmbedding},
    {"lm_head.weight", Part::kHead},
    {"model.norm.weight", Part::kFinalNorm},
    {"model.layers.{}.input_layernorm.weight", Part::kAttentionNorm},
    {"model.layers.{}.self_attn.q_proj.weight", Part::kQuery},
    {"model.layers.{}.self_attn.k_proj.weight", Part::kKey},
    {"model.layers.{}.self_attn.v_proj.weight", Part::kValue},
    {"model.layers.{}.self_attn.sinks", Part::kSinkLogits},
    {"model.layers.{}.self_attn.o_proj.weight", Part::kAttentionOut},
    {"model.layers.{}.post_attention_layernorm.weight", Part::kMlpNorm},
    {"model.layers.{}.mlp.router.weight", Part::kRouter},
    {"model.layers.{}.mlp.experts.gate_up_proj", Part::kGateUp, Rows::kGateUpPairs, true},
    {.pattern = "model.layers.{}.mlp.experts.down_proj", .part = Part::kDown, .transposed = true},
};

}  // namespace rill::quant::huggingface_names
