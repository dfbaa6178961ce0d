#include "core/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace rill {

SamplerItems plan_sampler(MemoryPlan& plan, const ModelConfig& config) {
  SamplerItems items;
  items.weights = plan.add<float>("sampler weights", Size(config.vocabulary), Lifetime::kOneCall);
  items.order = plan.add<std::uint32_t>("sampler order", Size(config.vocabulary), Lifetime::kOneCall);
  return items;
}

bool Sampler::State::is_sound(std::uint32_t vocabulary) const {
  const auto count = static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(seen, kPenaltyTokens));
  return generator.is_sound() &&
         std::all_of(recent.begin(), recent.begin() + count, [&](Token token) { return token < vocabulary; });
}

void Sampler::configure(const SamplingOptions& options) {
  options_ = options;
  state_.generator.seed(options.seed);
}

void Sampler::observe(std::span<const Token> tokens) {
  for (const Token token : tokens) state_.recent[state_.seen++ % kPenaltyTokens] = token;
}

void Sampler::penalize(std::span<float> logits) const {
  if (options_.repeat_penalty == 1.0F) return;
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(state_.seen, kPenaltyTokens));
  for (std::size_t i = 0; i < count; ++i) {
    const Token token = state_.recent[i];
    const auto* begin = state_.recent.data();
    if (std::find(begin, begin + i, token) != begin + i) continue;  // a token is penalised once
    float& logit = logits[token];
    logit = logit > 0 ? logit / options_.repeat_penalty : logit * options_.repeat_penalty;
  }
}

/// Uniform in [0, 1) with 53 bits; the standard library's distributions differ between implementations.
double Sampler::draw() { return static_cast<double>(state_.generator() >> 11U) * 0x1p-53; }

Token Sampler::sample(std::span<const float> logits, std::span<float> weights, std::span<std::uint32_t> order,
                      const kernels::KernelSet& kernels) {
  std::copy(logits.begin(), logits.end(), weights.begin());
  penalize(weights);
  const auto most_probable = static_cast<Token>(std::max_element(weights.begin(), weights.end()) - weights.begin());
  const float factor = 1.0F / options_.temperature;
  // A temperature so small that a float cannot hold the largest logit divided by it leaves only that token, too.
  if (!(options_.temperature > 0) || !std::isfinite(weights[most_probable] * factor)) return most_probable;
  kernels.scale(factor, weights.size(), weights.data());
  const double sum = static_cast<double>(kernels.exponentiate(weights.data(), weights.size()));

  std::span<std::uint32_t> kept = order;
  std::iota(order.begin(), order.end(), 0U);
  double mass = sum;
  const bool filters = options_.top_k > 0 || options_.top_p < 1.0F || options_.min_p > 0;
  if (filters) {
    // A heap with the most probable token on top (the smaller id of two equals); what is taken off it lies behind it.
    const auto below = [&](std::uint32_t a, std::uint32_t b) {
      return weights[a] != weights[b] ? weights[a] < weights[b] : a > b;
    };
    std::make_heap(order.begin(), order.end(), below);
    std::size_t taken = 0;
    const auto weight_of = [&](std::size_t rank) {
      for (; taken <= rank; ++taken)
        std::pop_heap(order.begin(), order.end() - static_cast<std::ptrdiff_t>(taken), below);
      return weights[order[order.size() - 1 - rank]];
    };
    // top-k first: top-p is a share of what it leaves, as in transformers and llama.cpp.
    const std::size_t most = options_.top_k > 0 ? std::min<std::size_t>(options_.top_k, order.size()) : order.size();
    double whole = most < order.size() ? 0 : sum;
    for (std::size_t rank = 0; most < order.size() && rank < most; ++rank)
      whole += static_cast<double>(weight_of(rank));
    const float least = options_.min_p * weight_of(0);
    mass = 0;
    std::size_t count = 0;
    while (count < most && (count == 0 || (mass < options_.top_p * whole && weight_of(count) >= least))) {
      mass += static_cast<double>(weight_of(count++));
    }
    kept = order.last(count);
  }
  double left = draw() * mass;
  for (std::size_t i = kept.size(); i-- > 0;) {
    left -= static_cast<double>(weights[kept[i]]);
    if (left < 0) return kept[i];
  }
  return most_probable;  // the sum was rounded up: what it has too much goes where nobody sees it
}

}  // namespace rill
