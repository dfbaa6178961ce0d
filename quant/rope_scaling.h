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
    kYarn,    ///< a ramp over the pairs' numbers between two speeds (arXiv 2309.00071, section 3.2)
  };
  Kind kind = Kind::kNone;
  double factor = 1.0;                 ///< > 0
  double low_frequency_factor = 1.0;   ///< > 0: a pair that turns less than this in the original context is slow
  double high_frequency_factor = 4.0;  ///< > low_frequency_factor: one that turns more often is fast
  double original_context = 8192.0;    ///< > 0, tokens
  double beta_fast = 32.0;             ///< kYarn: pairs that turn so often in the original context stay
  double beta_slow = 1.0;              ///< kYarn: pairs that turn less often are divided
  bool truncate = true;                ///< kYarn: the ramp begins and ends at whole pairs
  double magnitude = 1.0;              ///< > 0: factor of all cosines and sines
};

/// Rotations per position of each rotated pair, in turns: theta^(-2 i / rotated) / 2 pi, scaled. [rotated / 2]
/// @param rotated  dimensions of a head that rotate
/// @param theta    > 1 for kYarn, else > 0
std::vector<double> rope_turns(std::uint32_t rotated, double theta, const RopeScaling& scaling);

/// How much a score falls with each token of distance, by head: 2^(-most_bias i / p) for i = 1 .. p, p the largest
/// power of two up to `heads`; for the heads that are left the exponents between those (ALiBi, arXiv 2108.12409,
/// section 3).
std::vector<double> alibi_slopes(std::uint32_t heads, double most_bias);

}  // namespace rill::quant
