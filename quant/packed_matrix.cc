#include "quant/packed_matrix.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "platform/cpu.h"
#include "platform/half.h"

namespace rill::quant {
namespace {

constexpr float kLargestQuantized = 127.0F;

/// The divisors of amax that give scales to try after 127.
constexpr auto kDivisors = [] {
  std::array<float, 69> divisors{};
  std::size_t n = 0;
  for (int k = 126; k >= 64; --k) divisors[n++] = static_cast<float>(k);
  for (const int k : {32, 31, 16, 15, 8, 7}) divisors[n++] = static_cast<float>(k);
  return divisors;
}();

/// Scales being compared, side by side in vectors, so that one pass over a group's weights serves several and no float
/// addition is reordered.
struct Candidates {
  static constexpr std::size_t kLanes = 8;
  static constexpr std::size_t kMost = (kDivisors.size() + 1 + kLanes - 1) / kLanes * kLanes;
  std::size_t count = 0;
  std::array<float, kMost> scale;
  std::array<float, kMost> inverse;
  std::array<float, kMost> error;  ///< sum of squares
};

/// 1.5 * 2^23: adding it leaves magnitudes below 2^22 no bits for a fraction, and so rounds them, ties to even.
constexpr float kShift = 12582912.0F;

inline float quantize(float weight, float inverse) {
  const float rounded = (weight * inverse + kShift) - kShift;
  return std::min(std::max(rounded, -kLargestQuantized), kLargestQuantized);
}

/// Adds the scale amax / divisor if binary16 has one.
void add_candidate(Candidates& candidates, float amax, float divisor) {
  const float scale = half_to_float(float_to_half(amax / divisor));
  if (scale == 0.0F || std::isinf(scale)) return;
  candidates.scale[candidates.count] = scale;
  candidates.inverse[candidates.count] = 1.0F / scale;
  ++candidates.count;
}

/// The error of kLanes candidates from `first` on. Squares are summed in units of amax^2: those of tiny weights would
/// otherwise vanish. 32-bit NEON may flush denormals here: only the square of a weight below 2^-63 amax is one, and
/// that is the same for every candidate.
[[gnu::always_inline]] inline void measure_lanes(Candidates& candidates, std::size_t first,
                                                 std::span<const float> weights, float amax) {
  using Lanes [[gnu::vector_size(Candidates::kLanes * sizeof(float))]] = float;
  Lanes scale;
  Lanes inverse;
  std::memcpy(&scale, candidates.scale.data() + first, sizeof scale);
  std::memcpy(&inverse, candidates.inverse.data() + first, sizeof inverse);
  const float unit = 1.0F / amax;
  Lanes error{};
  for (const float weight : weights) {
    Lanes quantized = (weight * inverse + kShift) - kShift;
    quantized = quantized < -kLargestQuantized ? Lanes{} - kLargestQuantized : quantized;
    quantized = quantized > kLargestQuantized ? Lanes{} + kLargestQuantized : quantized;
    const Lanes difference = (weight - quantized * scale) * unit;
    error += difference * difference;
  }
  std::memcpy(candidates.error.data() + first, &error, sizeof error);
}

[[gnu::always_inline]] inline void measure_all(Candidates& candidates, std::span<const float> weights, float amax) {
  for (std::size_t first = 0; first < candidates.count; first += Candidates::kLanes) {
    measure_lanes(candidates, first, weights, amax);
  }
}

#ifdef __x86_64__
[[gnu::target("avx2")]] void measure_with_avx2(Candidates& candidates, std::span<const float> weights, float amax) {
  measure_all(candidates, weights, amax);
}
#endif

void measure(Candidates& candidates, std::span<const float> weights, float amax) {
  for (std::size_t c = candidates.count; c % Candidates::kLanes != 0; ++c) {  // what the last lanes compute is not read
    candidates.scale[c] = candidates.inverse[c] = 1.0F;
  }
#ifdef __x86_64__
  static const bool has_avx2 = detect_cpu().has(cpu_feature::kAvx2);
  if (has_avx2) return measure_with_avx2(candidates, weights, amax);
#endif
  measure_all(candidates, weights, amax);
}

}  // namespace

std::uint16_t quantize_group(std::span<const float> weights, std::span<std::int8_t> quantized, ScaleSearch search) {
  std::fill(quantized.begin(), quantized.end(), std::int8_t{0});
  float amax = 0.0F;
  for (const float weight : weights) amax = std::max(amax, std::fabs(weight));
  // Below half the least binary16, nothing but zero is near; this also keeps 1 / amax finite.
  if (amax <= 0x1p-25F) return 0;

  Candidates candidates;
  add_candidate(candidates, amax, kLargestQuantized);
  const bool is_enough = search == ScaleSearch::kNone && candidates.count == 1;
  if (!is_enough) measure(candidates, weights, amax);
  if (!is_enough && (candidates.count == 0 || candidates.error[0] > 0.0F)) {
    candidates.count = 0;
    add_candidate(candidates, amax, kLargestQuantized);
    for (const float divisor : kDivisors) add_candidate(candidates, amax, divisor);
    measure(candidates, weights, amax);
  }
  if (candidates.count == 0) return 0;
  const auto* const first = candidates.error.data();
  const auto best = is_enough ? 0 : static_cast<std::size_t>(std::min_element(first, first + candidates.count) - first);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    quantized[i] = static_cast<std::int8_t>(quantize(weights[i], candidates.inverse[best]));
  }
  return float_to_half(candidates.scale[best]);
}

void pack_row_block(std::span<const float> rows, const format::TileShape& shape, std::span<std::byte> block,
                    ScaleSearch search) {
  std::fill(block.begin(), block.end(), std::byte{0});
  std::array<std::int8_t, kMostGroup> quantized{};
  for (std::size_t row = 0; row < rows.size() / shape.columns; ++row) {
    const std::span<const float> weights = rows.subspan(row * shape.columns, shape.columns);
    for (std::size_t group = 0; group < shape.groups(); ++group) {
      const std::size_t first = group * shape.group;
      const std::size_t count = std::min(shape.group, shape.columns - first);
      const std::uint16_t scale =
          quantize_group(weights.subspan(first, count), std::span(quantized).first(count), search);
      std::memcpy(block.data() + shape.scales_offset(group) + row * sizeof(scale), &scale, sizeof(scale));
      for (std::size_t i = 0; i < count; ++i) block[shape.offset_in_block(row, first + i)] = std::byte(quantized[i]);
    }
  }
}

void unpack_row(std::span<const std::byte> block, const format::TileShape& shape, std::size_t row,
                std::span<float> out) {
  for (std::size_t group = 0; group < shape.groups(); ++group) {
    std::uint16_t half = 0;
    std::memcpy(&half, block.data() + shape.scales_offset(group) + row * sizeof(half), sizeof(half));
    const float scale = half_to_float(half);
    const std::size_t first = group * shape.group;
    const std::size_t end = std::min(first + shape.group, shape.columns);
    for (std::size_t column = first; column < end; ++column) {
      const auto weight = static_cast<std::int8_t>(block[shape.offset_in_block(row, column)]);
      out[column] = static_cast<float>(weight) * scale;
    }
  }
}

}  // namespace rill::quant
