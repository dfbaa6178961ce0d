#include "quant/huggingface_config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <type_traits>

#include "quant/json_document.h"

namespace rill::quant {
namespace {

using nlohmann::json;

constexpr TensorName kLlamaNames[] = {
    {"model.embed_tokens.weight", Part::kEmbedding},
    {"lm_head.weight", Part::kHead},
    {"model.norm.weight", Part::kFinalNorm},
    {"model.layers.{}.input_layernorm.weight", Part::kAttentionNorm},
    {"model.layers.{}.self_attn.q_proj.weight", Part::kQuery},
    {"model.layers.{}.self_attn.k_proj.weight", Part::kKey},
    {"model.layers.{}.self_attn.v_proj.weight", Part::kValue},
    {"model.layers.{}.self_attn.o_proj.weight", Part::kAttentionOut},
    {"model.layers.{}.post_attention_layernorm.weight", Part::kMlpNorm},
    {"model.layers.{}.mlp.gate_proj.weight", Part::kGate},
    {"model.layers.{}.mlp.up_proj.weight", Part::kUp},
    {"model.layers.{}.mlp.down_proj.weight", Part::kDown},
};

constexpr HuggingfaceFamily kFamilies[] = {{.model_type = "llama", .names = kLlamaNames}};

/// A number of config.json and the field of ModelConfig that it becomes; the field's range holds for it.
struct NumberKey {
  std::string_view key;
  std::string_view field;
  bool required;  ///< else ModelConfig's own default stands
};
constexpr NumberKey kDimensions[] = {
    {"hidden_size", "hidden", true},         {"num_hidden_layers", "layers", true},
    {"num_attention_heads", "heads", true},  {"num_key_value_heads", "kv_heads", false},
    {"head_dim", "head_size", false},        {"intermediate_size", "mlp_width", true},
    {"vocab_size", "vocabulary", true},      {"max_position_embeddings", "context_length", false},
    {"rms_norm_eps", "norm_epsilon", false},
};
constexpr NumberKey kThetaKey[] = {{"rope_theta", "rope_theta", false}};
constexpr NumberKey kSampling[] = {
    {"temperature", "temperature", false},
    {"top_p", "top_p", false},
    {"top_k", "top_k", false},
};

/// An object of a configuration; null counts as absent, as it does for transformers.
class Fields {
 public:
  Fields(const json& object, Text where) : object_(object), where_(where) {}

