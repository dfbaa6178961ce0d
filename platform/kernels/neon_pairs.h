// Dot products of bytes without an instruction for them: two products of bytes fit 16 bits (2 * 128 * 127 = 32512), and
// are then added in pairs to sums of 32 bits: three instructions for 16 multiply-adds. For ARMv8.0 and, with halves of
// the registers, ARMv7. To be included once, inside a set's unnamed namespace, after its Lanes.

/// Where token t's four activations for the tile of columns [c, c + 4) lie: x + c / 4 * quad_stride + t * token_stride.
struct Quads {
  const std::int8_t* x;
  std::size_t quad_stride;
  std::size_t token_stride;
};

#ifdef __aarch64__
using Quad = int8x16_t;  ///< four activations again and again, for both halves of a register of weights
inline Quad dup_quad(std::int32_t four) { return vreinterpretq_s8_s32(vdupq_n_s32(four)); }
inline int16x8_t multiply_low(int8x16_t w, Quad x) { return vmull_s8(vget_low_s8(w), vget_low_s8(x)); }
inline int16x8_t multiply_high(int8x16_t w, Quad x) { return vmull_high_s8(w, x); }
inline int16x8_t add_low(int16x8_t sum, int8x16_t w, Quad x) { return vmlal_s8(sum, vget_low_s8(w), vget_low_s8(x)); }
inline int16x8_t add_high(int16x8_t sum, int8x16_t w, Quad x) { return vmlal_high_s8(sum, w, x); }
#else
using Quad = int8x8_t;  ///< four activations, twice
inline Quad dup_quad(std::int32_t four) { return vreinterpret_s8_s32(vdup_n_s32(four)); }
inline int16x8_t multiply_low(int8x16_t w, Quad x) { return vmull_s8(vget_low_s8(w), x); }
inline int16x8_t multiply_high(int8x16_t w, Quad x) { return vmull_s8(vget_high_s8(w), x); }
inline int16x8_t add_low(int16x8_t sum, int8x16_t w, Quad x) { return vmlal_s8(sum, vget_low_s8(w), x); }
inline int16x8_t add_high(int16x8_t sum, int8x16_t w, Quad x) { return vmlal_s8(sum, vget_high_s8(w), x); }
#endif

inline Quad load_quad(const std::int8_t* p) {
  std::int32_t four;
  std::memcpy(&four, p, sizeof four);
  return dup_quad(four);
}

#ifdef __aarch64__
using Four = int16x8_t;  ///< four 16-bit elements, twice, for both halves of a register of rows
inline Four load_four(const std::int8_t* p) {
  return vreinterpretq_s16_s64(vld1q_dup_s64(reinterpret_cast<const std::int64_t*>(p)));
}
inline int32x4_t add_first(int32x4_t sum, int16x8_t rows, Four x) {
  return vmlal_s16(sum, vget_low_s16(rows), vget_low_s16(x));
}
inline int32x4_t add_second(int32x4_t sum, int16x8_t rows, Four x) { return vmlal_high_s16(sum, rows, x); }
#else
using Four = int16x4_t;  ///< four 16-bit elements
inline Four load_four(const std::int8_t* p) { return vld1_s16(reinterpret_cast<const std::int16_t*>(p)); }
inline int32x4_t add_first(int32x4_t sum, int16x8_t rows, Four x) { return vmlal_s16(sum, vget_low_s16(rows), x); }
inline int32x4_t add_second(int32x4_t sum, int16x8_t rows, Four x) { return vmlal_s16(sum, vget_high_s16(rows), x); }
#endif

/// Four rows' sums from those of their input pairs.
inline int32x4_t fold(int32x4_t a, int32x4_t b) {
#ifdef __aarch64__
  return vpaddq_s32(a, b);
#else
  return vcombine_s32(vpadd_s32(vget_low_s32(a), vget_high_s32(a)), vpadd_s32(vget_low_s32(b), vget_high_s32(b)));
#endif
}
inline void set_rows(IntLanes& lanes, std::size_t k, int32x4_t rows) {
#ifdef __aarch64__
  lanes.v[k] = rows;
#else
  vst1q_s32(lanes.v + 4 * k, rows);
#endif
}

/// Rows [first, first + 4 kQuarters) of the tiles times kTokens tokens.
/// @param columns  a multiple of 8
template <std::size_t kQuarters, std::size_t kTokens>
inline void dot_rows(const std::int8_t* tiles, std::size_t first, std::size_t columns, Quads quads, IntLanes* sums) {
  int32x4_t pairs[kTokens][2 * kQuarters];  // of two rows each: inputs 0 and 1, inputs 2 and 3
  for (auto& of_token : pairs) {
    for (auto& v : of_token) v = vdupq_n_s32(0);
  }
  const std::int8_t* w = tiles + first * kTileColumns;
  const std::int8_t* x = quads.x;
  for (std::size_t c = 0; c < columns; c += 2 * kTileColumns, w += 2 * kTileBytes, x += 2 * quads.quad_stride) {
    Quad even[kTokens];
    Quad odd[kTokens];
    for (std::size_t t = 0; t < kTokens; ++t) {
      even[t] = load_quad(x + t * quads.token_stride);
      odd[t] = load_quad(x + quads.quad_stride + t * quads.token_stride);
    }
    for (std::size_t k = 0; k < kQuarters; ++k) {
      const int8x16_t a = vld1q_s8(w + 16 * k);
      const int8x16_t b = vld1q_s8(w + kTileBytes + 16 * k);
      for (std::size_t t = 0; t < kTokens; ++t) {
        const int16x8_t low = add_low(multiply_low(a, even[t]), b, odd[t]);
        const int16x8_t high = add_high(multiply_high(a, even[t]), b, odd[t]);
        pairs[t][2 * k] = vpadalq_s16(pairs[t][2 * k], low);
        pairs[t][2 * k + 1] = vpadalq_s16(pairs[t][2 * k + 1], high);
      }
    }
  }
  for (std::size_t t = 0; t < kTokens; ++t) {
    for (std::size_t k = 0; k < kQuarters; ++k) {
      set_rows(sums[t], first / 4 + k, fold(pairs[t][2 * k], pairs[t][2 * k + 1]));
    }
  }
}

