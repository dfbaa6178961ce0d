// What each kernel costs, for every kernel set that this CPU runs: bytes/s where reading bounds it, multiply-adds/s
// where computing does, and the share of what the same set can read or multiply when nothing else is asked of it. One
// thread. `rill bench` measures whole models; this tells which kernel to look at.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "platform/cpu.h"
#include "platform/half.h"
#include "platform/kernels/kernels.h"

namespace rill::kernels {
namespace {

/// An array on 64 bytes, as the arena has it.
template <typename T>
class Aligned {
 public:
  explicit Aligned(std::size_t size, T value = {})
      : data_(static_cast<T*>(::operator new (size * sizeof(T) + kAlignment, std::align_val_t{kAlignment}))),
        size_(size) {
    std::fill_n(data_.get(), size, value);
  }
  T* data() const { return data_.get(); }
  std::size_t bytes() const { return size_ * sizeof(T); }

 private:
  struct Free {
    void operator()(T* p) const { ::operator delete (p, std::align_val_t{kAlignment}); }
  };
  std::unique_ptr<T, Free> data_;
  std::size_t size_;
};

constexpr std::size_t kGroup = 32;
constexpr std::size_t kHidden = 576;  // SmolLM2-135M
constexpr std::size_t kMlpWidth = 1536;

/// Activations with values in them.
struct Rows {
  Rows(std::size_t rows, std::size_t columns)
      : values(rows * columns, 3), scales(rows * columns / kGroup, 0.01F), columns_(columns) {}
  Activations view() const { return {values.data(), scales.data(), columns_, columns_ / kGroup}; }

  Aligned<std::int8_t> values;
  Aligned<float> scales;

 private:
  std::size_t columns_;
};

/// A matrix of ones with its scales.
struct Packed {
  Packed(std::size_t rows, std::size_t columns)
      : shape{.rows = rows, .columns = columns, .group = kGroup},
        blocks(shape.row_blocks() * shape.block_bytes(), std::byte{1}) {
    const std::uint16_t scale = float_to_half(0.01F);
    for (std::size_t block = 0; block < shape.row_blocks(); ++block) {
      std::byte* const start = blocks.data() + block * shape.block_bytes();
      for (std::size_t i = 0; i < shape.groups() * kTileRows; ++i) {
        std::memcpy(start + shape.scales_offset(i / kTileRows) + i % kTileRows * sizeof scale, &scale, sizeof scale);
      }
    }
  }
  Matrix view() const { return {blocks.data(), shape}; }

