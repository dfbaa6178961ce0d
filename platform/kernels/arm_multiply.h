// The matrix loops that every ARM set shares. To be included once, inside a set's unnamed namespace, after its Lanes
// and
//
//   template <std::size_t kTokens>
//   void dot_group(const std::int8_t* tiles, std::size_t group, const std::int8_t* x, std::size_t columns, IntLanes*
//   sums)
//     sums[t] = the dot products of a group's 16 rows with token t, whose activations begin at x + t * columns
//   load_scales(p): 16 binary16 as Lanes
//   kPassTokens: how many tokens' sums its registers hold beside the weights

/// Groups of a row block that stay in a first-level cache of 32 KiB while all tokens pass: 17 KiB in groups of 32.
constexpr std::size_t kPanelBytes = 16384;

inline const std::int8_t* tiles_at(const std::byte* block, const TileShape& shape, std::size_t g) {
  return reinterpret_cast<const std::int8_t*>(block + shape.tiles_offset(g));
}

/// y + sums * (w * x), as every set does it.
inline Lanes add_scaled(Lanes y, const IntLanes& sums, const Lanes& w, float x) {
  return fma(to_float(sums), multiply(w, all(x)), y);
}

/// One row block times one token: every byte is read once, in the order in which it lies in memory.
inline void multiply_vector(const std::byte* block, const TileShape& shape, const Activations& x, float* out) {
  Lanes y = all(0.0F);
  for (std::size_t g = 0; g < x.groups; ++g) {
    const std::int8_t* const tiles = tiles_at(block, shape, g);
    for (std::size_t at = 0; at < shape.group_bytes(); at += kAlignment) __builtin_prefetch(tiles + at + kReadAhead);
    IntLanes sums;
    dot_group<1>(tiles, shape.group, x.values + g * shape.group, x.columns, &sums);
    y = add_scaled(y, sums, load_scales(block + shape.scales_offset(g)), x.scales[g]);
  }
  store(y, out);
}

/// Groups [begin, end) of a row block times kTokens tokens: every weight is loaded once for all of them. The results
/// stay in memory between groups, because all registers are the sums'.
template <std::size_t kTokens>
void multiply_pass(const std::byte* block, const TileShape& shape, std::size_t begin, std::size_t end,
                   const Activations& x, float* out, std::size_t out_stride) {
  for (std::size_t g = begin; g < end; ++g) {
    IntLanes sums[kTokens];
    dot_group<kTokens>(tiles_at(block, shape, g), shape.group, x.values + g * shape.group, x.columns, sums);
    const Lanes w = load_scales(block + shape.scales_offset(g));
    for (std::size_t t = 0; t < kTokens; ++t) {
      float* const y = out + t * out_stride;
      store(add_scaled(g == 0 ? all(0.0F) : load(y), sums[t], w, x.scales[t * x.groups + g]), y);
    }
  }
}

using MultiplyPass = void (*)(const std::byte*, const TileShape&, std::size_t, std::size_t, const Activations&, float*,
                              std::size_t);

template <std::size_t... kCounts>
constexpr std::array<MultiplyPass, sizeof...(kCounts)> passes_of(std::index_sequence<kCounts...> /*counts*/) {
  return {multiply_pass<kCounts + 1>...};
}
/// For 1 to kPassTokens tokens.
constexpr auto kPasses = passes_of(std::make_index_sequence<kPassTokens>());

/// One row block times any number of tokens, in passes of nearly equal size.
inline void multiply_block(const std::byte* block, const TileShape& shape, const Activations& x, std::size_t tokens,
                           float* out, std::size_t out_stride) {
  const std::size_t panel = kPanelBytes / shape.group_bytes() + (kPanelBytes < shape.group_bytes() ? 1 : 0);
  const std::size_t passes = (tokens + kPassTokens - 1) / kPassTokens;
  for (std::size_t begin = 0; begin < x.groups; begin += panel) {
    const std::size_t end = begin + panel < x.groups ? begin + panel : x.groups;
    for (std::size_t pass = 0; pass < passes; ++pass) {
      const std::size_t t = tokens * pass / passes;
      const std::size_t count = tokens * (pass + 1) / passes - t;
      kPasses[count - 1](block, shape, begin, end, x.from_row(t), out + t * out_stride, out_stride);
    }
  }
}

void multiply_matrix(const Matrix& w, std::size_t first_block, std::size_t end_block, const Activations& x,
                     std::size_t tokens, float* out, std::size_t out_stride) {
  for (std::size_t b = first_block; b < end_block; ++b) {
    const std::byte* const block = w.blocks + b * w.shape.block_bytes();
    if (tokens == 1) {
      multiply_vector(block, w.shape, x, out + b * kTileRows);
    } else {
      multiply_block(block, w.shape, x, tokens, out + b * kTileRows, out_stride);
    }
  }
}

// A limit that `rill bench` measures.
std::uint64_t read_bytes(const std::byte* bytes, std::size_t size) {
  constexpr std::size_t kSums = 8;
  uint64x2_t sums[kSums];
  for (auto& sum : sums) sum = vdupq_n_u64(0);
  const auto* const words = reinterpret_cast<const std::uint64_t*>(bytes);
  for (std::size_t i = 0; i < size / sizeof *words; i += 2 * kSums) {
    __builtin_prefetch(words + i + kReadAhead / sizeof *words);
    __builtin_prefetch(words + i + (kReadAhead + kAlignment) / sizeof *words);
    for (std::size_t k = 0; k < kSums; ++k) sums[k] = vaddq_u64(sums[k], vld1q_u64(words + i + 2 * k));
  }
  for (std::size_t k = 1; k < kSums; ++k) sums[0] = vaddq_u64(sums[0], sums[k]);
  return vgetq_lane_u64(sums[0], 0) + vgetq_lane_u64(sums[0], 1);
}
