// AVX-512 with VNNI: a tile of 16 rows x 4 inputs is one register, a row block's sums another.

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns of its own header: intrinsics that ignore a register pass an undefined one (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <array>
#include <cmath>
#include <cstring>

#include "platform/kernels/kernels.h"

namespace rill::kernels::avx512_vnni {
namespace {

struct Lanes {
  __m512 v;
};
struct IntLanes {
  __m512i v;
};

inline __mmask16 first_lanes(std::size_t n) { return static_cast<__mmask16>((1U << n) - 1U); }

inline Lanes load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Lanes load_part(const float* p, std::size_t n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
inline void store(Lanes a, float* p) { _mm512_storeu_ps(p, a.v); }
inline void store_part(Lanes a, float* p, std::size_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), a.v); }
inline Lanes all(float x) { return {_mm512_set1_ps(x)}; }
inline Lanes multiply(Lanes a, Lanes b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Lanes add(Lanes a, Lanes b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Lanes subtract(Lanes a, Lanes b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Lanes divide(Lanes a, Lanes b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Lanes fma(Lanes a, Lanes b, Lanes c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Lanes larger(Lanes a, Lanes b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Lanes smaller(Lanes a, Lanes b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Lanes magnitude(Lanes a) { return {_mm512_abs_ps(a.v)}; }
template <int kDistance>
inline Lanes swap_lanes(Lanes a) {
  if constexpr (kDistance == 1) return {_mm512_permute_ps(a.v, 0xb1)};
  if constexpr (kDistance == 2) return {_mm512_permute_ps(a.v, 0x4e)};
  if constexpr (kDistance == 4) return {_mm512_shuffle_f32x4(a.v, a.v, 0xb1)};
  if constexpr (kDistance == 8) return {_mm512_shuffle_f32x4(a.v, a.v, 0x4e)};
}
inline float sum_lanes(Lanes a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float largest_lane(Lanes a) { return _mm512_reduce_max_ps(a.v); }

inline IntLanes int_all(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
inline IntLanes int_add(IntLanes a, IntLanes b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline IntLanes round(Lanes a) { return {_mm512_cvtps_epi32(a.v)}; }
inline Lanes to_float(IntLanes a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline Lanes power_of_two(IntLanes a) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(a.v, _mm512_set1_epi32(127)), 23))};
}
inline void store_int8(IntLanes a, std::int8_t* p) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}
[[maybe_unused]] inline void store_int16(IntLanes a, std::int8_t* p) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a.v));
}
inline void store_int32(IntLanes a, std::int32_t* p) { _mm512_storeu_si512(p, a.v); }
inline IntLanes load_int32(const std::int32_t* p) { return {_mm512_loadu_si512(p)}; }

inline IntLanes int_subtract(IntLanes a, IntLanes b) { return {_mm512_sub_epi32(a.v, b.v)}; }
inline IntLanes over_256(IntLanes a) { return {_mm512_srai_epi32(a.v, 8)}; }
inline IntLanes times_256(IntLanes a) { return {_mm512_slli_epi32(a.v, 8)}; }

constexpr int kShift = 128;  // vpdpbusd's unsigned side
constexpr std::size_t kBlocksTogether = 2;
constexpr bool kWideParts = true;

#include "platform/kernels/lane_rules.h"

/// Four int8 activations in every 32-bit lane.
inline __m512i broadcast_four(const std::int8_t* p) {
  std::int32_t four;
  std::memcpy(&four, p, sizeof four);
  return _mm512_set1_epi32(four);
}

inline void prefetch(const std::byte* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0); }

inline __m512 load_scales(const std::byte* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

/// Most tokens of one pass: two row blocks times six tokens are 12 sums and 12 results, which leaves 8 registers.
constexpr std::size_t kPassTokens = 6;

/// One row block times one to six tokens, as a decode step and a drafted one have them: every byte is read once, in the
/// order in which it lies in memory, far enough ahead. The shift of the activations is taken back by one more sum, of
/// 128 times the weights: the dot products wait for memory anyway.
/// @tparam kTiles  tiles of a group, 0 if only known at run time. Known, a group is straight code, and decoding 1.07
///                 to 1.09 times as fast
template <std::size_t kTokens, std::size_t kTiles>
void multiply_few(const std::byte* block, const TileShape& shape, const Activations& x, float* out,
                  std::size_t out_stride) {
  const __m512i shift = _mm512_set1_epi8(-128);  // 128, unsigned
  // Two pointers and one stride reach six rows by the processor's own address arithmetic.
  const std::int8_t* rows[2] = {x.values, x.values + 3 * x.columns};
  const std::byte* p = block;
  __m512 y[kTokens];
  for (auto& v : y) v = _mm512_setzero_ps();
  for (std::size_t g = 0; g < x.groups; ++g) {
    const std::byte* scales = block + shape.scales_offset(g);
    if (g % 2 == 0) {
      prefetch(p + kReadAhead);
      p += 2 * kScaleBytes;
    }
    __m512i sums[kTokens];
    for (auto& v : sums) v = _mm512_setzero_si512();
    __m512i excess = _mm512_setzero_si512();
    const auto step = [&]() __attribute__((always_inline)) {
      prefetch(p + kReadAhead);
      const __m512i w = _mm512_loadu_si512(p);
      excess = _mm512_dpbusd_epi32(excess, shift, w);
      for (std::size_t t = 0; t < kTokens; ++t) {
        sums[t] = _mm512_dpbusd_epi32(sums[t], broadcast_four(rows[t / 3] + t % 3 * x.columns), w);
      }
      rows[0] += kTileColumns;
      rows[1] += kTileColumns;
      p += kTileBytes;
    };
    if constexpr (kTiles != 0) {
#pragma GCC unroll 16
      for (std::size_t i = 0; i < kTiles; ++i) step();
    } else {
      for (std::size_t i = 0; i < shape.group / kTileColumns; ++i) step();
    }
    const __m512 w = load_scales(scales);
    for (std::size_t t = 0; t < kTokens; ++t) {
      const __m512 scale = _mm512_mul_ps(w, _mm512_set1_ps(x.scales[t * x.groups + g]));
      y[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sums[t], excess)), scale, y[t]);
    }
  }
  for (std::size_t t = 0; t < kTokens; ++t) _mm512_storeu_ps(out + t * out_stride, y[t]);
}

using MultiplyFew = void (*)(const std::byte*, const TileShape&, const Activations&, float*, std::size_t);

template <std::size_t kTiles>
constexpr std::array<MultiplyFew, kPassTokens> kFew = {multiply_few<1, kTiles>, multiply_few<2, kTiles>,
                                                       multiply_few<3, kTiles>, multiply_few<4, kTiles>,
                                                       multiply_few<5, kTiles>, multiply_few<6, kTiles>};

/// Groups whose weights, of two row blocks, stay in the first-level cache while all tokens pass.
constexpr std::size_t kPanelGroups = 32;

/// Neighbouring row blocks and a run of their groups.
struct Panel {
  const std::byte* blocks;
  TileShape shape;
  std::size_t begin;
  std::size_t end;
  std::size_t next;         ///< bytes from here to the weights that come next, which are fetched meanwhile:
  std::size_t fetch_begin;  ///< of each group those from here ...
  std::size_t fetch_end;    ///< ... to here by the pass at hand, so that memory is busy all the time
  /// [groups][blocks][16]: -128 times the sum of each row's weights, where a dot product with shifted activations
  /// begins. The first pass finds them.
  alignas(kAlignment) std::int32_t first_sums[kPanelGroups * 2 * kTileRows];
};

/// A panel times kTokens tokens: every weight is loaded once for all tokens, every activation once for all row blocks.
/// Adds to out unless the panel begins its rows.
/// @tparam kTiles  tiles of a group, 0 if only known at run time
template <std::size_t kBlocks, std::size_t kTokens, std::size_t kTiles, bool kFirstPass>
void multiply_panel(Panel& panel, const Activations& x, float* out, std::size_t out_stride) {
  const std::size_t block_bytes = panel.shape.block_bytes();
  const std::size_t columns = x.columns;
  __m512 y[kBlocks][kTokens];
  for (std::size_t t = 0; t < kTokens; ++t) {
    for (std::size_t b = 0; b < kBlocks; ++b) {
      y[b][t] = panel.begin == 0 ? _mm512_setzero_ps() : _mm512_loadu_ps(out + t * out_stride + b * kTileRows);
    }
  }
  std::int32_t* first = panel.first_sums;
  for (std::size_t g = panel.begin; g < panel.end; ++g, first += kBlocks * kTileRows) {
    const std::byte* p = panel.blocks + panel.shape.tiles_offset(g);
    // Two pointers and one stride reach six rows by the processor's own address arithmetic.
    const std::int8_t* const rows[2] = {x.values + g * panel.shape.group,
                                        x.values + g * panel.shape.group + 3 * columns};
    __m512i sums[kBlocks][kTokens];
    __m512i excess[kBlocks];
    for (std::size_t b = 0; b < kBlocks; ++b) {
      excess[b] = _mm512_setzero_si512();
      const __m512i begin = kFirstPass ? _mm512_setzero_si512() : _mm512_load_si512(first + b * kTileRows);
      for (auto& v : sums[b]) v = begin;
    }
    for (std::size_t b = 0; b < kBlocks; ++b) {
      const std::byte* const next = p + b * block_bytes + panel.next;
      if (panel.fetch_begin == 0) prefetch(panel.blocks + b * block_bytes + panel.shape.scales_offset(g) + panel.next);
      for (std::size_t at = panel.fetch_begin; at < panel.fetch_end; at += kTileBytes) prefetch(next + at);
    }
    const auto step = [&](std::size_t i) __attribute__((always_inline)) {
      __m512i w[kBlocks];
      for (std::size_t b = 0; b < kBlocks; ++b) {
        w[b] = _mm512_loadu_si512(p + b * block_bytes + i * kTileBytes);
        if constexpr (kFirstPass) {
          excess[b] = _mm512_dpbusd_epi32(excess[b], _mm512_set1_epi8(-128), w[b]);
        }
      }
      for (std::size_t t = 0; t < kTokens; ++t) {
        const __m512i four = broadcast_four(rows[t / 3] + t % 3 * columns + i * kTileColumns);
        for (std::size_t b = 0; b < kBlocks; ++b) sums[b][t] = _mm512_dpbusd_epi32(sums[b][t], four, w[b]);
      }
    };
    if constexpr (kTiles != 0) {
#pragma GCC unroll 16
      for (std::size_t i = 0; i < kTiles; ++i) step(i);
    } else {
      for (std::size_t i = 0; i < panel.shape.group / kTileColumns; ++i) step(i);
    }
    for (std::size_t b = 0; b < kBlocks; ++b) {
      if constexpr (kFirstPass) {
        const __m512i begin = _mm512_sub_epi32(_mm512_setzero_si512(), excess[b]);
        _mm512_store_si512(first + b * kTileRows, begin);
        for (auto& v : sums[b]) v = _mm512_add_epi32(v, begin);
      }
      const __m512 w = load_scales(panel.blocks + b * block_bytes + panel.shape.scales_offset(g));
      for (std::size_t t = 0; t < kTokens; ++t) {
        const __m512 scale = _mm512_mul_ps(w, _mm512_set1_ps(x.scales[t * x.groups + g]));
        y[b][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[b][t]), scale, y[b][t]);
      }
    }
  }
  for (std::size_t t = 0; t < kTokens; ++t) {
    for (std::size_t b = 0; b < kBlocks; ++b) _mm512_storeu_ps(out + t * out_stride + b * kTileRows, y[b][t]);
  }
}

using MultiplyPanel = void (*)(Panel&, const Activations&, float*, std::size_t);

template <std::size_t kBlocks, std::size_t kTiles, bool kFirstPass>
constexpr std::array<MultiplyPanel, kPassTokens> kPasses = {
    multiply_panel<kBlocks, 1, kTiles, kFirstPass>, multiply_panel<kBlocks, 2, kTiles, kFirstPass>,
    multiply_panel<kBlocks, 3, kTiles, kFirstPass>, multiply_panel<kBlocks, 4, kTiles, kFirstPass>,
    multiply_panel<kBlocks, 5, kTiles, kFirstPass>, multiply_panel<kBlocks, 6, kTiles, kFirstPass>};

/// kBlocks row blocks times any number of tokens, in passes of nearly equal size.
template <std::size_t kBlocks, std::size_t kTiles>
void multiply_blocks(const std::byte* blocks, const TileShape& shape, const Activations& x, std::size_t tokens,
                     float* out, std::size_t out_stride) {
  const std::size_t passes = (tokens + kPassTokens - 1) / kPassTokens;
  Panel panel;
  panel.blocks = blocks;
  panel.shape = shape;
  for (panel.begin = 0; panel.begin < x.groups; panel.begin = panel.end) {
    panel.end = panel.begin + kPanelGroups < x.groups ? panel.begin + kPanelGroups : x.groups;
    // The next panel lies behind this one, or at the start of the next row blocks.
    panel.next = panel.end < x.groups ? shape.tiles_offset(panel.end) - shape.tiles_offset(panel.begin)
                                      : kBlocks * shape.block_bytes() - shape.tiles_offset(panel.begin);
    for (std::size_t pass = 0; pass < passes; ++pass) {
      const std::size_t begin = tokens * pass / passes;
      const std::size_t count = tokens * (pass + 1) / passes - begin;
      const std::size_t group_tiles = shape.group / kTileColumns;
      panel.fetch_begin = group_tiles * pass / passes * kTileBytes;
      panel.fetch_end = group_tiles * (pass + 1) / passes * kTileBytes;
      const auto& kernels = pass == 0 ? kPasses<kBlocks, kTiles, true> : kPasses<kBlocks, kTiles, false>;
      kernels[count - 1](panel, x.from_row(begin), out + begin * out_stride, out_stride);
    }
  }
}

template <std::size_t kTiles>
void multiply_rows(const Matrix& w, std::size_t block, std::size_t end_block, const Activations& x, std::size_t tokens,
                   float* out, std::size_t out_stride) {
  const std::size_t block_bytes = w.shape.block_bytes();
  for (; block + 2 <= end_block; block += 2) {
    multiply_blocks<2, kTiles>(w.blocks + block * block_bytes, w.shape, x, tokens, out + block * kTileRows, out_stride);
  }
  if (block < end_block) {
    multiply_blocks<1, kTiles>(w.blocks + block * block_bytes, w.shape, x, tokens, out + block * kTileRows, out_stride);
  }
}

void multiply_matrix(const Matrix& w, std::size_t first_block, std::size_t end_block, const Activations& x,
                     std::size_t tokens, float* out, std::size_t out_stride) {
  if (tokens <= kPassTokens) {
    const auto& kernels = w.shape.group == 32 ? kFew<8> : w.shape.group == 64 ? kFew<16> : kFew<0>;
    for (std::size_t block = first_block; block < end_block; ++block) {
      kernels[tokens - 1](w.blocks + block * w.shape.block_bytes(), w.shape, x, out + block * kTileRows, out_stride);
    }
    return;
  }
  switch (w.shape.group) {
    case 32:
      return multiply_rows<8>(w, first_block, end_block, x, tokens, out, out_stride);
    case 64:
      return multiply_rows<16>(w, first_block, end_block, x, tokens, out, out_stride);
    default:
      return multiply_rows<0>(w, first_block, end_block, x, tokens, out, out_stride);
  }
}

/// sum += dot products of four unsigned with four signed bytes each. In assembly: with many sums GCC moves them about.
inline void add_dots(__m512i& sum, __m512i bytes, __m512i signed_bytes) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(bytes), "v"(signed_bytes));
}

