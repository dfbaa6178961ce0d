#include "quant/rope_scaling.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace rill::quant {
namespace {

/// How much of each pair's own speed stays under YaRN: 1 for fast pairs, 0 for slow ones, a ramp between.
class YarnRamp {
 public:
  YarnRamp(double rotated, double theta, const RopeScaling& scaling) {
    // The number, not whole, of the pair that turns `rotations` times in the original context.
    const auto pair_of = [&](double rotations) {
      return rotated * std::log(scaling.original_context / (rotations * 2.0 * std::numbers::pi)) /
             (2.0 * std::log(theta));
    };
    begin_ = pair_of(scaling.beta_fast);
    end_ = pair_of(scaling.beta_slow);
    if (scaling.truncate) {
      begin_ = std::floor(begin_);
      end_ = std::ceil(end_);
    }
    begin_ = std::max(begin_, 0.0);
    end_ = std::min(end_, rotated - 1.0);
    if (begin_ == end_) end_ += 0.001;
  }
  double kept(double pair) const { return 1.0 - std::clamp((pair - begin_) / (end_ - begin_), 0.0, 1.0); }

 private:
  double begin_ = 0;
  double end_ = 0;
};

/// Llama 3: how much of a pair's own speed stays, 0 below the low band's edge, 1 above the high band's.
double llama3_kept(double turns, const RopeScaling& scaling) {
  const double turns_in_context = turns * scaling.original_context;
  return std::clamp((turns_in_context - scaling.low_frequency_factor) /
                        (scaling.high_frequency_factor - scaling.low_frequency_factor),
                    0.0, 1.0);
}

}  // namespace

std::vector<double> rope_turns(std::uint32_t rotated, double theta, const RopeScaling& scaling) {
  const YarnRamp yarn(rotated, theta, scaling);
  std::vector<double> turns(rotated / 2);
  for (std::size_t i = 0; i < turns.size(); ++i) {
    const auto pair = static_cast<double>(i);
    turns[i] = std::pow(theta, -2.0 * pair / rotated) / (2.0 * std::numbers::pi);
    double kept = 1.0;
    if (scaling.kind == RopeScaling::Kind::kLinear) kept = 0.0;
    if (scaling.kind == RopeScaling::Kind::kLlama3) kept = llama3_kept(turns[i], scaling);
    if (scaling.kind == RopeScaling::Kind::kYarn) kept = yarn.kept(pair);
    turns[i] = (1.0 - kept) * turns[i] / scaling.factor + kept * turns[i];
  }
  return turns;
}

std::vector<double> alibi_slopes(std::uint32_t heads, double most_bias) {
  const std::uint32_t power = std::bit_floor(heads);
  std::vector<double> slopes;
  for (std::uint32_t i = 1; i <= power; ++i) slopes.push_back(std::exp2(-most_bias * i / power));
  for (std::uint32_t i = 1; slopes.size() < heads; i += 2) slopes.push_back(std::exp2(-most_bias * i / (2.0 * power)));
  return slopes;
}

}  // namespace rill::quant
