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

/// kRows of x from `first` on: every tile is loaded once for all of them.
template <std::size_t kRows>
void dot_wide_rows(const WideRows& x, std::size_t first, const TileBlocks& blocks, bool adds, std::int32_t* out,
                   std::size_t out_stride) {
  for (std::size_t b = 0; b < blocks.count; ++b) {
    const std::int8_t* tile = blocks.tiles + b * blocks.stride;
    const std::int8_t* values = x.values + first * kWideBytes;
    IntLanes high[kRows];
    IntLanes low[kRows];
    clear(high);
    clear(low);
    for (std::size_t c = 0; c < x.columns; c += 16, values += x.count * kWideBytes, tile += 4 * kTileBytes) {
      int8x16_t of_high[kRows];
      int8x16_t of_low[kRows];
      for (std::size_t q = 0; q < kRows; ++q) {
        of_high[q] = vld1q_s8(values + q * kWideBytes);
        of_low[q] = vld1q_s8(values + q * kWideBytes + 16);
      }
      const auto step = [&]<int kLane>() __attribute__((always_inline)) {
        for (int k = 0; k < 4; ++k) {
          const int8x16_t rows = vld1q_s8(tile + kLane * kTileBytes + 16 * k);
          for (std::size_t q = 0; q < kRows; ++q) {
            high[q].v[k] = vdotq_laneq_s32(high[q].v[k], rows, of_high[q], kLane);
            low[q].v[k] = vdotq_laneq_s32(low[q].v[k], rows, of_low[q], kLane);
          }
        }
      };
      step.template operator()<0>();
      step.template operator()<1>();
      step.template operator()<2>();
      step.template operator()<3>();
    }
    for (std::size_t q = 0; q < kRows; ++q) {
      std::int32_t* const y = out + (first + q) * out_stride + b * kTileRows;
      const IntLanes sums = int_add(times_256(high[q]), low[q]);
      store_int32(adds ? int_add(load_int32(y), sums) : sums, y);
    }
  }
}

void dot_wide(const WideRows& x, const TileBlocks& blocks, bool adds, std::int32_t* out, std::size_t out_stride) {
  for_runs<3>(x.count, [&]<std::size_t kRows>(std::size_t first) {  // three are 24 registers of sums
    dot_wide_rows<kRows>(x, first, blocks, adds, out, out_stride);
  });
}