/// kRows rows of x times kBlocks row blocks: every tile is loaded once for all rows, every four elements once for all
/// blocks. The tile is vpdpbusd's unsigned side, shifted up by 128, so that a row's sums begin at -128 times the sum of
/// its elements.
template <std::size_t kRows, std::size_t kBlocks>
inline void dot_wide_blocks(const WideRows& x, const std::int8_t* tile, std::size_t stride, bool adds,
                            std::int32_t* out, std::size_t out_stride) {
  const __m512i shift = _mm512_set1_epi8(-128);
  const std::int8_t* values = x.values;
  __m512i high[kRows][kBlocks];
  __m512i low[kRows][kBlocks];
#pragma GCC unroll 6
  for (std::size_t q = 0; q < kRows; ++q) {
#pragma GCC unroll 4
    for (std::size_t b = 0; b < kBlocks; ++b) {
      high[q][b] = _mm512_setzero_si512();
      low[q][b] = _mm512_set1_epi32(less_shift(x.sums[q]));
    }
  }
  for (std::size_t c = 0; c < x.columns; c += 16, values += kRows * kWideBytes) {
#pragma GCC unroll 4
    for (std::size_t step = 0; step < 4; ++step, tile += kTileBytes) {
      __m512i rows[kBlocks];
#pragma GCC unroll 4
      for (std::size_t b = 0; b < kBlocks; ++b) {
        prefetch(reinterpret_cast<const std::byte*>(tile) + b * stride + kReadAhead);
        rows[b] = _mm512_xor_si512(_mm512_loadu_si512(tile + b * stride), shift);
      }
#pragma GCC unroll 6
      for (std::size_t q = 0; q < kRows; ++q) {
        const std::int8_t* const four = values + q * kWideBytes + step * kTileColumns;
        const __m512i of_high = broadcast_four(four);
#pragma GCC unroll 4
        for (std::size_t b = 0; b < kBlocks; ++b) add_dots(high[q][b], rows[b], of_high);
        const __m512i of_low = broadcast_four(four + 16);
#pragma GCC unroll 4
        for (std::size_t b = 0; b < kBlocks; ++b) add_dots(low[q][b], rows[b], of_low);
      }
    }
  }
#pragma GCC unroll 6
  for (std::size_t q = 0; q < kRows; ++q) {
#pragma GCC unroll 4
    for (std::size_t b = 0; b < kBlocks; ++b) {
      std::int32_t* const y = out + q * out_stride + b * kTileRows;
      const __m512i sums = _mm512_add_epi32(_mm512_slli_epi32(high[q][b], 8), low[q][b]);
      _mm512_storeu_si512(y, adds ? _mm512_add_epi32(_mm512_loadu_si512(y), sums) : sums);
    }
  }
}