/// All 16 rows, as many at a time as there are registers for.
template <std::size_t kTokens>
inline void dot_tiles(const std::int8_t* tiles, std::size_t columns, Quads quads, IntLanes* sums) {
  for (std::size_t first = 0; first < kTileRows; first += 4 * kQuartersAtOnce) {
    dot_rows<kQuartersAtOnce, kTokens>(tiles, first, columns, quads, sums);
  }
}

template <std::size_t kTokens, std::size_t kGroup>
inline void dot_group(const std::int8_t* tiles, std::size_t group, const std::int8_t* x, std::size_t columns,
                      IntLanes* sums) {
  dot_tiles<kTokens>(tiles, kGroup != 0 ? kGroup : group,
                     {.x = x, .quad_stride = kTileColumns, .token_stride = columns}, sums);
}
constexpr std::size_t kPassTokens = 2;
constexpr std::size_t kKeptTokens = 1;

/// kCount of x from `first` on times rows [4 kWideQuarters part, ...) of every block, in 16 bits: a row's four products
/// become four sums, that are only added to each other at the end.
template <std::size_t kCount>
void dot_wide_part(const WideRows& x, std::size_t first, std::size_t part, const TileBlocks& blocks, bool adds,
                   std::int32_t* out, std::size_t out_stride) {
  constexpr std::size_t kRows = 4 * kWideQuarters;
  for (std::size_t b = 0; b < blocks.count; ++b) {
    const std::int8_t* tile = blocks.tiles + b * blocks.stride + part * kRows * kTileColumns;
    const std::int8_t* values = x.values + first * kWideBytes;
    int32x4_t sums[kCount][kRows];
    // In registers only if no loop is left that runs over them.
#pragma GCC unroll 3
    for (std::size_t q = 0; q < kCount; ++q) {
#pragma GCC unroll 8
      for (std::size_t r = 0; r < kRows; ++r) sums[q][r] = vdupq_n_s32(0);
    }
    for (std::size_t c = 0; c < x.columns; c += 16, values += x.count * kWideBytes) {
#pragma GCC unroll 1
      for (std::size_t step = 0; step < 4; ++step, tile += kTileBytes) {
        Four four[kCount];
#pragma GCC unroll 3
        for (std::size_t q = 0; q < kCount; ++q) four[q] = load_four(values + q * kWideBytes + step * 8);
#pragma GCC unroll 2
        for (std::size_t k = 0; k < kWideQuarters; ++k) {
          const int8x16_t rows = vld1q_s8(tile + 16 * k);
          const int16x8_t two[2] = {vmovl_s8(vget_low_s8(rows)), vmovl_s8(vget_high_s8(rows))};
#pragma GCC unroll 2
          for (std::size_t half = 0; half < 2; ++half) {
#pragma GCC unroll 3
            for (std::size_t q = 0; q < kCount; ++q) {
              int32x4_t* const of_rows = sums[q] + 4 * k + 2 * half;
              of_rows[0] = add_first(of_rows[0], two[half], four[q]);
              of_rows[1] = add_second(of_rows[1], two[half], four[q]);
            }
          }
        }
      }
    }
#pragma GCC unroll 3
    for (std::size_t q = 0; q < kCount; ++q) {
      std::int32_t* const y = out + (first + q) * out_stride + b * kTileRows + part * kRows;
#pragma GCC unroll 2
      for (std::size_t k = 0; k < kWideQuarters; ++k) {
        const int32x4_t* const of_rows = sums[q] + 4 * k;
        const int32x4_t rows = fold(fold(of_rows[0], of_rows[1]), fold(of_rows[2], of_rows[3]));
        vst1q_s32(y + 4 * k, adds ? vaddq_s32(vld1q_s32(y + 4 * k), rows) : rows);
      }
    }
  }
}

void dot_wide(const WideRows& x, const TileBlocks& blocks, bool adds, std::int32_t* out, std::size_t out_stride) {
  for (std::size_t part = 0; part < kTileRows / (4 * kWideQuarters); ++part) {
    for_runs<kWideRows>(x.count, [&]<std::size_t kCount>(std::size_t first) {
      dot_wide_part<kCount>(x, first, part, blocks, adds, out, out_stride);
    });
  }
}
