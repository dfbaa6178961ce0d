#pragma once
// The time of every single token of a long stream, beside that of a fixed amount of work on the same threads.

#include <cstdint>
#include <string_view>
#include <vector>

#include "apps/spread.h"
#include "core/engine.h"

namespace rill::apps {

struct Percentiles {
  double median_s = 0;
  double p99_s = 0;
  double worst_s = 0;

  double worst_over_median() const { return median_s > 0 ? worst_s / median_s : 0; }
};

/// Some hundreds of tokens in a row.
struct Stretch {
  double middle = 0;  ///< position
  double median_s = 0;
  double worst_s = 0;
};

/// One token that took long.
struct SlowToken {
  std::uint64_t position = 0;
  double seconds = 0;
};

struct Latency {
  std::uint32_t tokens = 0;
  std::uint32_t threads = 0;
  Percentiles token;  ///< prefill of one token and the choice of the next
  Percentiles busy;   ///< a fixed number of dot products in registers, as long as a token: what the host does
  std::vector<SlowToken> worst;    ///< the ten slowest, slowest first
  std::vector<double> quarter_s;   ///< the median of each quarter of the stream
  std::vector<Stretch> stretches;  ///< all of the stream, in at most fifty pieces
};

/// Lets the model talk to itself for `tokens` tokens from the beginning of a stream, and works in between.
/// @param tokens  at least 4
Result<Latency> measure_latency(Engine& engine, std::uint32_t tokens);

/// Instructions per token of one thread outside the system, for each of some stretches of a stream past its window;
/// empty where they cannot be counted.
/// @param engine  with one thread
Result<std::vector<double>> count_instructions(Engine& engine, std::uint32_t tokens_per_stretch);
/// Whether this system lets the calling thread count its instructions.
bool can_count_instructions();

}  // namespace rill::apps