  const json* find(std::string_view key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  Text where(std::string_view key) const { return text(where_, ", key ", key); }
  Status bad(std::string_view key, const Text& what, const Text& expected) const {
    return bad_input({.where = where(key),
                      .what = what,
                      .expected = expected,
                      .remedy = text("import a model whose configuration says so")});
  }

  Result<double> number(std::string_view key, double least, double most) const {
    const json* value = find(key);
    const double number = value != nullptr && value->is_number() ? value->get<double>() : std::nan("");
    if (number >= least && number <= most) return number;  // not NaN
    return bad(key, describe(value), text("a number from ", least, " to ", most));
  }
  Result<bool> flag(std::string_view key, bool otherwise) const {
    const json* value = find(key);
    if (value == nullptr) return otherwise;
    if (value->is_boolean()) return value->get<bool>();
    return bad(key, describe(value), text("true or false"));
  }
  Result<std::string> word(std::string_view key, std::string_view otherwise) const {
    const json* value = find(key);
    if (value == nullptr) return std::string(otherwise);
    if (value->is_string()) return value->get<std::string>();
    return bad(key, describe(value), text("a string"));
  }
  /// An object under a key; nothing if it is absent.
  Result<const json*> object(std::string_view key) const {
    const json* value = find(key);
    if (value == nullptr || value->is_object()) return value;
    return bad(key, describe(value), text("an object"));
  }

  /// Reads the numbers of a table into a configuration.
  Status read(std::span<const NumberKey> keys, ModelConfig& config) const;

  static Text describe(const json* value) {
    if (value == nullptr) return text("absent");
    if (value->is_number_integer())
      return value->is_number_unsigned() ? text(value->get<std::uint64_t>()) : text(value->get<std::int64_t>());
    if (value->is_number_float()) return text(value->get<double>());
    if (value->is_string()) return text('"', legible(value->get_ref<const std::string&>()), '"');
    if (value->is_boolean()) return text(value->get<bool>() ? "true" : "false");
    return text("a JSON ", value->type_name());
  }

 private:
  const json& object_;
  Text where_;
};

Status Fields::read(std::span<const NumberKey> keys, ModelConfig& config) const {
  Status status;
  for_each_field(config, [&](std::string_view field, auto& target, double least, double most) {
    using Number = std::remove_reference_t<decltype(target)>;
    const auto key = std::ranges::find(keys, field, &NumberKey::field);
    if (!status.ok() || key == keys.end() || (!key->required && find(key->key) == nullptr)) return;
    const Result<double> read = number(key->key, least, most);
    if (!read.ok()) {
      status = read.status();
    } else if (std::is_integral_v<Number> && *read != std::floor(*read)) {
      status = bad(key->key, text(*read), text("a whole number"));
    } else {
      target = static_cast<Number>(*read);  // in the field's range, which its type holds
    }
  });
  return status;
}

Result<const HuggingfaceFamily*> find_family(const Fields& fields) {
  RILL_ASSIGN(const std::string model_type, fields.word("model_type", ""));
  Text known;
  for (const HuggingfaceFamily& family : kFamilies) {
    if (family.model_type == model_type) return &family;
    known.append(known.empty() ? "" : ", ");
    known.append(family.model_type);
  }
  return bad_input({.where = fields.where("model_type"),
                    .what = text("\"", legible(model_type), "\" is not known"),
                    .expected = text("one of: ", known),
                    .remedy = text("import a model of a known family")});
}

/// What would make another network than the family's, if it were set.
Status refuse_variants(const Fields& fields) {
  for (const std::string_view key : {"attention_bias", "mlp_bias"}) {
    RILL_ASSIGN(const bool set, fields.flag(key, false));
    if (set) return fields.bad(key, text("true"), text("false: a network without biases"));
  }
  RILL_ASSIGN(const std::string activation, fields.word("hidden_act", "silu"));
  if (activation != "silu") return fields.bad("hidden_act", text('"', legible(activation), '"'), text("\"silu\""));
  if (fields.find("quantization_config") != nullptr) {
    return fields.bad("quantization_config", text("the weights are quantised already"),
                      text("weights in F32, F16 or BF16"));
  }
  return {};
}

Status read_rotated_part(const Fields& fields) {
  if (fields.find("partial_rotary_factor") == nullptr) return {};
  return fields.number("partial_rotary_factor", 1.0, 1.0).status();
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

Result<RopeScaling> read_scaling(const Fields& fields) {
  RILL_ASSIGN(const std::string old_key, fields.word("type", "default"));
  RILL_ASSIGN(const std::string type, fields.word("rope_type", old_key));
  if (type == "default") return RopeScaling{};
  if (type == "llama3") return read_llama3_bands(fields);
  if (type == "linear") {
    RILL_ASSIGN(const double factor, fields.number("factor", 1e-6, 1e9));
    return RopeScaling{.kind = RopeScaling::Kind::kLinear, .factor = factor};
  }
  return fields.bad("rope_type", text("the rope scaling \"", legible(type), "\" is not known"),
                    text("one of: default, linear, llama3"));
}

/// The base frequency and its scaling, from whichever form the file has.
Status read_rope(const Fields& fields, const Text& file, HuggingfaceConfig& config) {
  RILL_TRY(fields.read(kThetaKey, config.model));
  RILL_TRY(read_rotated_part(fields));
  RILL_ASSIGN(const json* old_form, fields.object("rope_scaling"));
  RILL_ASSIGN(const json* new_form, fields.object("rope_parameters"));
  const json* form = new_form != nullptr ? new_form : old_form;
  if (form == nullptr) return {};
  const Fields rope(*form, text(file, ", key ", new_form != nullptr ? "rope_parameters" : "rope_scaling"));
  RILL_TRY(rope.read(kThetaKey, config.model));
  RILL_TRY(read_rotated_part(rope));
  RILL_ASSIGN(config.rope, read_scaling(rope));
  return {};
}

/// A token id or an array of them, each added once.
Status read_tokens(const Fields& fields, std::string_view key, std::uint32_t vocabulary, std::vector<Token>& out) {
  const json* value = fields.find(key);
  if (value == nullptr) return {};
  const json one = value->is_array() ? json() : json::array({*value});
  for (const json& id : value->is_array() ? *value : one) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= vocabulary) {
      return fields.bad(key, Fields::describe(&id), text("ids below vocab_size, ", vocabulary));
    }
    const auto token = static_cast<Token>(id.get<std::uint64_t>());
    if (std::ranges::find(out, token) == out.end()) out.push_back(token);
  }
  return {};
}

Status read_model(const Fields& fields, ModelConfig& model) {
  model.kv_heads = 0;
  model.head_size = 0;
  model.norm_epsilon = 1e-6;  // what LlamaConfig of transformers has where the file is silent
  RILL_TRY(fields.read(kDimensions, model));
  if (model.kv_heads == 0) model.kv_heads = model.heads;
  if (model.head_size == 0) {
    if (model.hidden % model.heads != 0) {
      return fields.bad("hidden_size", text(model.hidden, " and no head_dim"),
                        text("a multiple of num_attention_heads, ", model.heads));
    }
    model.head_size = model.hidden / model.heads;
  }
  RILL_ASSIGN(const bool tied, fields.flag("tie_word_embeddings", false));
  model.tied_head = tied ? 1 : 0;
  return {};
}

}  // namespace

Result<HuggingfaceConfig> read_huggingface_config(const std::string& path) {
  RILL_ASSIGN(const json document, read_json_object(path));
  const Fields fields(document, text(path));
  HuggingfaceConfig config;
  RILL_ASSIGN(config.family, find_family(fields));
  RILL_TRY(refuse_variants(fields));
  RILL_TRY(read_model(fields, config.model));
  RILL_TRY(read_rope(fields, text(path), config));
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
  return samples ? fields.read(kSampling, config.model) : Status();
}

}  // namespace rill::quant
