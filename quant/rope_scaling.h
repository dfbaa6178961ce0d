#pragma once
// How fast each pair of a head's dimensions turns, and the ways in which models stretch that for longer contexts.

#include <cstdint>
#include <vector>

namespace rill::quant {

/// What is done to the frequencies. Every field was checked by whoever read it: see each range.
struct RopeScaling {
  enum class Kind : std::uint8_t {
    kNone,
    kLinear,  ///< all frequencies divided by `factor` (position interpolation, arXiv 2306.15595)
    kLlama3,  ///< three bands, as in Llama 3.1: fast pairs as they are, slow ones divided, a ramp between
  };
  Kind kind = Kind::kNone;
  double factor = 1.0;                 ///< > 0
  double low_frequency_factor = 1.0;   ///< > 0: a pair that turns less than this in the original context is slow
  double high_frequency_factor = 4.0;  ///< > low_frequency_factor: one that turns more often is fast
  double original_context = 8192.0;    ///< > 0, tokens
};

/// Rotations per position of each rotated pair, in turns: theta^(-2 i / head_size) / 2 pi, scaled. [head_size / 2]
/// @param theta  > 0
std::vector<double> rope_turns(std::uint32_t head_size, double theta, const RopeScaling& scaling);

}  // namespace rill::quant
