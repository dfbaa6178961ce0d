#pragma once
// From logits to a token: greedy, or a draw. The same seed gives the same tokens on every machine: logits have the same
// bits, exp is the kernels' own, and the generator and the draw are defined to the bit.

#include <array>
#include <cstdint>
#include <span>
#include <type_traits>

#include "core/memory_plan.h"
#include "core/model_config.h"
#include "core/random_generator.h"
#include "platform/kernels/kernels.h"

namespace rill {

/// How a token is chosen. Filters work on the probabilities after the temperature, in the order in which they stand
/// here.
struct SamplingOptions {
  float temperature = 0.7F;  ///< 0: greedy, the first of the largest logits
  std::uint32_t top_k = 0;   ///< only the k most probable tokens; 0: all
  /// Only the most probable tokens that together reach this share of what top_k left (nucleus, arXiv 1904.09751).
  float top_p = 1.0F;
  float min_p = 0.0F;           ///< only tokens at least this probable relative to the most probable (arXiv 2407.01082)
  float repeat_penalty = 1.0F;  ///< divides positive and multiplies negative logits of recent tokens (arXiv 1909.05858)
  std::uint64_t seed = 1;
};

/// Tokens back that the repeat penalty looks at.
inline constexpr std::size_t kPenaltyTokens = 64;

struct SamplerItems {
  Item<float> weights;        ///< [V]
  Item<std::uint32_t> order;  ///< [V]
};
/// One set of buffers serves all sessions, one call at a time.
SamplerItems plan_sampler(MemoryPlan& plan, const ModelConfig& config);

/// One stream's generator and recent tokens.
class Sampler {
 public:
  /// All that a stream leaves in its sampler; the options are not part of it. Its bytes are what is saved.
  struct State {
    RandomGenerator generator;
    std::array<Token, kPenaltyTokens> recent{};  ///< a ring
    std::uint64_t seen = 0;                      ///< tokens ever observed; the next one's place is this modulo the ring

    /// False for bytes that no sampler of a model with this vocabulary has.
    bool is_sound(std::uint32_t vocabulary) const;
  };

  Sampler() { configure({}); }

  /// Takes the options and starts the generator anew from their seed.
  void configure(const SamplingOptions& options);
  const SamplingOptions& options() const { return options_; }
  /// Remembers tokens of the stream for the repeat penalty.
  void observe(std::span<const Token> tokens);
  /// Forgets them.
  void forget() { state_.seen = 0; }

  const State& state() const { return state_; }
  /// @param state  sound
  void restore(const State& state) { state_ = state; }

  /// @param logits   [V]
  /// @param weights  [V] scratch, @param order [V] scratch
  /// Cost: O(V), and O(log V) for each token that a filter keeps.
  Token sample(std::span<const float> logits, std::span<float> weights, std::span<std::uint32_t> order,
               const kernels::KernelSet& kernels);

 private:
  void penalize(std::span<float> logits) const;
  double draw();

  SamplingOptions options_;
  State state_;
};
static_assert(std::is_trivially_copyable_v<Sampler::State>);
static_assert(sizeof(Sampler::State) == sizeof(RandomGenerator) + kPenaltyTokens * sizeof(Token) + 8, "no padding");

}  // namespace rill
