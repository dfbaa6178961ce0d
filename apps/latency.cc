#include "apps/latency.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "apps/bench_speed.h"
#include "apps/progress.h"

namespace rill::apps {
namespace {

constexpr std::uint32_t kWarmUp = 48;
constexpr std::uint32_t kFits = 3;  // of the busy loop, in the warm-up
constexpr std::size_t kWorst = 10;
constexpr std::uint32_t kStretchesCounted = 4;
constexpr std::size_t kStretchesDrawn = 50;

/// @param seconds  at least one; by value: it is sorted
Percentiles percentiles_of(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  const std::size_t n = seconds.size();
  return {.median_s = seconds[n / 2], .p99_s = seconds[std::min(n - 1, n * 99 / 100)], .worst_s = seconds.back()};
}

/// Work that takes as long as asked, by its amount and not by a clock.
class BusyLoop {
 public:
  explicit BusyLoop(Engine& engine) : pool_(engine.workers()), kernels_(*engine.plan().options.kernels) {}

  /// Makes the amount last so long, by how long it lasts now.
  void scale(double seconds, double now_s) {
    const double scaled = static_cast<double>(rounds_) * seconds / now_s;
    rounds_ = std::max<std::uint64_t>(static_cast<std::uint64_t>(scaled), 1);
  }
  /// A first guess, so that scale() has something to measure.
  void grow_to(double seconds) {
    while (run() < seconds) rounds_ *= 2;
  }
  double run() {
    const Stopwatch watch;
    pool_.run_on_each([&](const WorkerPool::Part&) { kernels_.dot_products(rounds_); });
    return watch.seconds();
  }

 private:
  WorkerPool& pool_;
  const kernels::KernelSet& kernels_;
  std::uint64_t rounds_ = 1;
};

std::vector<SlowToken> worst_of(const std::vector<double>& seconds) {
  std::vector<std::size_t> order(seconds.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto end = order.begin() + static_cast<std::ptrdiff_t>(std::min(kWorst, order.size()));
  std::partial_sort(order.begin(), end, order.end(),
                    [&](std::size_t a, std::size_t b) { return seconds[a] > seconds[b]; });
  std::vector<SlowToken> worst;
  for (auto i = order.begin(); i != end; ++i) worst.push_back({.position = *i + kWarmUp, .seconds = seconds[*i]});
  return worst;
}

/// @param pieces  at most as many as there are tokens
std::vector<Stretch> stretches_of(const std::vector<double>& seconds, std::size_t pieces) {
  std::vector<Stretch> stretches;
  for (std::size_t i = 0; i < pieces; ++i) {
    const std::size_t begin = seconds.size() * i / pieces;
    const std::size_t end = seconds.size() * (i + 1) / pieces;
    const Spread spread = spread_of(
        {seconds.begin() + static_cast<std::ptrdiff_t>(begin), seconds.begin() + static_cast<std::ptrdiff_t>(end)});
    stretches.push_back(
        {.middle = kWarmUp + static_cast<double>(begin + end) / 2, .median_s = spread.median, .worst_s = spread.most});
  }
  return stretches;
}

/// Instructions of the calling thread, outside the system.
class InstructionCounter {
 public:
  InstructionCounter() {
    perf_event_attr attributes{};
    attributes.type = PERF_TYPE_HARDWARE;
    attributes.size = sizeof attributes;
    attributes.config = PERF_COUNT_HW_INSTRUCTIONS;
    attributes.exclude_kernel = 1;
    attributes.exclude_hv = 1;
    file_ = static_cast<int>(::syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
  }
  InstructionCounter(const InstructionCounter&) = delete;
  InstructionCounter& operator=(const InstructionCounter&) = delete;
  ~InstructionCounter() {
    if (file_ >= 0) ::close(file_);
  }
  /// 0 where they cannot be counted.
  std::uint64_t count() const {
    std::uint64_t count = 0;
    if (file_ < 0 || ::read(file_, &count, sizeof count) != sizeof count) return 0;
    return count;
  }

 private:
  int file_ = -1;
};

}  // namespace

bool can_count_instructions() { return InstructionCounter().count() > 0; }

Result<Latency> measure_latency(Engine& engine, std::uint32_t tokens) {
  Session& session = engine.session(0);
  session.reset();
  BusyLoop busy(engine);
  std::vector<double> token_s;
  std::vector<double> busy_s;
  token_s.reserve(tokens);
  busy_s.reserve(tokens);
  Token token = 1 % engine.model().config().vocabulary;
  const auto step = [&]() -> Result<double> {
    const Stopwatch watch;
    RILL_ASSIGN(const std::span<const float> logits, session.prefill({&token, 1}));
    token = session.sample(logits);
    return watch.seconds();
  };
  // The loop is fitted to the token while the two take turns, as they will: alone it would find other clocks.
  for (std::uint32_t fit = 0; fit < kFits; ++fit) {
    std::vector<double> token_now;
    std::vector<double> busy_now;
    for (std::uint32_t i = 0; i < kWarmUp / kFits; ++i) {
      RILL_ASSIGN(const double seconds, step());
      token_now.push_back(seconds);
      if (fit == 0 && i == 0) busy.grow_to(seconds / 4);
      busy_now.push_back(busy.run());
    }
    busy.scale(spread_of(token_now).median, spread_of(busy_now).median);
  }
  Progress progress("latency", "tokens");
  for (std::uint32_t i = 0; i < tokens; ++i) {
    RILL_ASSIGN(const double seconds, step());
    token_s.push_back(seconds);
    busy_s.push_back(busy.run());
    progress.update(i + 1, tokens);
  }
  Latency latency{.tokens = tokens,
                  .threads = engine.plan().options.threads,
                  .token = percentiles_of(token_s),
                  .busy = percentiles_of(busy_s),
                  .worst = worst_of(token_s),
                  .quarter_s = {},
                  .stretches = {}};
  for (const Stretch& quarter : stretches_of(token_s, 4)) latency.quarter_s.push_back(quarter.median_s);
  latency.stretches = stretches_of(token_s, std::min(kStretchesDrawn, token_s.size()));
  return latency;
}

Result<std::vector<double>> count_instructions(Engine& engine, std::uint32_t tokens_per_stretch) {
  const InstructionCounter counter;
  std::vector<double> counts;
  if (counter.count() == 0) return counts;
  Session& session = engine.session(0);
  session.reset();
  const std::size_t full = std::size_t{session.policy().sinks} + session.policy().window;
  const std::vector<Token> tokens =
      varied_tokens(std::max<std::size_t>(full, tokens_per_stretch), engine.model().config().vocabulary);
  for (std::uint32_t stretch = 0; stretch < kStretchesCounted; ++stretch) {
    RILL_TRY(session.feed(tokens));  // once round the ring
    const std::uint64_t before = counter.count();
    for (std::uint32_t i = 0; i < tokens_per_stretch; ++i) {
      RILL_TRY(session.prefill(std::span(tokens).subspan(i, 1)).status());
    }
    counts.push_back(static_cast<double>(counter.count() - before) / tokens_per_stretch);
  }
  return counts;
}

}  // namespace rill::apps
