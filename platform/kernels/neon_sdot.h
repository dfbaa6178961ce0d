// Dot products by sdot, which adds four products of bytes to each of four sums, for the two sets that have it: every
// register of a tile is four rows' operand as it lies in memory. To be included once, inside a set's unnamed namespace,
// after neon_lanes.h.

template <std::size_t kTokens>
inline void clear(IntLanes (&sums)[kTokens]) {
  for (auto& lanes : sums) lanes = int_all(0);
}

/// sums[t] += a tile times the kLane-th four activations in x[t].
template <int kLane, std::size_t kTokens>
inline void add_tile(const std::int8_t* tile, const int8x16_t (&x)[kTokens], IntLanes (&sums)[kTokens]) {
  const int8x16x4_t all_rows = vld1q_s8_x4(tile);
  const auto& w = all_rows.val;
  for (int k = 0; k < 4; ++k) {
    for (std::size_t t = 0; t < kTokens; ++t) sums[t].v[k] = vdotq_laneq_s32(sums[t].v[k], w[k], x[t], kLane);
  }
}

template <std::size_t kTokens, std::size_t kGroup>
inline void dot_group_by_sdot(const std::int8_t* tiles, std::size_t group, const std::int8_t* x, std::size_t columns,
                              IntLanes* result) {
  IntLanes sums[kTokens];
  clear(sums);
#pragma GCC unroll 4
  for (std::size_t c = 0; c < (kGroup != 0 ? kGroup : group); c += 16, tiles += 4 * kTileBytes) {
    int8x16_t four[kTokens];
    for (std::size_t t = 0; t < kTokens; ++t) four[t] = vld1q_s8(x + t * columns + c);
    add_tile<0>(tiles, four, sums);
    add_tile<1>(tiles + kTileBytes, four, sums);
    add_tile<2>(tiles + 2 * kTileBytes, four, sums);
    add_tile<3>(tiles + 3 * kTileBytes, four, sums);
  }
  for (std::size_t t = 0; t < kTokens; ++t) result[t] = sums[t];
}

/// kCount queries from `first` on: every key is loaded once for all of them.
template <std::size_t kCount>
inline void score_queries(const Queries& queries, std::size_t first, std::size_t stride, const std::int8_t* keys,
                          const float* scales, std::size_t tiles, float* out, std::size_t out_stride) {
  constexpr std::size_t kParts = 2 * kTileColumns;
  for (std::size_t tile = 0; tile < tiles; ++tile) {
    IntLanes high[kCount];
    IntLanes low[kCount];
    clear(high);
    clear(low);
    const std::int8_t* parts = queries.values + first * kParts;
    for (std::size_t c = 0; c < stride; c += kTileColumns, keys += kTileBytes, parts += queries.count * kParts) {
      int8x8_t x[kCount];
      for (std::size_t q = 0; q < kCount; ++q) x[q] = vld1_s8(parts + q * kParts);
      for (int k = 0; k < 4; ++k) {
        const int8x16_t key = vld1q_s8(keys + 16 * k);
        for (std::size_t q = 0; q < kCount; ++q) {
          high[q].v[k] = vdotq_lane_s32(high[q].v[k], key, x[q], 0);
          low[q].v[k] = vdotq_lane_s32(low[q].v[k], key, x[q], 1);
        }
      }
    }
    const Lanes of_keys = load(scales + tile * kTileRows);
    for (std::size_t q = 0; q < kCount; ++q) {
      const Lanes scale = multiply(all(queries.scales[first + q]), of_keys);
      store(multiply(to_float(int_add(times_128(high[q]), low[q])), scale),
            out + (first + q) * out_stride + tile * kTileRows);
    }
  }
}

void score(const Queries& queries, std::size_t stride, const std::int8_t* keys, const float* scales, std::size_t tiles,
           float* out, std::size_t out_stride) {
  std::size_t q = 0;  // three queries are 24 registers of sums
  for (; q + 3 <= queries.count; q += 3) score_queries<3>(queries, q, stride, keys, scales, tiles, out, out_stride);
  for (; q + 2 <= queries.count; q += 2) score_queries<2>(queries, q, stride, keys, scales, tiles, out, out_stride);
  for (; q < queries.count; ++q) score_queries<1>(queries, q, stride, keys, scales, tiles, out, out_stride);
}
