#pragma once
// Progress of long work, on a terminal only: share done, rate, time left. Silent in a pipe.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace rill::apps {

/// A line on standard error that is rewritten about ten times a second, and wiped at the end.
class Progress {
 public:
  /// @param what  static text: "quantising"
  /// @param unit  what is counted: "bytes" prints MB/s, anything else itself a second
  Progress(std::string_view what, std::string_view unit);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  /// @param done  of `total`; what was done before the first call is not counted into the rate
  void update(std::uint64_t done, std::uint64_t total);
  /// Takes the line away, for something else to be printed there.
  void wipe();

 private:
  using Clock = std::chrono::steady_clock;

  std::string_view what_;
  std::string_view unit_;
  bool is_terminal_;
  bool printed_ = false;
  std::optional<std::uint64_t> before_;  ///< done before the first call
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
};

}  // namespace rill::apps