/// Blocks at a time: as many as there are registers for, 12 pairs of sums.
template <std::size_t kRows>
void dot_wide_rows(const WideRows& x, const TileBlocks& blocks, bool adds, std::int32_t* out, std::size_t out_stride) {
  constexpr std::size_t kBlocks = kRows <= 3 ? 4 : 2;
  std::size_t b = 0;
  for (; b + kBlocks <= blocks.count; b += kBlocks) {
    dot_wide_blocks<kRows, kBlocks>(x, blocks.tiles + b * blocks.stride, blocks.stride, adds, out + b * kTileRows,
                                    out_stride);
  }
  for (; b < blocks.count; ++b) {
    dot_wide_blocks<kRows, 1>(x, blocks.tiles + b * blocks.stride, 0, adds, out + b * kTileRows, out_stride);
  }
}

void dot_wide(const WideRows& x, const TileBlocks& blocks, bool adds, std::int32_t* out, std::size_t out_stride) {
  constexpr auto kByCount = std::array{dot_wide_rows<1>, dot_wide_rows<2>, dot_wide_rows<3>,
                                       dot_wide_rows<4>, dot_wide_rows<5>, dot_wide_rows<6>};
  kByCount[x.count - 1](x, blocks, adds, out, out_stride);
}

// The limits that `rill bench` measures.

