#include "core/model_family.h"

#include <algorithm>

namespace rill {
namespace {

constexpr double kGemmaEpsilon = 1e-6;

constexpr Family kFamilies[] = {
    {.name = "llama", .config = {.norm_epsilon = 1e-6}},
    {.name = "mistral", .config = {.norm_epsilon = 1e-6, .local_layers = 1}},
    {.name = "qwen2", .config = {.norm_epsilon = 1e-6, .attention_bias = 1}},
    {.name = "qwen3", .config = {.norm_epsilon = 1e-6, .head_norm = HeadNorm::kPerHead}},
    {.name = "smollm3",
     .config = {.tied_head = 1, .norm_epsilon = 1e-6, .layer_period = 4, .unrotated_layers = 0b1000}},
    {.name = "olmo2",
     .config = {.norm_placement = NormPlacement::kAfter, .norm_epsilon = 1e-5, .head_norm = HeadNorm::kAllHeads}},
    {.name = "gemma2",
     .config = {.tied_head = 1,
                .logit_cap = 30.0,
                .norm_placement = NormPlacement::kAround,
                .norm_epsilon = kGemmaEpsilon,
                .attention_cap = 50.0,
                .activation = ActivationFunction::kGeluTanh,
                .layer_period = 2,
                .local_layers = 0b01}},
    {.name = "gemma3",
     .config = {.tied_head = 1,
                .norm_placement = NormPlacement::kAround,
                .norm_epsilon = kGemmaEpsilon,
                .rope_tables = 2,
                .rope_theta = 1e6,
                .head_norm = HeadNorm::kPerHead,
                .activation = ActivationFunction::kGeluTanh,
                .layer_period = 6,
                .local_layers = 0b011111}},
    {.name = "gpt_neox",
     .config = {.norm = NormKind::kLayer,
                .block = Block::kParallel,
                .attention_bias = 1,
                .out_bias = 1,
                .activation = ActivationFunction::kGelu,
                .gated_mlp = 0,
                .mlp_bias = 1}},
    {.name = "falcon",
     .config = {.tied_head = 1,
                .norm = NormKind::kLayer,
                .block = Block::kParallel,
                .activation = ActivationFunction::kGelu,
                .gated_mlp = 0}},
    {.name = "mpt",
     .config = {.tied_head = 1,
                .norm = NormKind::kLayer,
                .position = Position::kAlibi,
                .activation = ActivationFunction::kGelu,
                .gated_mlp = 0}},
    {.name = "gpt2",
     .config = {.tied_head = 1,
                .norm = NormKind::kLayer,
                .position = Position::kLearned,
                .attention_bias = 1,
                .out_bias = 1,
                .activation = ActivationFunction::kGeluTanh,
                .gated_mlp = 0,
                .mlp_bias = 1}},
    {.name = "phi",
     .config = {.head_bias = 1,
                .norm = NormKind::kLayer,
                .shared_norm = 1,
                .block = Block::kParallel,
                .attention_bias = 1,
                .out_bias = 1,
                .activation = ActivationFunction::kGeluTanh,
                .gated_mlp = 0,
                .mlp_bias = 1}},
    {.name = "stablelm", .config = {.norm = NormKind::kLayer}},
    {.name = "gpt_oss",
     .config = {.rope_theta = 150000.0,
                .attention_bias = 1,
                .out_bias = 1,
                .softmax = Softmax::kSinkLogit,
                .activation = ActivationFunction::kClampedSwish,
                .mlp_bias = 1,
                .mlp_limit = 7.0,
                .layer_period = 2,
                .local_layers = 0b01,
                .default_sinks = 0}},
};

}  // namespace

const Family* find_family(std::string_view name) {
  const auto* found = std::ranges::find(kFamilies, name, &Family::name);
  return found == std::end(kFamilies) ? nullptr : found;
}

}  // namespace rill
