#include "quant/huggingface_config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "quant/json_document.h"

namespace rill::quant {
namespace {

using nlohmann::json;

// What every family has, under the names that different authors gave it.
constexpr NumberKey kDimensions[] = {
    {"hidden_size", "hidden"},
    {"n_embd", "hidden"},
    {"d_model", "hidden"},
    {"num_hidden_layers", "layers"},
    {"n_layer", "layers"},
    {"n_layers", "layers"},
    {"num_attention_heads", "heads"},
    {"n_head", "heads"},
    {"n_heads", "heads"},
    {"num_key_value_heads", "kv_heads"},
    {"head_dim", "head_size"},
    {"intermediate_size", "mlp_width"},
    {"ffn_hidden_size", "mlp_width"},
    {"n_inner", "mlp_width"},
    {"vocab_size", "vocabulary"},
    {"max_position_embeddings", "context_length"},
    {"n_positions", "context_length"},
    {"max_seq_len", "context_length"},
    {"rms_norm_eps", "norm_epsilon"},
    {"layer_norm_eps", "norm_epsilon"},
    {"layer_norm_epsilon", "norm_epsilon"},
};
constexpr NumberKey kThetaKeys[] = {{"rotary_emb_base", "rope_theta"}, {"rope_theta", "rope_theta"}};
constexpr NumberKey kSampling[] = {
    {"temperature", "temperature"}, {"top_p", "top_p"}, {"top_k", "top_k"}, {"min_p", "min_p"}};
constexpr NumberKey kPenalty[] = {{"repetition_penalty", "repeat_penalty"}};  // of greedy texts as well
constexpr std::size_t kMostEndTokens = 64;
constexpr std::string_view kFractionKeys[] = {"partial_rotary_factor", "rotary_pct"};

/// Names of one activation function each, as transformers has them.
struct ActivationName {
  std::string_view name;
  ActivationFunction function;
};
constexpr ActivationName kActivations[] = {
    {"silu", ActivationFunction::kSilu},          {"swish", ActivationFunction::kSilu},
    {"gelu", ActivationFunction::kGelu},          {"gelu_new", ActivationFunction::kGeluTanh},
    {"gelu_fast", ActivationFunction::kGeluTanh}, {"gelu_pytorch_tanh", ActivationFunction::kGeluTanh},
};
constexpr std::string_view kActivationKeys[] = {"hidden_activation", "hidden_act", "activation_function", "activation"};

Result<const HuggingfaceFamily*> find_family(const Fields& fields) {
  RILL_ASSIGN(const std::string model_type, fields.word("model_type", ""));
  Text known;
  for (const HuggingfaceFamily& family : huggingface_families()) {
    if (family.model_type == model_type) return &family;
    known.append(known.empty() ? "" : ", ");
    known.append(family.model_type);
  }
  return bad_input({.where = fields.where("model_type"),
                    .what = text("\"", legible(model_type), "\" is not known"),
                    .expected = text("one of: ", known),
                    .remedy = text("import a model of a known family")});
}

Status require(const Fields& fields, std::string_view key, std::uint32_t value) {
  return value > 0 ? Status() : fields.bad(key, text("absent"), text("a number above 0"));
}

Status read_dimensions(const Fields& fields, const HuggingfaceFamily& family, ModelConfig& c) {
  RILL_TRY(fields.read(kDimensions, c));
  RILL_TRY(require(fields, "hidden_size", c.hidden));
  RILL_TRY(require(fields, "num_hidden_layers", c.layers));
  RILL_TRY(require(fields, "num_attention_heads", c.heads));
  RILL_TRY(require(fields, "vocab_size", c.vocabulary));
  if (c.mlp_width == 0) c.mlp_width = c.hidden * family.mlp_ratio;
  RILL_TRY(require(fields, "intermediate_size", c.mlp_width));
  if (c.kv_heads == 0) c.kv_heads = c.heads;
  if (c.head_size == 0) {
    if (c.hidden % c.heads != 0) {
      return fields.bad("hidden_size", text(c.hidden, " and no head_dim"),
                        text("a multiple of num_attention_heads, ", c.heads));
    }
    c.head_size = c.hidden / c.heads;
  }
  RILL_ASSIGN(const bool tied, fields.flag("tie_word_embeddings", c.tied_head != 0));
  c.tied_head = tied ? 1 : 0;
  return {};
}

Status read_network(const Fields& fields, ModelConfig& c) {
  RILL_TRY(fields.must_be_absent("quantization_config", "weights in F32, F16 or BF16"));
  RILL_TRY(fields.must_be("is_causal", true, true));
  RILL_TRY(fields.must_be("use_bidirectional_attention", false, false));
  if (fields.has("attention_bias")) {
    RILL_ASSIGN(const bool biases, fields.flag("attention_bias", false));
    c.attention_bias = c.out_bias = biases ? 1 : 0;
  }
  RILL_ASSIGN(const bool mlp_biases, fields.flag("mlp_bias", c.mlp_bias != 0));
  c.mlp_bias = mlp_biases ? 1 : 0;
  for (const std::string_view key : kActivationKeys) {
    if (!fields.has(key)) continue;
    RILL_ASSIGN(const std::string name, fields.word(key, ""));
    const auto* known = std::ranges::find(kActivations, name, &ActivationName::name);
    if (known == std::end(kActivations)) {
      return fields.bad(key, text('"', legible(name), '"'), text("silu, gelu, gelu_new or gelu_pytorch_tanh"));
    }
    c.activation = known->function;
    break;
  }
  return {};
}

Status read_rotary_fraction(const Fields& fields, ModelConfig& c) {
  for (const std::string_view key : kFractionKeys) {
    if (!fields.has(key)) continue;
    RILL_ASSIGN(const double fraction, fields.number(key, 0.01, 1.0));
    c.rotary = static_cast<std::uint32_t>(fraction * c.head_size);
    if (c.rotary < 2 || c.rotary % 2 != 0) {
      return fields.bad(key, text(fraction, ", ", c.rotary, " dimensions of each head"),
                        text("an even number of them"));
    }
  }
  return {};
}

Result<RopeScaling> read_llama3_bands(const Fields& fields) {
  constexpr double kMost = 1e9;
  RopeScaling scaling{.kind = RopeScaling::Kind::kLlama3};
  RILL_ASSIGN(scaling.factor, fields.number("factor", 1e-6, kMost));
  RILL_ASSIGN(scaling.low_frequency_factor, fields.number("low_freq_factor", 1e-6, kMost));
  RILL_ASSIGN(scaling.high_frequency_factor, fields.number("high_freq_factor", 1e-6, kMost));
  RILL_ASSIGN(scaling.original_context, fields.number("original_max_position_embeddings", 1.0, kMost));
  if (scaling.high_frequency_factor <= scaling.low_frequency_factor) {
    return fields.bad("high_freq_factor", text(scaling.high_frequency_factor),
                      text("more than low_freq_factor, ", scaling.low_frequency_factor));
  }
  return scaling;
}

/// @param context  of the model as it is now
Result<RopeScaling> read_yarn(const Fields& fields, double context) {
  RopeScaling scaling{.kind = RopeScaling::Kind::kYarn};
  RILL_ASSIGN(scaling.factor, fields.number("factor", 1.0, 1e6));
  constexpr std::string_view kContext = "original_max_position_embeddings";
  RILL_ASSIGN(scaling.original_context,
              context >= 1 ? fields.number(kContext, 1.0, 1e9, context) : fields.number(kContext, 1.0, 1e9));
  RILL_ASSIGN(scaling.beta_fast, fields.number("beta_fast", 1e-3, 1e6, 32.0));
  RILL_ASSIGN(scaling.beta_slow, fields.number("beta_slow", 1e-3, 1e6, 1.0));
  RILL_ASSIGN(scaling.truncate, fields.flag("truncate", true));
  // arXiv 2309.00071, eq. 22: the scores' temperature, put on cosines and sines. DeepSeek's two scales of it count as a
  // pair only, as in transformers.
  RILL_ASSIGN(const double scale, fields.number("mscale", 0.0, 1e3, 0.0));
  RILL_ASSIGN(const double common_scale, fields.number("mscale_all_dim", 0.0, 1e3, 0.0));
  const auto magnitude = [&](double by) { return 0.1 * by * std::log(scaling.factor) + 1.0; };
  const double own = scale > 0 && common_scale > 0 ? magnitude(scale) / magnitude(common_scale) : magnitude(1.0);
  RILL_ASSIGN(scaling.magnitude, fields.number("attention_factor", 1e-3, 1e3, own));
  return scaling;
}

Result<RopeScaling> read_scaling(const Fields& fields, double context) {
  RILL_ASSIGN(const std::string old_key, fields.word("type", "default"));
  RILL_ASSIGN(const std::string type, fields.word("rope_type", old_key));
  if (type == "default") return RopeScaling{};
  if (type == "llama3") return read_llama3_bands(fields);
  if (type == "yarn") return read_yarn(fields, context);
  if (type == "linear") {
    RILL_ASSIGN(const double factor, fields.number("factor", 1e-6, 1e9));
    return RopeScaling{.kind = RopeScaling::Kind::kLinear, .factor = factor};
  }
  return fields.bad("rope_type", text("the rope scaling \"", legible(type), "\" is not known"),
                    text("one of: default, linear, llama3, yarn"));
}

/// rope_parameters of transformers 5 for a model with two kinds of layers: an object for each.
Status read_local_rope(const Fields& form, HuggingfaceConfig& config) {
  RILL_ASSIGN(const auto local, form.object("sliding_attention"));
  if (!local) return {};
  RILL_ASSIGN(config.positions.local_theta, local->number("rope_theta", 1.0, 1e12, config.positions.local_theta));
  RILL_ASSIGN(config.local_rope, read_scaling(*local, config.model.context_length));
  if (config.local_rope.magnitude == 1.0) return {};
  return local->bad("rope_type", text("yarn on a part of the layers"), text("default, linear or llama3"));
}

/// The base frequency and its scaling, from whichever form the file has.
Status read_rope(const Fields& fields, HuggingfaceConfig& config) {
  ModelConfig& c = config.model;
  if (c.position != Position::kRope) return {};
  RILL_TRY(fields.read(kThetaKeys, c));
  RILL_TRY(read_rotary_fraction(fields, c));
  RILL_ASSIGN(const auto old_form, fields.object("rope_scaling"));
  RILL_ASSIGN(const auto new_form, fields.object("rope_parameters"));
  const auto& form = new_form ? new_form : old_form;
  if (form) {
    RILL_TRY(read_local_rope(*form, config));
    RILL_ASSIGN(const auto global, form->object("full_attention"));
    const Fields& rope = global ? *global : *form;
    RILL_TRY(rope.read(kThetaKeys, c));
    RILL_TRY(read_rotary_fraction(rope, c));
    RILL_ASSIGN(config.rope, read_scaling(rope, c.context_length));
  }
  if (config.rope.magnitude != 1.0) {  // a factor of queries and of keys is its square on the scores, if all rotates
    if (c.rotated_size() != c.head_size || c.unrotated_layers != 0 || c.rope_tables != 1) {
      return fields.bad("rope_scaling", text("yarn on a part of the heads or of the layers"),
                        text("all of every head in every layer"));
    }
    const double scale = c.attention_scale > 0 ? c.attention_scale : 1.0 / std::sqrt(static_cast<double>(c.head_size));
    c.attention_scale = scale * config.rope.magnitude * config.rope.magnitude;
  }
  return {};
}

/// A token id or an array of them, each added once. Those that the vocabulary has not are left out: transformers writes
/// its classes' defaults into the files of models that have no such token, -1 or GPT-2's 50256 in a vocabulary of 320.
Status read_tokens(const Fields& fields, std::string_view key, std::uint32_t vocabulary, std::vector<Token>& out) {
  const json* value = fields.find(key);
  if (value == nullptr) return {};
  const json one = value->is_array() ? json() : json::array({*value});
  for (const json& id : value->is_array() ? *value : one) {
    if (!id.is_number_integer()) return fields.bad(key, Fields::describe(&id), text("token ids"));
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= vocabulary) continue;
    const auto token = static_cast<Token>(id.get<std::uint64_t>());
    if (out.size() == kMostEndTokens) return fields.bad(key, text("too many"), text("at most ", kMostEndTokens));
    if (std::ranges::find(out, token) == out.end()) out.push_back(token);
  }
  return {};
}

}  // namespace

