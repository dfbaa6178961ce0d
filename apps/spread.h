#pragma once
// What repeated measurements came to.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace rill::apps {

struct Spread {
  double least = 0;
  double median = 0;
  double most = 0;
};

/// @param values  at least one
inline Spread spread_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {.least = values.front(), .median = median, .most = values.back()};
}

/// Seconds since it was made.
class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

}  // namespace rill::apps
