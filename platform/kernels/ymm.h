// What the two 256-bit sets share: 16 lanes as two ymm registers, and the matrix loop of a decode step over a dot
// product of bytes that each set defines as dot_bytes(sum, weights, x), with the shift that it needs of x, kFewTokens,
// up to which that loop is taken, and kStraightGroups, whether it is straight code for a group whose size is known. To
// be included once, inside a set's unnamed namespace (see lane_rules.h).

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
template <int kDistance>
inline Lanes swap_lanes(Lanes a) {
  if constexpr (kDistance == 1) return {_mm256_permute_ps(a.lo, 0xb1), _mm256_permute_ps(a.hi, 0xb1)};
  if constexpr (kDistance == 2) return {_mm256_permute_ps(a.lo, 0x4e), _mm256_permute_ps(a.hi, 0x4e)};
  if constexpr (kDistance == 4) {
    return {_mm256_permute2f128_ps(a.lo, a.lo, 1), _mm256_permute2f128_ps(a.hi, a.hi, 1)};
  }
  if constexpr (kDistance == 8) return {a.hi, a.lo};
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
inline IntLanes round(Lanes a) { return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
inline Lanes to_float(IntLanes a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
inline Lanes power_of_two(IntLanes a) {
  const __m256i bias = _mm256_set1_epi32(127);
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(a.lo, bias), 23)),
          _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(a.hi, bias), 23))};
}
inline void store_int8(IntLanes a, std::int8_t* p) {
  // The low bytes, as they are. Packing works within 128-bit halves: the permutation puts the four quarters back into
  // order.
  const __m256i low = _mm256_set1_epi32(255);
  const __m256i words =
      _mm256_permute4x64_epi64(_mm256_packus_epi32(_mm256_and_si256(a.lo, low), _mm256_and_si256(a.hi, low)), 0xd8);
  const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}
[[maybe_unused]] inline void store_int16(IntLanes a, std::int8_t* p) {  // of numbers that fit
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xd8);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), words);
}
inline void store_int32(IntLanes a, std::int32_t* p) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.lo);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), a.hi);
}
inline IntLanes load_int32(const std::int32_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8))};
}

inline IntLanes int_subtract(IntLanes a, IntLanes b) {
  return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)};
}
inline IntLanes over_256(IntLanes a) { return {_mm256_srai_epi32(a.lo, 8), _mm256_srai_epi32(a.hi, 8)}; }
inline IntLanes times_256(IntLanes a) { return {_mm256_slli_epi32(a.lo, 8), _mm256_slli_epi32(a.hi, 8)}; }

#include "platform/kernels/lane_rules.h"

#include "platform/kernels/next_lines.h"

