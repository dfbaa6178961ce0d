// config.json, one key spoilt at a time: each is refused by its name.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

#include "tests/support/huggingface_directory.h"

namespace rill::quant {
namespace {

using nlohmann::json;

struct Variant {
  const char* claim;
  json patch;
  const char* says;
};
void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.claim; }

json scaling(const json& fields) {
  json llama3 = {{"rope_type", "llama3"},
                 {"factor", 8.0},
                 {"low_freq_factor", 1.0},
                 {"high_freq_factor", 4.0},
                 {"original_max_position_embeddings", 64}};
  llama3.merge_patch(fields);
  return {{"rope_scaling", llama3}};
}

const Variant kVariants[] = {
    {"NoModelType", {{"model_type", nullptr}}, "key model_type: \"\" is not known, expected one of: llama"},
    {"OtherModelType", {{"model_type", "bloom"}}, "key model_type: \"bloom\" is not known, expected one of: llama"},
    {"ModelTypeOfAnotherKind", {{"model_type", 1}}, "key model_type: 1"},
    {"NoHiddenSize", {{"hidden_size", nullptr}}, "key hidden_size: absent"},
    {"HiddenSizeOfAnotherKind", {{"hidden_size", "8"}}, "key hidden_size: \"8\""},
    {"HiddenSizeNegative", {{"hidden_size", -8}}, "key hidden_size: -8"},
    {"HiddenSizeHuge", {{"hidden_size", 4294967304}}, "key hidden_size: 4294967304"},
    {"HiddenSizeFractional", {{"hidden_size", 8.5}}, "key hidden_size: 8.5, expected a whole number"},
    {"HiddenSizeNoMultipleOfHeads", {{"hidden_size", 9}}, "key hidden_size: 9 and no head_dim"},
    {"NoLayers", {{"num_hidden_layers", nullptr}}, "key num_hidden_layers: absent"},
    {"ZeroLayers", {{"num_hidden_layers", 0}}, "key num_hidden_layers: 0"},
    {"BillionsOfLayers", {{"num_hidden_layers", 4000000000U}}, "key num_hidden_layers"},
    {"NoHeads", {{"num_attention_heads", nullptr}}, "key num_attention_heads: absent"},
    {"ZeroHeads", {{"num_attention_heads", 0}}, "key num_attention_heads: 0"},
    {"ZeroKvHeads", {{"num_key_value_heads", 0}}, "key num_key_value_heads: 0"},
    {"KvHeadsDoNotDivideHeads", {{"num_key_value_heads", 3}}, "kv_heads"},
    {"OddHeadSize", {{"head_dim", 3}}, "head_size"},
    {"HeadSizeHuge", {{"head_dim", 1000000}}, "key head_dim"},
    {"NoMlpWidth", {{"intermediate_size", nullptr}}, "key intermediate_size: absent"},
    {"MlpWidthAnArray", {{"intermediate_size", {1, 2}}}, "key intermediate_size: a JSON array"},
    {"NoVocabulary", {{"vocab_size", nullptr}}, "key vocab_size: absent"},
    {"VocabularyHuge", {{"vocab_size", 1e18}}, "key vocab_size"},
    {"ContextNegative", {{"max_position_embeddings", -1}}, "key max_position_embeddings: -1"},
    {"EpsilonNegative", {{"rms_norm_eps", -1e-5}}, "key rms_norm_eps"},
    {"ThetaZero", {{"rope_theta", 0}}, "key rope_theta: 0"},
    {"ThetaNoNumber", {{"rope_theta", true}}, "key rope_theta: true"},
    {"TiedNoFlag", {{"tie_word_embeddings", 1}}, "key tie_word_embeddings: 1, expected true or false"},
    {"AttentionBiasWithoutBiases", {{"attention_bias", true}}, "self_attn.q_proj.bias: missing"},
    {"MlpBiasWithoutBiases", {{"mlp_bias", true}}, "mlp.gate_proj.bias: missing"},
    {"OtherActivation", {{"hidden_act", "relu"}}, "key hidden_act: \"relu\", expected silu, gelu"},
    {"RotationOfAnOddPart", {{"partial_rotary_factor", 0.75}}, "key partial_rotary_factor: 0.75, 3 dimensions"},
    {"RotationOfNothing", {{"partial_rotary_factor", 0.1}}, "key partial_rotary_factor: 0.1"},
    {"RotationOfMoreThanAll", {{"partial_rotary_factor", 1.5}}, "key partial_rotary_factor: 1.5"},
    {"Quantised", {{"quantization_config", {{"bits", 4}}}}, "key quantization_config"},
    {"EndTokenNoInteger", {{"eos_token_id", {2, "x"}}}, "key eos_token_id: \"x\""},
    {"FirstTokenNoInteger", {{"bos_token_id", 1.5}}, "key bos_token_id: 1.5"},
    {"ScalingNoObject", {{"rope_scaling", 2}}, "key rope_scaling: 2, expected an object"},
    {"ParametersNoObject", {{"rope_parameters", "x"}}, "key rope_parameters: \"x\""},
    {"UnknownScaling",
     {{"rope_scaling", {{"type", "longrope"}, {"factor", 2}}}},
     "the rope scaling \"longrope\" is not known"},
    {"YarnWithoutContext",
     {{"rope_scaling", {{"type", "yarn"}, {"factor", 2}}}},
     "key original_max_position_embeddings: absent"},
    {"ScalingTypeNoString", {{"rope_scaling", {{"type", 3}}}}, "key type: 3"},
    {"LinearWithoutFactor", {{"rope_scaling", {{"type", "linear"}}}}, "key factor: absent"},
    {"LinearFactorZero", {{"rope_scaling", {{"type", "linear"}, {"factor", 0}}}}, "key factor: 0"},
    {"Llama3WithoutFactor", scaling({{"factor", nullptr}}), "key factor: absent"},
    {"Llama3WithoutLow", scaling({{"low_freq_factor", nullptr}}), "key low_freq_factor: absent"},
    {"Llama3WithoutHigh", scaling({{"high_freq_factor", nullptr}}), "key high_freq_factor: absent"},
    {"Llama3WithoutContext", scaling({{"original_max_position_embeddings", nullptr}}),
     "original_max_position_embeddings"},
    {"Llama3BandsCoincide", scaling({{"high_freq_factor", 1.0}}), "key high_freq_factor: 1, expected more than low"},
    {"OddRotationInParameters",
     {{"rope_parameters", {{"partial_rotary_factor", 0.25}}}},
     "partial_rotary_factor: 0.25, 1 dimensions"},
    {"LayerTypesOfAnotherKind",
     {{"model_type", "gemma3_text"}, {"sliding_window", 4}, {"layer_types", {"wide"}}},
     "key layer_types: \"wide\""},
    {"TooManyLayerTypes",
     {{"model_type", "gemma3_text"}, {"sliding_window", 4}, {"layer_types", {"full_attention", "full_attention"}}},
     "key layer_types: 2 layers, expected one entry for each of 1"},
    {"AWindowOfItselfOnly", {{"model_type", "mistral"}, {"sliding_window", 1}}, "key sliding_window: 1"},
    {"MptWithAnotherNorm", {{"model_type", "mpt"}, {"norm_type", "rmsnorm"}}, "key norm_type: \"rmsnorm\""},
    {"RotationFlagsOfAnotherKind",
     {{"model_type", "smollm3"}, {"no_rope_layers", {true}}},
     "key no_rope_layers: true, expected an array of 0 and 1"},
    {"YarnWhereSomeLayersDoNotRotate",
     {{"model_type", "smollm3"},
      {"no_rope_layers", {0}},
      {"rope_scaling", {{"type", "yarn"}, {"factor", 2}, {"original_max_position_embeddings", 64}}}},
     "yarn on a part of the heads or of the layers"},
    {"TooManyEndTokens",
     {{"vocab_size", 100},
      {"eos_token_id",
       [] {
         json ids = json::array();
         for (int id = 0; id < 65; ++id) ids.push_back(id);
         return ids;
       }()}},
     "key eos_token_id: too many"},
    {"MptWithoutItsAttention", {{"model_type", "mpt"}}, "key attn_config: absent"},
    {"MptWithoutAlibi", {{"model_type", "mpt"}, {"attn_config", {{"alibi", false}}}}, "key alibi: false"},
    {"Gpt2WithOtherScales",
     {{"model_type", "gpt2"}, {"scale_attn_by_inverse_layer_idx", true}},
     "key scale_attn_by_inverse_layer_idx: true"},
    {"MoreExpertsUsedThanThereAre",
     {{"model_type", "gpt_oss"},
      {"num_local_experts", 2},
      {"num_experts_per_tok", 3},
      {"rope_scaling", {{"rope_type", "default"}}}},
     "field experts_used: 3"},
    // What transformers or llm-foundry take for another network, which would be run in silence.
    {"NotCausal", {{"is_causal", false}}, "key is_causal: false"},
    {"Bidirectional", {{"use_bidirectional_attention", true}}, "key use_bidirectional_attention: true"},
    {"MistralOfWhichALayerHasNoWindow",
     {{"model_type", "mistral"}, {"sliding_window", 4}, {"layer_types", {"full_attention"}}},
     "key layer_types: not every layer slides"},
    {"AnotherSwiglu", {{"model_type", "gpt_oss"}, {"swiglu_alpha", 3.5}}, "key swiglu_alpha: 3.5, expected 1.702"},
    {"GptOssWithoutItsScaling", {{"model_type", "gpt_oss"}}, "key rope_scaling: absent"},
    {"MptWithAWindow",
     {{"model_type", "mpt"}, {"attn_config", {{"alibi", true}, {"sliding_window_size", 4}}}},
     "key sliding_window_size: 4"},
    {"MptWithCappedScores",
     {{"model_type", "mpt"}, {"attn_config", {{"alibi", true}, {"attn_logit_softcapping", 0.5}}}},
     "key attn_logit_softcapping"},
    {"MptWithAnotherActivation",
     {{"model_type", "mpt"}, {"ffn_config", {{"ffn_act_fn", {{"name", "relu"}}}}}, {"attn_config", {{"alibi", true}}}},
     "key ffn_act_fn"},
    {"YarnInTheLocalLayers",
     {{"model_type", "gemma3_text"},
      {"rope_parameters",
       {{"sliding_attention", {{"rope_type", "yarn"}, {"factor", 2}, {"original_max_position_embeddings", 64}}},
        {"full_attention", {{"rope_type", "default"}}}}}},
     "yarn on a part of the layers"},
};

class HostileConfig : public testing::TestWithParam<Variant> {};
INSTANTIATE_TEST_SUITE_P(Keys, HostileConfig, testing::ValuesIn(kVariants),
                         [](const auto& test) { return std::string(test.param.claim); });

TEST_P(HostileConfig, IsRefusedByItsKey) {
  const HuggingfaceDirectory directory;
  directory.configure(GetParam().patch);
  directory.expect_refused(GetParam().says);
}

}  // namespace
}  // namespace rill::quant