  TileShape shape;
  Aligned<std::byte> blocks;
};

void rate(benchmark::State& state, const char* name, double of_one_iteration) {
  state.counters[name] = benchmark::Counter(of_one_iteration, benchmark::Counter::kIsIterationInvariantRate,
                                            benchmark::Counter::OneK::kIs1000);
}

/// What this set can read and multiply in a second on this core: the best of some tries before the benchmarks begin.
struct Limits {
  double memory_bytes = 0;
  double cache_bytes = 0;
  double macs = 0;
};

template <typename Work>
double best_rate(Work work) {
  using Clock = std::chrono::steady_clock;
  double best = 0;
  for (int i = 0; i < 7; ++i) {
    const Clock::time_point start = Clock::now();
    const double done = work();
    best = std::max(best, done / std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

constexpr std::size_t kCacheBytes = std::size_t{2} << 20U;
constexpr std::size_t kMemoryBytes = std::size_t{160} << 20U;

Limits limits_of(const KernelSet& set) {
  const auto reading = [&](std::size_t bytes, std::uint64_t times) {
    const Aligned<std::byte> buffer(bytes, std::byte{1});
    return best_rate([&] {
      for (std::uint64_t i = 0; i < times; ++i) benchmark::DoNotOptimize(set.read(buffer.data(), bytes));
      return static_cast<double>(bytes * times);
    });
  };
  return {.memory_bytes = reading(kMemoryBytes, 1),
          .cache_bytes = reading(kCacheBytes, 50),
          .macs = best_rate([&] { return static_cast<double>(set.dot_products(100'000)); })};
}

/// The share of a limit: what one iteration does of what a second could hold, per second.
void share(benchmark::State& state, double of_one_iteration, double limit) {
  state.counters["of_limit"] =
      benchmark::Counter(of_one_iteration / limit, benchmark::Counter::kIsIterationInvariantRate);
}

/// @param limit  of reading for one token and for a few guessed ones, of multiplying for many
void multiply(benchmark::State& state, const KernelSet& set, std::size_t rows, std::size_t tokens, double limit) {
  const Packed w(rows, kHidden);
  const Rows x(tokens, kHidden);
  const Aligned<float> out(tokens * w.shape.padded_rows());
  for ([[maybe_unused]] auto _ : state) {
    set.multiply(w.view(), 0, w.shape.row_blocks(), x.view(), tokens, out.data(), w.shape.padded_rows());
    benchmark::ClobberMemory();
  }
  rate(state, "bytes/s", static_cast<double>(w.blocks.bytes()));
  const auto macs = static_cast<double>(rows * kHidden * tokens);
  rate(state, "MAC/s", macs);
  share(state, tokens <= 4 ? static_cast<double>(w.blocks.bytes()) : macs, limit);
}

constexpr std::size_t kHeadSize = 64;
constexpr std::size_t kSlots = 1024;

/// Attention's two products of a KV head, 15 bits by int8: as many multiply-adds of bytes twice.
/// @param columns  of a row block: a head's elements in scores, the slots in mixing
/// @param limit    of int8 products
void dot_wide(benchmark::State& state, const KernelSet& set, std::size_t rows, std::size_t columns, double limit) {
  const std::size_t all = kSlots * kHeadSize;
  const Aligned<std::int8_t> tiles(all, 3);
  const Aligned<std::int8_t> values(2 * columns * rows, 5);
  const Aligned<std::int32_t> sums(rows, 1);
  const Aligned<std::int32_t> out(all / columns * rows);
  const WideRows x = {.values = values.data(), .sums = sums.data(), .columns = columns, .count = rows};
  const TileBlocks blocks = {
      .tiles = tiles.data(), .stride = columns * kTileRows, .count = all / (columns * kTileRows)};
  for ([[maybe_unused]] auto _ : state) {
    set.dot_wide(x, blocks, /*adds=*/false, out.data(), all / columns);
    benchmark::ClobberMemory();
  }
  rate(state, "bytes/s", static_cast<double>(tiles.bytes()));
  const auto macs = static_cast<double>(all * rows);
  rate(state, "MAC/s", macs);
  share(state, 2 * macs, limit);
}

/// A function of n floats to n floats. Rates count the elements.
template <typename Function>
void elements(benchmark::State& state, std::size_t n, Function function) {
  const Aligned<float> x(n, 0.5F);
  const Aligned<float> y(n, 1.5F);
  const Aligned<float> out(n);
  for ([[maybe_unused]] auto _ : state) {
    function(x.data(), y.data(), out.data(), n);
    benchmark::ClobberMemory();
  }
  rate(state, "elements/s", static_cast<double>(n));
}

void quantize(benchmark::State& state, const KernelSet& set) {
  const Rows row(1, kMlpWidth);
  elements(state, kMlpWidth,
           [&](const float* x, const float*, float*, std::size_t n) { set.quantize(x, n, row.view()); });
}
void rms_normalize(benchmark::State& state, const KernelSet& set) {
  elements(state, kHidden, [&](const float* x, const float* gain, float* out, std::size_t n) {
    set.rms_normalize(x, gain, n, 1e-5F, out);
  });
}
void activate_gated(benchmark::State& state, const KernelSet& set) {
  elements(state, kMlpWidth, [&](const float* gate, const float* up, float* out, std::size_t n) {
    set.activate_gated(ActivationFunction::kSilu, gate, up, n, 0, out);
  });
}
void exponentiate(benchmark::State& state, const KernelSet& set) {
  elements(state, kSlots, [&](const float*, const float*, float* out, std::size_t n) {
    // In place: after the first time all are exp(0) or less, which costs the same.
    benchmark::DoNotOptimize(set.exponentiate(out, n));
  });
}

void weight_scale(benchmark::State& state, const KernelSet& set) {
  elements(state, kSlots, [&](const float* x, const float*, float*, std::size_t n) {
    benchmark::DoNotOptimize(set.weight_scale(x, n));
  });
}
void quantize_weights(benchmark::State& state, const KernelSet& set) {
  const Aligned<std::int8_t> values(kSlots / 16 * kWideBytes);
  elements(state, kSlots, [&](const float* x, const float*, float*, std::size_t n) {
    benchmark::DoNotOptimize(set.quantize_weights(x, n, 0.01F, 0, n / 16, 1, values.data()));
  });
}

void read(benchmark::State& state, const KernelSet& set, std::size_t bytes) {
  const Aligned<std::byte> buffer(bytes, std::byte{1});
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(set.read(buffer.data(), bytes));
  rate(state, "bytes/s", static_cast<double>(bytes));
}
void dot_products(benchmark::State& state, const KernelSet& set) {
  constexpr std::uint64_t kRounds = 10000;
  std::uint64_t macs = 0;
  for ([[maybe_unused]] auto _ : state) macs = set.dot_products(kRounds);
  rate(state, "MAC/s", static_cast<double>(macs));
}

constexpr std::size_t kRowsInCache = 2 * kMlpWidth;  // 1.9 MB: a layer's gates and ups
constexpr std::size_t kRowsBeyondCache = 262144;     // 160 MB

template <typename Function, typename... Arguments>
void add([[maybe_unused]] const std::string& name, const KernelSet& set, Function function, Arguments... arguments) {
  [[maybe_unused]] const auto run = [=, &set](benchmark::State& state) { function(state, set, arguments...); };
#ifndef __clang_analyzer__  // which takes for leaked what the library keeps
  benchmark::RegisterBenchmark((std::string(set.name) + "/" + name).c_str(), run)->UseRealTime();
#endif
}

void add_all(const KernelSet& set) {
  const Limits limits = limits_of(set);
  add("limit_read/cache", set, read, kCacheBytes);
  add("limit_read/memory", set, read, kMemoryBytes);
  add("limit_dot_products", set, dot_products);
  add("multiply/1_token/cache", set, multiply, kRowsInCache, std::size_t{1}, limits.cache_bytes);
  add("multiply/1_token/memory", set, multiply, kRowsBeyondCache, std::size_t{1}, limits.memory_bytes);
  add("multiply/4_tokens/memory", set, multiply, kRowsBeyondCache, std::size_t{4}, limits.memory_bytes);
  add("multiply/6_tokens/memory", set, multiply, kRowsBeyondCache, std::size_t{6}, limits.memory_bytes);
  add("multiply/64_tokens", set, multiply, kRowsInCache, std::size_t{64}, limits.macs);
  add("multiply/512_tokens", set, multiply, kRowsInCache, std::size_t{512}, limits.macs);
  // One query a KV head: Llama-2, MPT and Pythia. Three: a token of SmolLM2. Six: two of its tokens.
  for (const std::size_t queries : {std::size_t{1}, std::size_t{3}, kMostQueries}) {
    const std::string count = std::to_string(queries) + (queries == 1 ? "_query" : "_queries");
    add("score/" + count, set, dot_wide, queries, kHeadSize, limits.macs);
    add("mix/" + count, set, dot_wide, queries, kSlots, limits.macs);
  }
  add("quantize", set, quantize);
  add("rms_normalize", set, rms_normalize);
  add("activate_gated", set, activate_gated);
  add("exponentiate", set, exponentiate);
  add("weight_scale", set, weight_scale);
  add("quantize_weights", set, quantize_weights);
}

}  // namespace
}  // namespace rill::kernels

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const rill::CpuFeatures cpu = rill::detect_cpu();
  for (const rill::kernels::KernelSet* set : rill::kernels::kernel_sets()) {
    if (cpu.has(set->needs)) rill::kernels::add_all(*set);
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