inline __m256i load_bytes(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
/// Four int8 activations in every 32-bit lane.
inline __m256i broadcast_four(const std::int8_t* p) {
  std::int32_t four;
  std::memcpy(&four, p, sizeof four);
  return _mm256_set1_epi32(four);
}

/// One tile times kTokens tokens, whose activations begin at `a`; the shift's own dot products go to excess.
template <int kTokens, bool kFindsExcess>
inline void multiply_tile(const std::byte* tile, const std::int8_t* a, std::size_t columns, IntLanes (&sums)[kTokens],
                          IntLanes& excess) {
  const __m256i lo = load_bytes(tile);
  const __m256i hi = load_bytes(tile + 32);
  if constexpr (kFindsExcess && kShift != 0) {
    const __m256i shift = _mm256_set1_epi8(static_cast<char>(kShift));
    excess = {dot_bytes(excess.lo, lo, shift), dot_bytes(excess.hi, hi, shift)};
  }
  for (std::size_t t = 0; t < kTokens; ++t) {
    const __m256i four = broadcast_four(a + t * columns);
    sums[t] = {dot_bytes(sums[t].lo, lo, four), dot_bytes(sums[t].hi, hi, four)};
  }
}

/// One row block and a run of its groups times kTokens tokens. Adds to out unless the run begins the row.
/// @tparam kTiles  tiles of a group, 0 if only known at run time
/// @param known  [groups] of the run, the weights' dot products with the shift; nullptr: every weight is read once, and
///               they are found on the way
template <int kTokens, std::size_t kTiles, bool kIsKnown>
inline void multiply_run(const std::byte* block, const TileShape& shape, std::size_t begin, std::size_t end,
                         const IntLanes* known, const Activations& x, float* out, std::size_t out_stride) {
  const std::size_t group_bytes = kTiles != 0 ? kTiles * kTileBytes : shape.group_bytes();
  Lanes y[kTokens];
  for (std::size_t t = 0; t < kTokens; ++t) y[t] = begin == 0 ? all(0.0F) : load(out + t * out_stride);
  for (std::size_t g = begin; g < end; ++g) {
    const std::byte* tiles = block + shape.tiles_offset(g);
    const auto* scales = reinterpret_cast<const __m128i*>(block + shape.scales_offset(g));
    const std::int8_t* a = x.values + g * shape.group;
    IntLanes sums[kTokens];
    for (auto& lanes : sums) lanes = int_all(0);
    IntLanes excess = kIsKnown ? known[g - begin] : int_all(0);
    if constexpr (kIsKnown || kStraightGroups) {
      if constexpr (!kIsKnown) {  // the tiles of a later group, and a line of scales
        for (std::size_t at = 0; at <= group_bytes; at += kAlignment) __builtin_prefetch(tiles + at + kReadAhead);
      }
#pragma GCC unroll 16
      for (std::size_t at = 0; at < group_bytes; at += kTileBytes, a += kTileColumns) {
        multiply_tile<kTokens, !kIsKnown>(tiles + at, a, x.columns, sums, excess);
      }
    } else {
      __builtin_prefetch(block + shape.scales_offset(g) + kReadAhead);
#pragma GCC unroll 4
      for (std::size_t at = 0; at < group_bytes; at += kTileBytes, a += kTileColumns) {
        __builtin_prefetch(tiles + at + kReadAhead);
        multiply_tile<kTokens, true>(tiles + at, a, x.columns, sums, excess);
      }
    }
    const Lanes w = {_mm256_cvtph_ps(_mm_loadu_si128(scales)), _mm256_cvtph_ps(_mm_loadu_si128(scales + 1))};
    for (std::size_t t = 0; t < kTokens; ++t) {
      const IntLanes exact = kShift != 0 ? int_subtract(sums[t], excess) : sums[t];
      y[t] = fma(to_float(exact), multiply(w, all(x.scales[t * x.groups + g])), y[t]);
    }
  }
  for (std::size_t t = 0; t < kTokens; ++t) store(y[t], out + t * out_stride);
}

/// More than kFewTokens tokens, each set's own way.
void multiply_many(const Matrix& w, std::size_t first_block, std::size_t end_block, const Activations& x,
                   std::size_t tokens, float* out, std::size_t out_stride);

/// One row block times a few tokens, as a decode step has one and a guessed one some: pair by pair, with the first of
/// which the weights come into the cache.
template <std::size_t kTiles>
void multiply_few(const std::byte* block, const TileShape& shape, const Activations& x, std::size_t tokens, float* y,
                  std::size_t out_stride) {
  for (std::size_t t = 0; t < tokens; t += 2) {
    const auto run = t + 1 < tokens ? multiply_run<2, kTiles, false> : multiply_run<1, kTiles, false>;
    run(block, shape, 0, x.groups, nullptr, x.from_row(t), y + t * out_stride, out_stride);
  }
}

void multiply_matrix(const Matrix& w, std::size_t first_block, std::size_t end_block, const Activations& x,
                     std::size_t tokens, float* out, std::size_t out_stride) {
  if (tokens > kFewTokens) return multiply_many(w, first_block, end_block, x, tokens, out, out_stride);
  const auto multiply_one = w.shape.group == 32   ? multiply_few<8>
                            : w.shape.group == 64 ? multiply_few<16>
                                                  : multiply_few<0>;
  for (std::size_t block = first_block; block < end_block; ++block) {
    multiply_one(w.blocks + block * w.shape.block_bytes(), w.shape, x, tokens, out + block * kTileRows, out_stride);
  }
}
