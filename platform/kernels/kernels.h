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

/// Rows of integers in 15 bits that meet the same int8 tiles: queries that meet keys, weights that meet values. Eight
/// bits would do for large heads; in heads of a few elements their rounding shows. Borrowed.
struct WideRows {
  const std::int8_t* values = nullptr;  ///< [columns / 16][count][kWideBytes], in the set's own form
  const std::int32_t* sums = nullptr;   ///< [count] of a row's elements, for sets whose `shift` is not 0
  std::size_t columns = 0;              ///< a multiple of 16
  std::size_t count = 0;                ///< 1 to kMostQueries
};
inline constexpr std::size_t kWideBytes = 32;  ///< of 16 elements

/// Row blocks of int8 tiles (tiles.h) without scales, [columns / 4][16][4] each. Borrowed.
struct TileBlocks {
  const std::int8_t* tiles = nullptr;
  std::size_t stride = 0;  ///< bytes from a row block to the next
  std::size_t count = 0;
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
  int shift = 0;  ///< what is added to activations to make the unsigned side of a dot product: 0 or 128
  std::size_t blocks_together = 1;  ///< row blocks that meet many tokens at a time: share a matrix out in multiples

  /// out[t, 16 b + r] = sum over groups of dot(w, x) * (w scale * x scale), for row blocks [first_block, end_block).
  /// @param out  [tokens, out_stride], out_stride >= the padded rows
  void (*multiply)(const Matrix& w, std::size_t first_block, std::size_t end_block, const Activations& x,
                   std::size_t tokens, float* out, std::size_t out_stride);

  /// out[q, 16 b + r] = sum over columns c of x[q, c] * (row r of block b)[c], exact modulo 2^32: a query of up to 1024
  /// elements stays below 2^31.
  /// @param adds  to what is in out
  /// @param out   [x.count, out_stride]
  void (*dot_wide)(const WideRows& x, const TileBlocks& blocks, bool adds, std::int32_t* out, std::size_t out_stride);

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
  /// One of `count` queries, the largest element at 127 * 128, zeros from n to stride.
  /// @param values  where the query's first elements belong in WideRows::values
  /// @param sum     of its integers
  /// @returns the scale
  float (*quantize_query)(const float* x, std::size_t n, std::size_t stride, std::size_t count, std::int8_t* values,
                          std::int32_t* sum);
  /// The scale at which weights become integers of at most 127 * 128 whose sum is about 2^23 at most, or half their
  /// number more as each is rounded: the sum of the products of up to 2^23 of them with int8 values stays below 2^31.
  /// @param weights  [n], none below zero
  float (*weight_scale)(const float* weights, std::size_t n);
  /// Weights at that scale as columns [first, first + n) of one of `count` rows of 16 `blocks` columns, zeros around.
  /// @param values  where the row's first elements belong in WideRows::values
  /// @returns the sum of the integers
  std::int32_t (*quantize_weights)(const float* weights, std::size_t n, float scale, std::size_t first,
                                   std::size_t blocks, std::size_t count, std::int8_t* values);

  /// out[i] = x[i] * factor.
  void (*dequantize)(const std::int32_t* x, float factor, std::size_t n, float* out);
  /// out[i] = x[i] * (factor * scales[i]).
  void (*dequantize_each)(const std::int32_t* x, const float* scales, float factor, std::size_t n, float* out);

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

/// A set's row of functions, from those of its file: multiply_matrix and dot_wide, and lane_rules.h's.
#define RILL_KERNEL_ROW(set_name, set_needs)                                                                         \
  {                                                                                                                  \
    .name = (set_name), .needs = (set_needs), .shift = kShift, .blocks_together = kBlocksTogether,                   \
    .multiply = multiply_matrix, .dot_wide = dot_wide, .exponentiate = exponentiate, .rms_normalize = rms_normalize, \
    .layer_normalize = layer_normalize, .quantize = quantize, .quantize_vector = quantize_vector,                    \
    .quantize_query = quantize_query, .weight_scale = weight_scale, .quantize_weights = quantize_weights,            \
    .dequantize = dequantize, .dequantize_each = dequantize_each, .activate = activate,                              \
    .activate_gated = activate_gated, .hadamard = hadamard, .soft_cap = soft_cap, .rotate = rotate,                  \
    .multiply_elements = multiply_elements, .add = add_arrays, .scale = scale_array, .read = read_bytes,             \
    .dot_products = dot_products                                                                                     \
  }

/// Every set that was built for this architecture, slowest first; "scalar" always is.
std::span<const KernelSet* const> kernel_sets();
/// The last set that the CPU can run.
const KernelSet& best_kernel_set(CpuFeatures cpu);
/// nullptr if no set of that name was built.
const KernelSet* find_kernel_set(std::string_view name);

}  // namespace rill::kernels