std::uint64_t read_bytes(const std::byte* bytes, std::size_t size) {
  constexpr std::size_t kSums = 16;
  __m512i sums[kSums];
  for (auto& sum : sums) sum = _mm512_setzero_si512();
  for (std::size_t i = 0; i < size; i += kSums * sizeof(__m512i)) {
    for (std::size_t k = 0; k < kSums; ++k) {
      sums[k] = _mm512_add_epi64(sums[k], _mm512_load_si512(bytes + i + k * sizeof(__m512i)));
    }
  }
  for (std::size_t k = 1; k < kSums; ++k) sums[0] = _mm512_add_epi64(sums[0], sums[k]);
  alignas(64) std::uint64_t lanes[8];
  _mm512_store_si512(lanes, sums[0]);
  std::uint64_t sum = 0;
  for (const std::uint64_t lane : lanes) sum += lane;
  return sum;
}

// In assembly: compilers move the sums about. What is in the registers does not matter.
#define RILL_PEAK_STEP(n) "vpdpbusd %%zmm15, %%zmm15, %%zmm" #n "\n\t"
std::uint64_t dot_products(std::uint64_t rounds) {
  for (std::uint64_t round = 0; round < rounds; ++round) {
    __asm__ volatile(RILL_PEAK_STEP(0) RILL_PEAK_STEP(1) RILL_PEAK_STEP(2) RILL_PEAK_STEP(3) RILL_PEAK_STEP(4)
                         RILL_PEAK_STEP(5) RILL_PEAK_STEP(6) RILL_PEAK_STEP(7) RILL_PEAK_STEP(8) RILL_PEAK_STEP(9)
                             RILL_PEAK_STEP(10) RILL_PEAK_STEP(11)
                     :
                     :
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                       "xmm11");
  }
  return rounds * 12 * sizeof(__m512i);
}

}  // namespace

extern const KernelSet kSet;
constinit const KernelSet kSet =
    RILL_KERNEL_ROW("avx512_vnni", cpu_feature::kAvx2 | cpu_feature::kAvx512 | cpu_feature::kAvx512Vnni);

}  // namespace rill::kernels::avx512_vnni
