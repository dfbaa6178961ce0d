#include "quant/rope_scaling.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace rill::quant {
namespace {

double scaled(double turns, const RopeScaling& scaling) {
  switch (scaling.kind) {
    case RopeScaling::Kind::kNone:
      break;
    case RopeScaling::Kind::kLinear:
      return turns / scaling.factor;
    case RopeScaling::Kind::kLlama3: {
      // How much of the pair's own frequency stays: 0 below the low band's edge, 1 above the high band's.
      const double turns_in_context = turns * scaling.original_context;
      const double kept = std::clamp((turns_in_context - scaling.low_frequency_factor) /
                                         (scaling.high_frequency_factor - scaling.low_frequency_factor),
                                     0.0, 1.0);
      return (1.0 - kept) * turns / scaling.factor + kept * turns;
    }
  }
  return turns;
}

}  // namespace

std::vector<double> rope_turns(std::uint32_t head_size, double theta, const RopeScaling& scaling) {
  std::vector<double> turns(head_size / 2);
  for (std::size_t i = 0; i < turns.size(); ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / head_size;
    turns[i] = scaled(std::pow(theta, exponent) / (2.0 * std::numbers::pi), scaling);
  }
  return turns;
}

}  // namespace rill::quant