std::vector<double> HuggingfaceConfig::rope_turns() const {
  if (model.position != Position::kRope) return {};
  std::vector<double> turns = quant::rope_turns(model.rotated_size(), model.rope_theta, rope);
  if (model.rope_tables == 2) {
    const std::vector<double> local = quant::rope_turns(model.rotated_size(), positions.local_theta, local_rope);
    turns.insert(turns.end(), local.begin(), local.end());
  }
  return turns;
}

std::vector<double> HuggingfaceConfig::alibi_slopes() const {
  if (model.position != Position::kAlibi) return {};
  std::vector<double> slopes = quant::alibi_slopes(model.heads, positions.alibi_most_bias);
  for (double& slope : slopes) slope *= positions.alibi_factor;
  return slopes;
}

Result<HuggingfaceConfig> read_huggingface_config(const std::string& path) {
  RILL_ASSIGN(const json document, read_json_object(path));
  const Fields fields(document, text(path));
  HuggingfaceConfig config;
  RILL_ASSIGN(config.family, find_family(fields));
  config.model = rill::find_family(config.family->family)->config;
  RILL_TRY(read_dimensions(fields, *config.family, config.model));
  RILL_TRY(read_network(fields, config.model));
  config.model.rotary = static_cast<std::uint32_t>(config.family->rotary_fraction * config.model.head_size);
  if (config.family->refine != nullptr) RILL_TRY(config.family->refine(fields, config.model, config.positions));
  RILL_TRY(read_rope(fields, config));
  if (config.model.rotary == config.model.head_size || config.model.position != Position::kRope) {
    config.model.rotary = 0;  // all of it, or nothing that rotates
  }
  RILL_TRY(validate(config.model, text(path)));
  RILL_TRY(read_tokens(fields, "eos_token_id", config.model.vocabulary, config.end_tokens));
  std::vector<Token> first;
  RILL_TRY(read_tokens(fields, "bos_token_id", config.model.vocabulary, first));
  if (!first.empty()) config.beginning_of_text = first.front();
  return config;
}

Status read_generation_config(const std::string& path, HuggingfaceConfig& config) {
  RILL_ASSIGN(const json document, read_json_object(path));
  const Fields fields(document, text(path));
  RILL_TRY(read_tokens(fields, "eos_token_id", config.model.vocabulary, config.end_tokens));
  RILL_ASSIGN(const bool samples, fields.flag("do_sample", false));
  RILL_TRY(fields.read(kPenalty, config.model));
  if (!samples) return {};
  config.model.temperature = 1.0;  // transformers' own, where the makers leave it out, as Gemma's do
  return fields.read(kSampling, config.model);
}

}  // namespace rill::quant
