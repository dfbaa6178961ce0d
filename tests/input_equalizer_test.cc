// `rill quantize` evens out what goes into matrices: what stands out takes no bits from the rest, and the network
// stays.

#include "quant/input_equalizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <ostream>
#include <string>
#include <vector>

#include "core/model_format.h"
#include "tests/support/int8_error.h"
#include "tests/support/tokenizer_fixture.h"

namespace rill::quant {
namespace {

struct Network {
  const char* name;
  ModelConfig config;

  friend void PrintTo(const Network& network, std::ostream* out) { *out << network.name; }
};

/// One of each way in which an input is made.
std::vector<Network> networks() {
  std::vector<Network> all;
  const auto add = [&](const char* name, auto change) {
    ModelConfig config = SyntheticModel::small_config();
    change(config);
    all.push_back({.name = name, .config = config});
  };
  add("plain", [](ModelConfig&) {});
  add("tied", [](ModelConfig& c) { c.tied_head = 1; });
  add("biases", [](ModelConfig& c) { c.attention_bias = c.out_bias = c.mlp_bias = c.head_bias = 1; });
  add("head_norms", [](ModelConfig& c) { c.head_norm = HeadNorm::kPerHead; });
  add("norms_of_all_heads", [](ModelConfig& c) { c.head_norm = HeadNorm::kAllHeads; });
  add("layer_norms", [](ModelConfig& c) { c.norm = NormKind::kLayer; });
  add("parallel", [](ModelConfig& c) {
    c.norm = NormKind::kLayer;
    c.block = Block::kParallel;
    c.gated_mlp = 0;
    c.activation = ActivationFunction::kGelu;
    c.attention_bias = c.out_bias = c.mlp_bias = 1;
    c.rotary = 4;
  });
  add("shared_norm", [](ModelConfig& c) {
    c.norm = NormKind::kLayer;
    c.block = Block::kParallel;
    c.shared_norm = 1;
    c.kv_heads = 1;
  });
  add("norms_around", [](ModelConfig& c) {
    c.norm_placement = NormPlacement::kAround;
    c.activation = ActivationFunction::kGeluTanh;
  });
  add("norms_behind", [](ModelConfig& c) {
    c.norm_placement = NormPlacement::kAfter;
    c.head_norm = HeadNorm::kAllHeads;
  });
  add("experts", [](ModelConfig& c) {
    c.experts = 4;
    c.experts_used = 2;
    c.mlp_bias = 1;
  });
  add("clamped", [](ModelConfig& c) {
    c.activation = ActivationFunction::kClampedSwish;
    c.mlp_limit = 7;
  });
  add("learned_positions", [](ModelConfig& c) {
    c.position = Position::kLearned;
    c.context_length = 65;
  });
  add("sink_token", [](ModelConfig& c) {
    c.position = Position::kLearned;
    c.context_length = 65;
    c.sink_token = 1;
  });
  add("alibi", [](ModelConfig& c) { c.position = Position::kAlibi; });
  return all;
}

constexpr float kLarge = 32;  // times the others

bool stands_out(std::size_t element) { return element % 7 == 3; }

/// Multiplies elements of a vector, or whole rows, if the model has such a tensor.
void scale_rows(SyntheticModel& source, const std::string& name, std::size_t width, float by) {
  if (source.find(name) == nullptr) return;
  std::vector<float>& values = source.values(name);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (stands_out(i / width)) values[i] *= by;
  }
}

void scale_columns(SyntheticModel& source, const std::string& name, std::size_t width, float by) {
  if (source.find(name) == nullptr) return;
  std::vector<float>& values = source.values(name);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (stands_out(i % width)) values[i] *= by;
  }
}

/// Makes a norm's output stand out, and what meets it in its readers small.
void scale_norm(SyntheticModel& source, const std::string& norm, const std::vector<std::string>& readers) {
  if (source.find(norm) == nullptr) return;
  scale_rows(source, norm, 1, kLarge);
  scale_rows(source, norm + "_bias", 1, kLarge);
  for (const std::string& reader : readers) scale_columns(source, reader, source.config().hidden, 1 / kLarge);
}

/// The same network with some elements of every input that can be scaled kLarge times the others.
void make_inputs_stand_out(SyntheticModel& source) {
  const ModelConfig& c = source.config();
  for (std::uint32_t l = 0; l < c.layers; ++l) {
    const std::string layer = "." + std::to_string(l);
    std::vector<std::string> attention = {"query" + layer, "key" + layer, "value" + layer};
    const std::vector<std::string> mlp = {"gate" + layer, "up" + layer, "gate_up" + layer, "router" + layer};
    if (c.shared_norm != 0) attention.insert(attention.end(), mlp.begin(), mlp.end());
    if (c.norm_placement != NormPlacement::kAfter) {
      scale_norm(source, "attention_norm" + layer, attention);
      if (c.shared_norm == 0) scale_norm(source, "mlp_norm" + layer, mlp);
    }
    if (c.gated_mlp == 0 || c.experts > 0 || c.activation == ActivationFunction::kClampedSwish) continue;
    scale_rows(source, "up" + layer, c.hidden, kLarge);
    scale_rows(source, "up" + layer + "_bias", 1, kLarge);
    scale_columns(source, "down" + layer, c.mlp_width, 1 / kLarge);
  }
  if (c.tied_head == 0) scale_norm(source, "final_norm", {"head"});
}

