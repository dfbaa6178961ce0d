// What the two 256-bit sets share: 16 lanes as two ymm registers, and the matrix loops over a dot product of bytes that
// each set defines as dot_bytes(sum, weights, x). To be included once, inside a set's unnamed namespace (see
// lane_rules.h).

struct Lanes {
  __m256 lo;
  __m256 hi;
};
struct IntLanes {
  __m256i lo;
  __m256i hi;
};

/// All ones in the first n of 8 lanes.
inline __m256i first_lanes(std::size_t n) {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), index);
}

inline Lanes load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline Lanes load_part(const float* p, std::size_t n) {
  const std::size_t high = n > 8 ? n - 8 : 0;
  return {_mm256_maskload_ps(p, first_lanes(n)),
          high > 0 ? _mm256_maskload_ps(p + 8, first_lanes(high)) : _mm256_setzero_ps()};
}
inline void store(Lanes a, float* p) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
inline void store_part(Lanes a, float* p, std::size_t n) {
  _mm256_maskstore_ps(p, first_lanes(n), a.lo);
  if (n > 8) _mm256_maskstore_ps(p + 8, first_lanes(n - 8), a.hi);
}
inline Lanes all(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Lanes multiply(Lanes a, Lanes b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline Lanes add(Lanes a, Lanes b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline Lanes subtract(Lanes a, Lanes b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline Lanes divide(Lanes a, Lanes b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline Lanes fma(Lanes a, Lanes b, Lanes c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline Lanes larger(Lanes a, Lanes b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline Lanes smaller(Lanes a, Lanes b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline Lanes magnitude(Lanes a) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
inline float sum_lanes(Lanes a) {
  const __m256 eight = _mm256_add_ps(a.lo, a.hi);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float largest_lane(Lanes a) {
  const __m256 eight = _mm256_max_ps(a.lo, a.hi);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

inline IntLanes int_all(std::int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline IntLanes int_add(IntLanes a, IntLanes b) { return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
inline std::int32_t int_sum_lanes(IntLanes a) {
  const __m256i eight = _mm256_add_epi32(a.lo, a.hi);
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}
inline IntLanes round(Lanes a) { return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
inline Lanes to_float(IntLanes a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
inline Lanes power_of_two(IntLanes a) {
  const __m256i bias = _mm256_set1_epi32(127);
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(a.lo, bias), 23)),
          _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(a.hi, bias), 23))};
}
inline void store_int8(IntLanes a, std::int8_t* p) {
  // Packing works within 128-bit halves: the permutation puts the four quarters back into order.
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xd8);
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}
inline IntLanes load_int8(const std::int8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))};
}

#include "platform/kernels/lane_rules.h"

inline __m256i load_bytes(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
/// Four int8 activations in every 32-bit lane.
inline __m256i broadcast_four(const std::int8_t* p) {
  std::int32_t four;
  std::memcpy(&four, p, sizeof four);
  return _mm256_set1_epi32(four);
}

/// One row block times kTokens tokens.
template <int kTokens>
inline void multiply_block(const std::byte* block, const TileShape& shape, const Activations& x, float* out,
                           std::size_t out_stride) {
  const std::size_t group = shape.group;
  Lanes y[kTokens];
  for (auto& lanes : y) lanes = all(0.0F);
  for (std::size_t g = 0; g < x.groups; ++g) {
    const std::byte* tiles = block + shape.tiles_offset(g);
    const auto* scales = reinterpret_cast<const __m128i*>(block + shape.scales_offset(g));
    IntLanes sums[kTokens];
    for (int t = 0; t < kTokens; ++t)
      sums[t] = int_all(first_sum(x.offsets[static_cast<std::size_t>(t) * x.groups + g]));
    for (std::size_t c = 0; c < group; c += kTileColumns) {
      const __m256i lo = load_bytes(tiles + c * kTileRows);
      const __m256i hi = load_bytes(tiles + c * kTileRows + 32);
      for (int t = 0; t < kTokens; ++t) {
        const __m256i a = broadcast_four(x.values + static_cast<std::size_t>(t) * x.columns + g * group + c);
        sums[t].lo = dot_bytes(sums[t].lo, lo, a);
        sums[t].hi = dot_bytes(sums[t].hi, hi, a);
      }
    }
    const Lanes w = {_mm256_cvtph_ps(_mm_loadu_si128(scales)), _mm256_cvtph_ps(_mm_loadu_si128(scales + 1))};
    for (int t = 0; t < kTokens; ++t) {
      const Lanes scale = multiply(w, all(x.scales[static_cast<std::size_t>(t) * x.groups + g]));
      y[t] = fma(to_float(sums[t]), scale, y[t]);
    }
  }
  for (int t = 0; t < kTokens; ++t) store(y[t], out + static_cast<std::size_t>(t) * out_stride);
}

void multiply_matrix(const Matrix& w, std::size_t first_block, std::size_t end_block, const Activations& x,
                     std::size_t tokens, float* out, std::size_t out_stride) {
  const std::size_t block_bytes = w.shape.block_bytes();
  for (std::size_t block = first_block; block < end_block; ++block) {
    const std::byte* start = w.blocks + block * block_bytes;
    float* y = out + block * kTileRows;
    std::size_t t = 0;
    for (; t + 2 <= tokens; t += 2) multiply_block<2>(start, w.shape, x.from_row(t), y + t * out_stride, out_stride);
    if (t < tokens) multiply_block<1>(start, w.shape, x.from_row(t), y + t * out_stride, out_stride);
  }
}

void score(const Query& q, std::size_t stride, const std::int8_t* keys, const float* scales, std::size_t tiles,
           float* out) {
  for (std::size_t tile = 0; tile < tiles; ++tile, keys += kTileRows * stride) {
    IntLanes high = int_all(first_sum(q.high_offset));
    IntLanes low = int_all(first_sum(q.low_offset));
    for (std::size_t c = 0; c < stride; c += kTileColumns) {
      const __m256i k_lo = load_bytes(keys + c * kTileRows);
      const __m256i k_hi = load_bytes(keys + c * kTileRows + 32);
      const __m256i a = broadcast_four(q.high + c);
      const __m256i b = broadcast_four(q.low + c);
      high = {dot_bytes(high.lo, k_lo, a), dot_bytes(high.hi, k_hi, a)};
      low = {dot_bytes(low.lo, k_lo, b), dot_bytes(low.hi, k_hi, b)};
    }
    const IntLanes sums = {_mm256_add_epi32(_mm256_slli_epi32(high.lo, 7), low.lo),
                           _mm256_add_epi32(_mm256_slli_epi32(high.hi, 7), low.hi)};
    const Lanes scale = multiply(all(q.scale), load(scales + tile * kTileRows));
    store(multiply(to_float(sums), scale), out + tile * kTileRows);
  }
}
