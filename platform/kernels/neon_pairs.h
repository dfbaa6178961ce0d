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

/// A query's high and low parts meet the keys as two tokens meet weights.
void score(const Queries& queries, std::size_t stride, const std::int8_t* keys, const float* scales, std::size_t tiles,
           float* out, std::size_t out_stride) {
  for (std::size_t tile = 0; tile < tiles; ++tile) {
    const Lanes of_keys = load(scales + tile * kTileRows);
    for (std::size_t q = 0; q < queries.count; ++q) {
      IntLanes parts[2];
      dot_tiles<2>(keys + tile * kTileRows * stride, stride,
                   {.x = queries.values + q * 2 * kTileColumns,
                    .quad_stride = queries.count * 2 * kTileColumns,
                    .token_stride = kTileColumns},
                   parts);
      const Lanes scale = multiply(all(queries.scales[q]), of_keys);
      store(multiply(to_float(int_add(times_128(parts[0]), parts[1])), scale), out + q * out_stride + tile * kTileRows);
    }
  }
}
