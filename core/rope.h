#pragma once
// Rotary positions that stay exact for ever: angles as 64-bit fractions of a turn.

#include <cstdint>
#include <span>

namespace rill {

/// Cosine and sine of the angles at a position, one per rotated pair.
///
/// A pair's speed is a whole number of 2^-64 turns per position, so position times speed wraps around as angles do: the
/// difference of two phases depends only on the distance, at position ten and at position 2^63.
/// @param turns     [pairs] turns per position times 2^64
/// @param position  tokens since the stream began, modulo 2^64
/// @param cosines   [pairs], @param sines [pairs]: within one rounding of the exact values, the same on every machine
void rope_phases(std::span<const std::uint64_t> turns, std::uint64_t position, std::span<float> cosines,
                 std::span<float> sines);

}  // namespace rill