QuantizeOptions without_calibration() {
  QuantizeOptions options;
  options.calibrates = false;
  return options;
}

class EveryNetwork : public testing::TestWithParam<Network> {};
INSTANTIATE_TEST_SUITE_P(InputEqualizer, EveryNetwork, testing::ValuesIn(networks()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(EveryNetwork, WhatStandsOutInAnInputTakesNoBitsFromTheRest) {
  SyntheticModel source(GetParam().config);
  const double error = int8_error(source, without_calibration());
  EXPECT_LE(int8_error(source), 1.3 * error);
  make_inputs_stand_out(source);
  const double calibrated = int8_error(source);
  EXPECT_LE(calibrated, 5 * error);
  EXPECT_LE(calibrated, 0.5 * int8_error(source, without_calibration()));
}

/// The bytes of the file that a source becomes.
std::string file_of(const SourceModel& source, const QuantizeOptions& options) {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("model.rill");
  const Result<QuantizeReport> report = quantize(source, path, options);
  EXPECT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(std::ranges::distance(std::filesystem::directory_iterator(scratch.path())), 1) << "a draft was left behind";
  return test::read_file(path);
}

/// Measures the network as it is.
Result<InputEqualizer> equalizer_of(const SourceModel& source) {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("model.rill");
  EXPECT_TRUE(quantize(source, path, without_calibration()).ok());
  return InputEqualizer::measure(path);
}

TEST(InputEqualizer, LeavesAloneWhatNothingLinearMakes) {
  for (const Network& network : networks()) {
    const ModelConfig& c = network.config;
    const Result<InputEqualizer> equalizer = equalizer_of(SyntheticModel(c));
    ASSERT_TRUE(equalizer.ok()) << network.name << ": " << equalizer.status().message();
    const bool has_norm = c.norm_placement != NormPlacement::kAfter;
    EXPECT_EQ(equalizer->factors(Input::kQkv, 1).size(), has_norm ? c.hidden : 0) << network.name;
    EXPECT_EQ(equalizer->factors(Input::kGateUp, 1).size(), has_norm && c.shared_norm == 0 ? c.hidden : 0)
        << network.name;
    const bool has_ups = c.gated_mlp != 0 && c.experts == 0 && c.activation != ActivationFunction::kClampedSwish;
    EXPECT_EQ(equalizer->factors(Input::kDown, 1).size(), has_ups ? c.mlp_width : 0) << network.name;
    EXPECT_EQ(equalizer->factors(Input::kHead, 0).size(), c.tied_head == 0 ? c.hidden : 0) << network.name;
    EXPECT_TRUE(equalizer->factors(Input::kOut, 0).empty()) << network.name;
  }
}

TEST(InputEqualizer, DividesByThe38thPowerOfWhatStandsOut) {
  SyntheticModel source(SyntheticModel::small_config());
  for (float& gain : source.values("mlp_norm.1")) gain = 1;
  source.values("mlp_norm.1")[5] = 256;  // to the power of 3/8: 8
  const Result<InputEqualizer> equalizer = equalizer_of(source);
  ASSERT_TRUE(equalizer.ok());
  const std::span<const float> factors = equalizer->factors(Input::kGateUp, 1);
  // The residual stream's elements differ as well, by less than 3 to 1 here.
  const float ratio = factors[5] / factors[6];
  EXPECT_GT(ratio, 8 / std::pow(3.0, 0.375));
  EXPECT_LT(ratio, 8 * std::pow(3.0, 0.375));
}

TEST(InputEqualizer, LeavesWeightsAloneThatAFactorCouldTakeOutOfReach) {
  SyntheticModel source(SyntheticModel::small_config());
  make_inputs_stand_out(source);
  EXPECT_NE(file_of(source, {}), file_of(source, without_calibration()));
  source.values("down.0").front() = 1e6F;
  EXPECT_EQ(file_of(source, {}), file_of(source, without_calibration()));
}

TEST(InputEqualizer, ARotatedNetworkIsNotCalibrated) {
  const SyntheticModel source(SyntheticModel::small_config());
  QuantizeOptions with;
  with.is_rotated = true;
  QuantizeOptions without = with;
  without.calibrates = false;
  EXPECT_EQ(file_of(source, with), file_of(source, without));
}

TEST(InputEqualizer, ProgressNeverGoesBackAndEndsWithTheFile) {
  std::uint64_t last = 0;
  std::uint64_t of = 0;
  bool goes_back = false;
  const auto watch = [&](std::uint64_t done, std::uint64_t total) {
    goes_back = goes_back || done < last || (of != 0 && total != of);
    last = done;
    of = total;
  };
  QuantizeOptions options;
  options.progress = watch;
  file_of(SyntheticModel(SyntheticModel::small_config()), options);
  EXPECT_FALSE(goes_back);
  EXPECT_GT(of, 0U);
  EXPECT_EQ(last, of);
}

}  // namespace
}  // namespace rill::quant
