#pragma once
// What a soak watches: memory, allocations, the time of each token, and how the model likes its own text. Constant
// memory however long it runs, all of it taken at the start.

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>

#include "platform/status.h"

namespace rill::apps {

constexpr std::uint64_t kFewestTokens = 4;  ///< of which anything can be said

/// How long a soak runs and what it must not do.
struct SoakLimits {
  std::uint64_t tokens = 0;  ///< 0: until `hours` are over
  double hours = 0;          ///< 0: until `tokens` are made
  double report_every_s = 60;
  double longest_token_s = 0;  ///< 0: 20 times the median, and 2 s, which a busy machine may take from any program
  double drift_nats = 0.25;    ///< of the mean NLL, beyond what chance does
  std::uint64_t most_rss_bytes = UINT64_MAX;
};

/// Means over a quarter of the run, in blocks, so that chance can be told from drift.
struct QuarterNll {
  std::uint64_t tokens = 0;
  double sum = 0;
  std::uint64_t blocks = 0;
  double sum_of_blocks = 0;
  double sum_of_squares = 0;

  double mean() const { return tokens == 0 ? 0 : sum / static_cast<double>(tokens); }
  /// Of the mean, from how much the blocks differ; 0 for fewer than two of them.
  double standard_error() const;
};

class SoakWatch {
 public:
  using Clock = std::chrono::steady_clock;

  explicit SoakWatch(const SoakLimits& limits) : limits_(limits) {}

  /// Begins to measure memory and time. What was before is warm-up.
  void begin();
  /// One token that the model made.
  void add(double seconds, double nll);
  /// False once the tokens are made or the hours are over.
  bool goes_on() const;
  /// Prints a line if it is time for one, and looks at the memory.
  void report();
  /// Prints a line: what was since the one before it. @param label  what it begins with
  void print_line(std::string_view label);
  /// Looks at the memory once more; no more is measured.
  void end();

  /// Ok, or what was not as it must be.
  Status verdict() const;

  std::uint64_t tokens() const { return tokens_; }
  double seconds() const { return seconds_; }
  double median_s() const;
  double worst_s() const { return worst_s_; }
  /// The longest that a token may take.
  double longest_s() const;
  std::uint64_t rss_start() const { return rss_start_; }
  std::uint64_t rss_end() const { return rss_end_; }
  std::uint64_t rss_most() const { return rss_most_; }
  std::uint64_t allocations() const { return allocations_; }
  const QuarterNll& first_quarter() const { return quarters_.front(); }
  const QuarterNll& last_quarter() const { return quarters_.back(); }

 private:
  static constexpr std::size_t kBlock = 256;     ///< tokens
  static constexpr std::size_t kBuckets = 2100;  ///< of the times, each 1% wider than the one before it
  double progress() const;
  void look_at_memory();

  SoakLimits limits_;
  Clock::time_point start_ = Clock::now();
  double seconds_ = 0;
  double last_report_s_ = 0;
  std::uint64_t last_report_tokens_ = 0;
  std::uint64_t tokens_ = 0;
  std::array<std::uint64_t, kBuckets> times_{};
  double worst_s_ = 0;
  std::uint64_t allocations_before_ = 0;
  std::uint64_t allocations_ = 0;
  std::uint64_t rss_start_ = 0;
  std::uint64_t rss_end_ = 0;
  std::uint64_t rss_most_ = 0;
  std::array<QuarterNll, 4> quarters_{};
  double block_sum_ = 0;
  std::size_t block_tokens_ = 0;
  double report_nll_ = 0;  ///< since the last line
};

}  // namespace rill::apps
