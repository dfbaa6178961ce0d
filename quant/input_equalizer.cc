#include "quant/input_equalizer.h"

#include <algorithm>
#include <cmath>

#include "core/engine.h"
#include "core/random_generator.h"
#include "quant/size_factors.h"

namespace rill::quant {
namespace {

/// In a simulation, 512 random tokens and 128 to 2,048 of prose gave the same fidelity but for its noise.
constexpr std::size_t kTokens = 128;

constexpr std::array kInputs = {Input::kQkv, Input::kGateUp, Input::kDown, Input::kHead};
constexpr std::size_t index_of(Input input) { return static_cast<std::size_t>(input); }

bool can_divide(Input input, const ModelConfig& c) {
  const bool has_norm_before = c.norm_placement != NormPlacement::kAfter;
  switch (input) {
    case Input::kQkv:
      return has_norm_before;
    case Input::kGateUp:
      return has_norm_before && c.shared_norm == 0;
    case Input::kDown:
      return c.gated_mlp != 0 && c.experts == 0 && c.activation != ActivationFunction::kClampedSwish;
    case Input::kHead:
      return c.tied_head == 0;
    case Input::kOut:
      break;
  }
  return false;
}

std::size_t width_of(Input input, const ModelConfig& c) { return input == Input::kDown ? c.mlp_width : c.hidden; }
std::size_t layers_of(Input input, const ModelConfig& c) { return input == Input::kHead ? 1 : c.layers; }

/// Its 3/8th power, from square roots, which are the same on every machine.
double root_of_size(double mean_square) {
  const double eighth = std::sqrt(std::sqrt(std::sqrt(mean_square)));
  return eighth * std::sqrt(eighth);
}

/// Feeds random tokens, and computes the logits of each if somebody wants to see the head's input.
Status feed_random_tokens(Engine& engine, std::size_t count, std::uint32_t vocabulary, bool needs_head) {
  RandomGenerator random;
  std::vector<Token> tokens(count);
  for (Token& token : tokens) token = static_cast<Token>(random() % vocabulary);
  Session& session = engine.session(0);
  if (!needs_head) return session.feed(tokens);
  return session.evaluate(tokens, [](std::size_t, std::span<const float>) { return Status(); });
}

}  // namespace

bool InputEqualizer::applies_to(const ModelConfig& config) {
  return std::ranges::any_of(kInputs, [&](Input input) { return can_divide(input, config); });
}

bool InputEqualizer::changes(const TensorSpec& spec) {
  constexpr std::array kChanged = {format::kAttentionNorm, format::kQkv,  format::kMlpNorm,   format::kRouter,
                                   format::kGateUp,        format::kDown, format::kFinalNorm, format::kHead};
  return std::ranges::find(kChanged, spec.pattern) != kChanged.end();
}

Result<InputEqualizer> InputEqualizer::measure(std::string_view path) {
  RILL_ASSIGN(const ModelFile model, ModelFile::open(path));
  const ModelConfig& c = model.config();
  // Learned positions end. A sink token that is fed in front has a slot beside those asked for.
  const std::size_t count =
      c.position == Position::kLearned ? std::min<std::size_t>(kTokens, c.context_length - 1) : kTokens;
  // One thread: sums in another order would have other bits.
  const EngineOptions options = {
      .policy = dense_policy(static_cast<std::uint32_t>(count)), .threads = 1, .reads_text = false};
  RILL_ASSIGN(Engine engine, Engine::start(model, options));
  std::array<std::vector<double>, kInputKinds> sums;  // of squares, [layers, width]
  for (const Input input : kInputs) {
    if (can_divide(input, c)) sums[index_of(input)].resize(layers_of(input, c) * width_of(input, c));
  }
  const auto add_squares = [&](Input input, std::uint32_t layer, std::span<const float> row) {
    std::vector<double>& all = sums[index_of(input)];
    if (all.empty()) return;
    double* const sum = all.data() + layer * row.size();
    for (std::size_t i = 0; i < row.size(); ++i) sum[i] += double{row[i]} * double{row[i]};
  };
  const InputObserver observer = add_squares;
  engine.observe_inputs(&observer);
  RILL_TRY(feed_random_tokens(engine, count, c.vocabulary, can_divide(Input::kHead, c)));

  InputEqualizer equalizer(c);
  for (const Input input : kInputs) {
    std::vector<double>& sizes = sums[index_of(input)];
    for (double& size : sizes) size = root_of_size(size / static_cast<double>(count));
    std::vector<float>& factors = equalizer.factors_[index_of(input)];
    factors.resize(sizes.size());
    const std::size_t width = width_of(input, c);
    for (std::size_t at = 0; at < sizes.size(); at += width) {
      set_factors(std::span(sizes).subspan(at, width), std::span(factors).subspan(at, width));
    }
  }
  return equalizer;
}

std::span<const float> InputEqualizer::factors(Input input, std::uint32_t layer) const {
  const std::span<const float> all = factors_[index_of(input)];
  const std::size_t width = width_of(input, config_);
  return all.empty() ? all : all.subspan(layer * width, width);
}

/// Of what a norm makes; empty for other tensors.
std::span<const float> InputEqualizer::of_norm(const TensorSpec& spec) const {
  if (spec.pattern == format::kAttentionNorm) return factors(Input::kQkv, spec.layer);
  if (spec.pattern == format::kMlpNorm) return factors(Input::kGateUp, spec.layer);
  if (spec.pattern == format::kFinalNorm) return factors(Input::kHead, 0);
  return {};
}

/// Of what a matrix reads.
std::span<const float> InputEqualizer::of_columns(const TensorSpec& spec) const {
  if (spec.is_bias) return {};
  if (spec.pattern == format::kQkv) return factors(Input::kQkv, spec.layer);
  if (spec.pattern == format::kGateUp || spec.pattern == format::kRouter) {
    return factors(config_.shared_norm != 0 ? Input::kQkv : Input::kGateUp, spec.layer);
  }
  if (spec.pattern == format::kDown) return factors(Input::kDown, spec.layer);
  if (spec.pattern == format::kHead) return factors(Input::kHead, 0);
  return {};
}

void InputEqualizer::apply(const TensorSpec& spec, std::uint64_t first, std::span<float> rows) const {
  const auto begin = static_cast<std::size_t>(first);
  if (const std::span<const float> divisors = of_norm(spec); !divisors.empty()) {
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] /= divisors[begin + i];
    return;
  }
  const auto width = static_cast<std::size_t>(spec.is_bias ? 1 : spec.columns);
  if (const std::span<const float> factors = of_columns(spec); !factors.empty()) {
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] *= factors[i % width];
  }
  if (spec.pattern != format::kGateUp) return;
  const std::span<const float> divisors = factors(Input::kDown, spec.layer);
  const std::size_t gates = config_.mlp_width;  // the ups, which are behind them, make what `down` reads
  for (std::size_t row = 0; row < rows.size() / width; ++row) {
    if (divisors.empty() || begin + row < gates) continue;
    for (float& weight : rows.subspan(row * width, width)) weight /= divisors[begin + row - gates];
  }
}

}  // namespace rill::quant
