#pragma once
// The table of kernel sets: everything that an instruction set does its own way, as one row of function pointers.
//
// Every set gives the same bits. That holds because the rules leave no freedom (DESIGN 5): a group's dot product is an
// exact int32; groups are combined in ascending order, each with one multiply and one fused multiply-add; a sum over an
// array runs in 16 lanes (lane = index mod 16) that are then added as a tree (8, 4, 2, 1); exp is our own polynomial.
// What is float is written once, in lane_rules.h, over 16 lanes; a set says how its registers make 16 lanes, and does
// the integer part its own way. Where to start reading: scalar.cc, a plain loop that the rest equals.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "platform/cpu.h"
#include "platform/kernels/tiles.h"

namespace rill::kernels {

/// A packed int8 matrix, borrowed.
struct Matrix {
  const std::byte* blocks = nullptr;  ///< 64-aligned
  TileShape shape;
};

/// n rows of int8 activations with a scale per group, borrowed. Columns are padded with zeros as the matrix's are.
struct Activations {
  std::int8_t* values = nullptr;  ///< [n, columns], 64-aligned; in the form that the set's multiply reads, see quantize
  float* scales = nullptr;        ///< [n, groups]
  std::size_t columns = 0;        ///< padded
  std::size_t groups = 0;

  std::size_t group() const { return columns / groups; }
  Activations from_row(std::size_t row) const {
    return {values + row * columns, scales + row * groups, columns, groups};
  }
};

/// Most query heads that meet the same keys and values at a time.
inline constexpr std::size_t kMostQueries = 6;

/// Query heads against the same cached keys, in 15 bits: an element is 128 high + low. Eight would do for large heads;
/// in heads of a few elements their rounding shows. Borrowed.
struct Queries {
  const std::int8_t* values =
      nullptr;                    ///< [stride / 4][count][2][4]: four high parts, four low parts; see quantize_query
  const float* scales = nullptr;  ///< [count] of the values, with 1 / sqrt(head size) in them
  std::size_t count = 0;          ///< 1 to kMostQueries
};

/// What an MLP does to its gates, or to what it has in their place.
enum class ActivationFunction : std::uint32_t {
  kSilu,         ///< x / (1 + exp(-x))
  kGelu,         ///< x/2 (1 + erf(x / sqrt 2)), erf within 1.5e-7 (Abramowitz and Stegun, 7.1.26)
  kGeluTanh,     ///< x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) (GELU, arXiv 1606.08415, section 2)
  kClampedSwish  ///< gpt-oss: min(x, limit) / (1 + exp(-1.702 min(x, limit))); ups are clamped both ways, plus 1
};

/// The functions of one instruction set, and what their operands look like. `n` counts floats unless it says otherwise;
/// no pointer may be null; arrays do not overlap except where they are the same.
struct KernelSet {
  std::string_view name;
  CpuFeatures needs;
  int shift = 0;  ///< what is added to activations and queries to make an unsigned side of a dot product: 0 or 128

  /// out[t, 16 b + r] = sum over groups of dot(w, x) * (w scale * x scale), for row blocks [first_block, end_block).
  /// @param out  [tokens, out_stride], out_stride >= the padded rows
  void (*multiply)(const Matrix& w, std::size_t first_block, std::size_t end_block, const Activations& x,
                   std::size_t tokens, float* out, std::size_t out_stride);

  /// out[q, s] = dot(query q, key s) * (query scale * key scale s) for `tiles` tiles of 16 slots; the dot product is an
  /// exact int32.
  /// @param stride  at most 1024
  /// @param keys    [tiles][stride / 4][16][4]
  /// @param scales  [16 tiles]
  /// @param out     [count, out_stride]
  void (*score)(const Queries& queries, std::size_t stride, const std::int8_t* keys, const float* scales,
                std::size_t tiles, float* out, std::size_t out_stride);

  /// out[q, i] = fma(weights[q, j], values[j, i], out[q, i]) for j ascending, for each of `queries` rows.
  /// @param values   [count, stride], stride a multiple of 16
  /// @param weights  [queries, weights_stride]
  /// @param out      [queries, stride]
  void (*mix)(const std::int8_t* values, std::size_t count, std::size_t stride, const float* weights,
              std::size_t weights_stride, std::size_t queries, float* out);

  /// scores[i] becomes exp(scores[i] - max). @returns the sum of the results. n >= 1.
  float (*exponentiate)(float* scores, std::size_t n);

