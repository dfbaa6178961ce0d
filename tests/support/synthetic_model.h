#pragma once
// A small model with random weights, in memory, of any configuration: a source for tests that need no files.

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <random>
#include <string>
#include <vector>

#include "quant/source_model.h"
#include "quant/tensor_table.h"

namespace rill {

class SyntheticModel final : public quant::SourceModel {
 public:
  explicit SyntheticModel(const ModelConfig& config, unsigned seed = 1) : config_(config), names_(names_of(config)) {
    const std::uint64_t d = config.head_size;
    add("embedding", config.vocabulary, config.hidden, seed);
    add("final_norm", 1, config.hidden, ++seed);
    if (config.tied_head == 0) add("head", config.vocabulary, config.hidden, ++seed);
    for (std::uint32_t l = 0; l < config.layers; ++l) {
      const std::string layer = std::to_string(l);
      add("attention_norm." + layer, 1, config.hidden, ++seed);
      add("query." + layer, config.heads * d, config.hidden, ++seed);
      add("key." + layer, config.kv_heads * d, config.hidden, ++seed);
      add("value." + layer, config.kv_heads * d, config.hidden, ++seed);
      add("out." + layer, config.hidden, config.heads * d, ++seed);
      add("mlp_norm." + layer, 1, config.hidden, ++seed);
      add("gate." + layer, config.mlp_width, config.hidden, ++seed);
      add("up." + layer, config.mlp_width, config.hidden, ++seed);
      add("down." + layer, config.hidden, config.mlp_width, ++seed);
    }
    // What a Llama does not have, or has in another shape.
    for (const quant::NeededTensor& needed : quant::needed_tensors(names_, config)) {
      const std::string& name = needed.names.front();
      const auto [rows, columns] = needed.shape;
      const auto found = tensors_.find(name);
      const bool is_there = found != tensors_.end() && found->second.tensor.rows == rows;
      if (!is_there) add(name, rows, columns, ++seed);
    }
  }
  static ModelConfig small_config() {
    return {.hidden = 48, .layers = 2, .heads = 4, .kv_heads = 2, .head_size = 12, .mlp_width = 80, .vocabulary = 50};
  }

  const ModelConfig& config() const override { return config_; }
  std::string_view family() const override { return "llama"; }
  std::string_view format() const override { return "synthetic"; }
  std::uint64_t bytes_in() const override { return 0; }
  std::span<const quant::TensorName> names() const override { return names_; }
  const quant::SourceTensor* find(std::string_view name) const override {
    const auto found = tensors_.find(std::string(name));
    return found == tensors_.end() ? nullptr : &found->second.tensor;
  }
  Status read_rows(const quant::SourceTensor& tensor, std::uint64_t first, std::uint64_t count,
                   std::span<float> out) const override {
    const std::vector<float>& values = tensors_.at(tensor.name).values;
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(first * tensor.columns), count * tensor.columns,
                out.begin());
    return {};
  }
  std::vector<double> rope_turns() const override {
    std::vector<double> turns;
    const std::uint32_t rotated = config_.rotated_size();
    for (std::uint32_t i = 0; i < rotated / 2; ++i) {
      turns.push_back(std::pow(config_.rope_theta, -2.0 * i / rotated) / (2 * std::numbers::pi));
    }
    return turns;
  }
  std::vector<double> alibi_slopes() const override {
    std::vector<double> slopes;
    if (config_.position != Position::kAlibi) return slopes;
    for (std::uint32_t head = 0; head < config_.heads; ++head) slopes.push_back(std::exp2(-1.0 - head));
    return slopes;
  }
  const quant::SourceTokenizer& tokenizer() const override { return tokenizer_; }

  std::vector<float>& values(const std::string& name) { return tensors_.at(name).values; }

 private:
  struct Stored {
    quant::SourceTensor tensor;
    std::vector<float> values;
  };
  static std::vector<quant::TensorName> names_of(const ModelConfig& config) {
    using quant::Part;
    std::vector<quant::TensorName> names = {{"embedding", Part::kEmbedding},
                                            {"positions", Part::kPositions},
                                            {"head", Part::kHead},
                                            {"final_norm", Part::kFinalNorm},
                                            {"attention_norm.{}", Part::kAttentionNorm},
                                            {"query.{}", Part::kQuery},
                                            {"key.{}", Part::kKey},
                                            {"value.{}", Part::kValue},
                                            {"query_norm.{}", Part::kQueryNorm},
                                            {"key_norm.{}", Part::kKeyNorm},
                                            {"sink_logits.{}", Part::kSinkLogits},
                                            {"out.{}", Part::kAttentionOut},
                                            {"attention_post_norm.{}", Part::kAttentionPostNorm},
                                            {"mlp_norm.{}", Part::kMlpNorm},
                                            {"router.{}", Part::kRouter},
                                            {"down.{}", Part::kDown},
                                            {"mlp_post_norm.{}", Part::kMlpPostNorm}};
    if (config.experts > 0) {
      names.push_back({"gate_up.{}", Part::kGateUp});
      return names;
    }
    names.push_back({"up.{}", Part::kUp});
    if (config.gated_mlp != 0) names.push_back({"gate.{}", Part::kGate});
    return names;
  }
  void add(const std::string& name, std::uint64_t rows, std::uint64_t columns, unsigned seed) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal(0.0F, 0.2F);
    Stored stored{.tensor = {.name = name, .rows = rows, .columns = columns},
                  .values = std::vector<float>(rows * columns)};
    for (float& value : stored.values) value = normal(generator);
    tensors_[name] = std::move(stored);
  }

  ModelConfig config_;
  std::vector<quant::TensorName> names_;
  std::map<std::string, Stored> tensors_;
  quant::SourceTokenizer tokenizer_;
};

}  // namespace rill
