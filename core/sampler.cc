#include "core/sampler.h"

#include <algorithm>
#include <cmath>

namespace rill {
namespace {

/// The tokens by weight, the most probable first (of two equals the smaller id), as far as they are asked for. Nearly
/// all have less than a thousandth of the largest weight: they are put in order in tiers, each a heap, of which the
/// later are made only if one of theirs is asked for.
class Ranking {
  struct Below {
    std::span<const float> weights;
    bool operator()(std::uint32_t a, std::uint32_t b) const {
      return weights[a] != weights[b] ? weights[a] < weights[b] : a > b;
    }
  };

 public:
  /// @param weights  [V], the largest of them 1
  /// @param order    [V], overwritten
  Ranking(std::span<const float> weights, std::span<std::uint32_t> order) : below_{weights}, order_(order) {
    std::size_t rest = order.size();
    for (std::uint32_t id = 0; id < weights.size(); ++id) {
      const bool is_likely = weights[id] >= least_;
      order[end_] = order[rest - 1] = id;  // without a branch: one of the two places is written again
      end_ += is_likely ? 1 : 0;
      rest -= is_likely ? 0 : 1;
    }
    std::make_heap(at(0), at(end_), below_);
  }

  Token token(std::size_t rank) {
    for (; taken_ <= rank; ++taken_) {
      while (taken_ == end_) begin_tier();
      std::pop_heap(at(begin_), at(end_ - (taken_ - begin_)), below_);
    }
    return rank < begin_ ? order_[rank] : order_[end_ - 1 - (rank - begin_)];
  }
  float weight(std::size_t rank) { return below_.weights[token(rank)]; }

 private:
  void begin_tier() {
    std::reverse(at(begin_), at(end_));  // what was taken off a heap lies behind it, the first one last
    begin_ = end_;
    least_ *= least_;
    const auto is_in = [this](std::uint32_t id) { return below_.weights[id] >= least_; };
    const auto end = least_ > 0 ? std::partition(at(begin_), order_.end(), is_in) : order_.end();
    end_ = static_cast<std::size_t>(end - order_.begin());
    std::make_heap(at(begin_), at(end_), below_);
  }
  std::span<std::uint32_t>::iterator at(std::size_t place) const {
    return order_.begin() + static_cast<std::ptrdiff_t>(place);
  }

  Below below_;
  std::span<std::uint32_t> order_;  // by rank up to begin_, then the tier at hand, then the rest
  float least_ = 0x1p-10F;          // weight of the tier at hand; squared for the next, until it is 0
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t taken_ = 0;  // how many ranks are known
};

}  // namespace

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

  if (options_.top_k == 0 && options_.top_p >= 1.0F && !(options_.min_p > 0)) {
    double left = draw() * sum;
    for (std::size_t id = weights.size(); id-- > 0;) {
      left -= static_cast<double>(weights[id]);
      if (left < 0) return static_cast<Token>(id);
    }
    return most_probable;  // the sum was rounded up: what it has too much goes where nobody sees it
  }

  Ranking ranking(weights, order);
  // top-k first: top-p is a share of what it leaves, as in transformers and llama.cpp.
  const std::size_t most = options_.top_k > 0 ? std::min<std::size_t>(options_.top_k, order.size()) : order.size();
  double whole = most < order.size() ? 0 : sum;
  for (std::size_t rank = 0; most < order.size() && rank < most; ++rank) {
    whole += static_cast<double>(ranking.weight(rank));
  }
  const float least = options_.min_p * ranking.weight(0);
  double mass = 0;
  std::size_t count = 0;
  while (count < most && (count == 0 || (mass < options_.top_p * whole && ranking.weight(count) >= least))) {
    mass += static_cast<double>(ranking.weight(count++));
  }
  double left = draw() * mass;
  for (std::size_t rank = 0; rank < count; ++rank) {
    left -= static_cast<double>(ranking.weight(rank));
    if (left < 0) return ranking.token(rank);
  }
  return most_probable;
}

}  // namespace rill