  /// out = x * gain / sqrt(mean(x^2) + epsilon). Source: RMSNorm (arXiv 1910.07467), eq. 4.
  void (*rms_normalize)(const float* x, const float* gain, std::size_t n, float epsilon, float* out);

  /// out = (x - mean) / sqrt(variance + epsilon) * gain + bias. Source: LayerNorm (arXiv 1607.06450), eq. 3.
  void (*layer_normalize)(const float* x, const float* gain, const float* bias, std::size_t n, float epsilon,
                          float* out);

  /// One row of activations from n floats: per group scale = max|x| / 127, values round(x / scale) to nearest even; a
  /// group of zeros gives scale 0. Values from n to the padded columns become 0. All are stored shifted up by `shift`.
  void (*quantize)(const float* x, std::size_t n, const Activations& out);

  /// The same with one scale for all n, never shifted: a key or a value of the cache, which any set may read.
  /// @param values  [stride], zeros from n on
  /// @returns the scale
  float (*quantize_vector)(const float* x, std::size_t n, std::size_t stride, std::int8_t* values);
  /// One of `count` queries, the largest element at 127 * 128, zeros from n to stride; shifted up by `shift`.
  /// @param values  where the query's first four high parts belong in Queries::values
  /// @returns the scale
  float (*quantize_query)(const float* x, std::size_t n, std::size_t stride, std::size_t count, std::int8_t* values);

  /// out = function(x).
  void (*activate)(ActivationFunction function, const float* x, std::size_t n, float limit, float* out);
  /// out = function(gate) * up. Source: GLU variants (arXiv 2002.05202), section 2.
  /// @param limit  of kClampedSwish; others ignore it
  void (*activate_gated)(ActivationFunction function, const float* gate, const float* up, std::size_t n, float limit,
                         float* out);

  /// x becomes its Walsh-Hadamard transform in runs of `block` elements, not scaled: elements whose indices differ in
  /// one bit become their sum and their difference, bit after bit from the lowest.
  /// @param block  a power of two, 16 or more, that divides n
  void (*hadamard)(std::size_t block, std::size_t n, float* x);

  /// x = cap * tanh(x / cap).
  void (*soft_cap)(float cap, std::size_t n, float* x);

  /// Rotates the pairs (x[i], x[i + half]) by the angles whose cosines and sines are given; x may be out.
  /// Source: RoPE (arXiv 2104.09864), eq. 34, pairs as Hugging Face's Llama lays them.
  void (*rotate)(const float* x, const float* cosines, const float* sines, std::size_t half, float* out);

  /// out = x * y.
  void (*multiply_elements)(const float* x, const float* y, std::size_t n, float* out);
  /// x += y.
  void (*add)(const float* y, std::size_t n, float* x);
  /// x *= factor.
  void (*scale)(float factor, std::size_t n, float* x);

  // What `rill bench` holds the others against; no model runs these two.

  /// Reads `size` bytes in ascending order with the set's widest loads, and does nothing that could keep them waiting.
  /// @param bytes  64-aligned; size a multiple of 1024
  /// @returns a sum to which every byte counts, so that no read can be left out.
  std::uint64_t (*read)(const std::byte* bytes, std::size_t size);

  /// Dot products of bytes, by the set's own instructions, on operands that never leave the registers.
  /// @returns how many multiply-adds that was: a constant times `rounds`.
  std::uint64_t (*dot_products)(std::uint64_t rounds);
};

/// A set's row of functions, from those of its file: multiply_matrix and score, and lane_rules.h's.
#define RILL_KERNEL_ROW(set_name, set_needs)                                                                          \
  {                                                                                                                   \
    .name = (set_name), .needs = (set_needs), .shift = kShift, .multiply = multiply_matrix, .score = score,           \
    .mix = mix, .exponentiate = exponentiate, .rms_normalize = rms_normalize, .layer_normalize = layer_normalize,     \
    .quantize = quantize, .quantize_vector = quantize_vector, .quantize_query = quantize_query, .activate = activate, \
    .activate_gated = activate_gated, .hadamard = hadamard, .soft_cap = soft_cap, .rotate = rotate,                   \
    .multiply_elements = multiply_elements, .add = add_arrays, .scale = scale_array, .read = read_bytes,              \
    .dot_products = dot_products                                                                                      \
  }

/// Every set that was built for this architecture, slowest first; "scalar" always is.
std::span<const KernelSet* const> kernel_sets();
/// The last set that the CPU can run.
const KernelSet& best_kernel_set(CpuFeatures cpu);
/// nullptr if no set of that name was built.
const KernelSet* find_kernel_set(std::string_view name);

}  // namespace rill::kernels
