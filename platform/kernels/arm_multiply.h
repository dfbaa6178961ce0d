// The matrix loops that every ARM set shares. To be included once, inside a set's unnamed namespace, after its Lanes
// and
//
//   template <std::size_t kTokens, std::size_t kGroup>
//   void dot_group(const std::int8_t* tiles, std::size_t group, const std::int8_t* x, std::size_t columns, IntLanes*
//   sums)
//     sums[t] = the dot products of a group's 16 rows with token t, whose activations begin at x + t * columns;
//     kGroup is group, or 0 if it is only known at run time
//   load_scales(p): 16 binary16 as Lanes
//   kPassTokens: how many tokens' sums its registers hold beside the weights
//   kKeptTokens: of how many tokens they hold the results between groups as well
//   kStraightTokens: for how many tokens at most a group of known size is made straight code

#include "platform/kernels/next_lines.h"

/// Groups of a row block that stay in a first-level cache of 32 KiB while all tokens pass: 17 KiB in groups of 32.
constexpr std::size_t kPanelBytes = 16384;

/// y + sums * (w * x), as every set does it.
inline Lanes add_scaled(Lanes y, const IntLanes& sums, const Lanes& w, float x) {
  return fma(to_float(sums), multiply(w, all(x)), y);
}

/// Groups [begin, end) of a row block times kTokens tokens: every weight is loaded once for all of them, in the order
/// in which it lies in memory. Adds to out unless the run begins the rows.
/// @param begin  even, as two groups share a line of scales
template <std::size_t kTokens, std::size_t kGroup>
void multiply_run(const std::byte* block, const TileShape& shape, std::size_t begin, std::size_t end,
                  const Activations& x, float* out, std::size_t out_stride) {
  const std::size_t group = kGroup != 0 ? kGroup : shape.group;
  const std::size_t group_bytes = group * kTileRows;
  const std::size_t pair_bytes = 2 * (kScaleBytes + group_bytes);
  const std::byte* pair = block + begin / 2 * pair_bytes;
  const std::int8_t* values = x.values + begin * group;
  Lanes kept[kTokens <= kKeptTokens ? kTokens : 1];
  if constexpr (kTokens <= kKeptTokens) {
    for (std::size_t t = 0; t < kTokens; ++t) kept[t] = begin == 0 ? all(0.0F) : load(out + t * out_stride);
  }
  const auto add_group = [&](std::size_t g, std::size_t half) __attribute__((always_inline)) {
    const std::byte* const tiles = pair + 2 * kScaleBytes + half * group_bytes;
    if constexpr (kTokens == 1) {
#pragma GCC unroll 16
      for (std::size_t at = 0; at < group_bytes; at += kAlignment) __builtin_prefetch(tiles + at + kReadAhead);
    }
    IntLanes sums[kTokens];
    dot_group<kTokens, kGroup>(reinterpret_cast<const std::int8_t*>(tiles), group, values + half * group, x.columns,
                               sums);
    const Lanes w = load_scales(pair + half * kScaleBytes);
    for (std::size_t t = 0; t < kTokens; ++t) {
      const float scale = x.scales[t * x.groups + g + half];
      if constexpr (kTokens <= kKeptTokens) {
        kept[t] = add_scaled(kept[t], sums[t], w, scale);
      } else {
        float* const y = out + t * out_stride;
        store(add_scaled(load(y), sums[t], w, scale), y);
      }
    }
  };
  if constexpr (kTokens > kKeptTokens) {
    if (begin == 0) {
      for (std::size_t t = 0; t < kTokens; ++t) store(all(0.0F), out + t * out_stride);
    }
  }
  std::size_t g = begin;
  for (; g + 2 <= end; g += 2, pair += pair_bytes, values += 2 * group) {
    add_group(g, 0);
    add_group(g, 1);
  }
  if constexpr (kGroup == 0) {
    if (g < end) add_group(g, 0);
  }
  if constexpr (kTokens <= kKeptTokens) {
    for (std::size_t t = 0; t < kTokens; ++t) store(kept[t], out + t * out_stride);
  }
  if constexpr (kGroup != 0) {  // an odd last group is not worth another copy of the straight code
    if (g < end) multiply_run<kTokens, 0>(block, shape, g, end, x, out, out_stride);
  }
}

using MultiplyRun = void (*)(const std::byte*, const TileShape&, std::size_t, std::size_t, const Activations&, float*,
                             std::size_t);

template <std::size_t kGroup, std::size_t... kCounts>
constexpr std::array<MultiplyRun, sizeof...(kCounts)> runs_of(std::index_sequence<kCounts...> /*counts*/) {
  return {multiply_run<kCounts + 1, (kCounts < kStraightTokens ? kGroup : 0)>...};
}
/// For 1 to kPassTokens tokens.
template <std::size_t kGroup>
constexpr auto kRuns = runs_of<kGroup>(std::make_index_sequence<kPassTokens>());

/// One row block times any number of tokens, in passes of nearly equal size.
inline void multiply_block(const MultiplyRun* runs, const std::byte* block, const TileShape& shape,
                           const Activations& x, std::size_t tokens, float* out, std::size_t out_stride) {
  const std::size_t passes = (tokens + kPassTokens - 1) / kPassTokens;
  if (passes == 1) {  // every weight is read once: no panel
    runs[tokens - 1](block, shape, 0, x.groups, x, out, out_stride);
    return;
  }
  const std::size_t pairs = kPanelBytes / (2 * shape.group_bytes());
  const std::size_t panel = 2 * (pairs == 0 ? 1 : pairs);  // whole pairs of groups
  for (std::size_t begin = 0; begin < x.groups; begin += panel) {
    const std::size_t end = begin + panel < x.groups ? begin + panel : x.groups;
    const NextLines next = NextLines::behind(block, shape, end, panel);
    for (std::size_t pass = 0; pass < passes; ++pass) {
      const std::size_t t = tokens * pass / passes;
      const std::size_t count = tokens * (pass + 1) / passes - t;
      next.fetch(pass, pass + 1, passes);
      runs[count - 1](block, shape, begin, end, x.from_row(t), out + t * out_stride, out_stride);
    }
  }
}

void multiply_matrix(const Matrix& w, std::size_t first_block, std::size_t end_block, const Activations& x,
                     std::size_t tokens, float* out, std::size_t out_stride) {
  const auto& runs = w.shape.group == 32 ? kRuns<32> : w.shape.group == 64 ? kRuns<64> : kRuns<0>;
  for (std::size_t b = first_block; b < end_block; ++b) {
    multiply_block(runs.data(), w.blocks + b * w.shape.block_bytes(), w.shape, x, tokens, out + b * kTileRows,
                   out_stride);
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
