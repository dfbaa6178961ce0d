#include "core/rope.h"

#include <cmath>
#include <cstddef>

namespace rill {
namespace {

struct CosSin {
  double cosine;
  double sine;
};

/// Taylor polynomials on [-pi/4, pi/4]; the rests, pi/4^16 / 16! and pi/4^15 / 15!, are below 1e-14 and 2e-14.
CosSin near_zero(double x) {
  const double z = x * x;
  double c = 1.0 / 87178291200.0;          // 14!
  c = std::fma(-c, z, 1.0 / 479001600.0);  // 12!
  c = std::fma(-c, z, 1.0 / 3628800.0);
  c = std::fma(-c, z, 1.0 / 40320.0);
  c = std::fma(-c, z, 1.0 / 720.0);
  c = std::fma(-c, z, 1.0 / 24.0);
  c = std::fma(-c, z, 0.5);
  c = std::fma(-c, z, 1.0);
  double s = 1.0 / 6227020800.0;          // 13!
  s = std::fma(-s, z, 1.0 / 39916800.0);  // 11!
  s = std::fma(-s, z, 1.0 / 362880.0);
  s = std::fma(-s, z, 1.0 / 5040.0);
  s = std::fma(-s, z, 1.0 / 120.0);
  s = std::fma(-s, z, 1.0 / 6.0);
  s = std::fma(-s, z, 1.0);
  return {c, s * x};
}

/// @param angle  a fraction of a turn times 2^64
CosSin cos_sin(std::uint64_t angle) {
  constexpr double kRadians = 6.283185307179586476925 / 18446744073709551616.0;
  const std::uint64_t quarter = (angle + (std::uint64_t{1} << 61U)) >> 62U;  // the nearest multiple of a quarter turn
  const auto rest = static_cast<std::int64_t>(angle - (quarter << 62U));     // at most an eighth of a turn either way
  const CosSin r = near_zero(static_cast<double>(rest) * kRadians);
  switch (quarter & 3U) {
    case 0:
      return r;
    case 1:
      return {-r.sine, r.cosine};
    case 2:
      return {-r.cosine, -r.sine};
    default:
      return {r.sine, -r.cosine};
  }
}

}  // namespace

void rope_phases(std::span<const std::uint64_t> turns, std::uint64_t position, std::span<float> cosines,
                 std::span<float> sines) {
  for (std::size_t i = 0; i < turns.size(); ++i) {
    const CosSin phase = cos_sin(turns[i] * position);  // wraps by design
    cosines[i] = static_cast<float>(phase.cosine);
    sines[i] = static_cast<float>(phase.sine);
  }
}

}  // namespace rill
