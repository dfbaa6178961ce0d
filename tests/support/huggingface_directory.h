#pragma once
// A small Llama model as a Hugging Face directory, made by hand, for tests to spoil.

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "quant/huggingface_importer.h"
#include "tests/support/safetensors_builder.h"
#include "tests/support/scratch_directory.h"

namespace rill::quant {

/// Hidden 8, one layer, two heads of 4 on one KV head, MLP 12, vocabulary 5.
inline nlohmann::json small_config() {
  return {{"model_type", "llama"},    {"hidden_size", 8},        {"num_hidden_layers", 1}, {"num_attention_heads", 2},
          {"num_key_value_heads", 1}, {"intermediate_size", 12}, {"vocab_size", 5},        {"rms_norm_eps", 1e-5},
          {"rope_theta", 10000.0},    {"bos_token_id", 1},       {"eos_token_id", 2}};
}

struct TensorToWrite {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::string dtype = "F32";
  float first = 0;
};

inline std::vector<TensorToWrite> small_tensors() {
  const std::string layer = "model.layers.0.";
  return {{"model.embed_tokens.weight", {5, 8}},
          {"lm_head.weight", {5, 8}},
          {"model.norm.weight", {8}},
          {layer + "input_layernorm.weight", {8}},
          {layer + "self_attn.q_proj.weight", {8, 8}},
          {layer + "self_attn.k_proj.weight", {4, 8}},
          {layer + "self_attn.v_proj.weight", {4, 8}},
          {layer + "self_attn.o_proj.weight", {8, 8}},
          {layer + "post_attention_layernorm.weight", {8}},
          {layer + "mlp.gate_proj.weight", {12, 8}},
          {layer + "mlp.up_proj.weight", {12, 8}},
          {layer + "mlp.down_proj.weight", {8, 12}}};
}

/// A file whose elements count up in each tensor: F32 and BF16 as numbers, other types as zero bytes.
inline std::string weights(const std::vector<TensorToWrite>& tensors) {
  SafetensorsBuilder builder;
  for (const TensorToWrite& tensor : tensors) {
    std::uint64_t elements = 1;
    for (const std::uint64_t extent : tensor.shape) elements *= extent;
    std::string data;
    for (std::uint64_t i = 0; i < elements; ++i) {
      const std::string number = bytes_of(tensor.first + static_cast<float>(i));
      data += tensor.dtype == "F32" ? number : tensor.dtype == "BF16" ? number.substr(2) : std::string(1, '\0');
    }
    builder.add(tensor.name, tensor.dtype, tensor.shape, data);
  }
  return builder.file();
}

/// A directory that can be imported; tests then spoil a part of it.
class HuggingfaceDirectory {
 public:
  HuggingfaceDirectory() {
    write("config.json", small_config().dump());
    write("model.safetensors", weights(small_tensors()));
  }
  void write(const std::string& name, std::string_view bytes) const { write_file(scratch_.file(name), bytes); }
  void remove(const std::string& name) const { std::filesystem::remove(scratch_.file(name)); }
  /// config.json with some keys replaced; a key that is null is taken away.
  void configure(const nlohmann::json& patch) const {
    nlohmann::json config = small_config();
    config.merge_patch(patch);
    write("config.json", config.dump());
  }
  const std::string& path() const { return scratch_.path(); }
  auto open() const { return open_huggingface_model(scratch_.path(), ""); }

  /// Expects that the directory cannot be opened, and why.
  void expect_refused(std::string_view part_of_the_sentence) const {
    const auto model = open();
    ASSERT_FALSE(model.ok()) << "opened; should have said " << part_of_the_sentence;
    EXPECT_EQ(model.status().code(), Code::kBadInput) << model.status().message();
    EXPECT_NE(model.status().message().find(part_of_the_sentence), std::string_view::npos) << model.status().message();
  }

 private:
  ScratchDirectory scratch_;
};

inline std::unique_ptr<SourceModel> opened(const HuggingfaceDirectory& directory) {
  auto model = directory.open();
  EXPECT_TRUE(model.ok()) << model.status().message();
  return model.ok() ? std::move(model).value() : nullptr;
}

}  // namespace rill::quant
