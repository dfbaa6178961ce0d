#pragma once
// The two limits that inference runs against, measured where it runs: how fast memory can be read, and how fast a
// kernel set's dot products of bytes go when they wait for nothing.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "apps/spread.h"
#include "platform/kernels/kernels.h"
#include "platform/status.h"
#include "platform/thread_pinning.h"

namespace rill::apps {

/// The limits of one number of threads. The limit is the best of all repetitions; the spread says what to make of it.
struct ThreadLimits {
  std::uint32_t threads = 0;
  Spread memory_bytes_per_s;  ///< streaming read of a buffer beyond the last-level cache
  Spread cache_bytes_per_s;   ///< of one inside it, of the working set's size if that fits
  Spread macs_per_s;          ///< on registers alone
};

struct MachineLimits {
  std::string cpu;
  std::uint64_t last_level_cache_bytes = 0;  ///< 0 if the system does not say
  std::uint64_t memory_buffer_bytes = 0;
  std::uint64_t cache_buffer_bytes = 0;
  std::string_view pages;  ///< of the buffers: "huge" or "ordinary"
  bool pinned = false;     ///< every thread of every measurement had a CPU of its own
  std::vector<ThreadLimits> by_threads;

  const ThreadLimits& at(std::uint32_t threads) const;
  /// True if what a token reads cannot stay in the cache from one token to the next.
  bool is_beyond_cache(double bytes) const {
    return last_level_cache_bytes == 0 || bytes > static_cast<double>(last_level_cache_bytes);
  }
  /// The limit that counts for a working set of this size.
  double read_bytes_per_s(std::uint32_t threads, double bytes) const {
    return is_beyond_cache(bytes) ? at(threads).memory_bytes_per_s.most : at(threads).cache_bytes_per_s.most;
  }
};

/// "huge" if most of it is on huge pages, else "ordinary".
std::string_view pages_of(std::span<const std::byte> mapped);
/// The name that the CPU gives itself; "unknown" where the system does not say.
std::string cpu_name();
/// Of the first CPU's largest data cache; 0 where the system does not say.
std::uint64_t last_level_cache_bytes();

struct ProbeOptions {
  std::vector<std::uint32_t> threads;  ///< numbers of threads to measure
  const kernels::KernelSet* kernels = nullptr;
  double seconds = 0.05;                   ///< that each measurement lasts at least
  std::uint64_t most_bytes = 1ULL << 32U;  ///< of the larger buffer
  /// What is read again and again. As large is the smaller buffer if the last-level cache holds it, else half of that
  /// cache: how fast a cache is depends on how much of it is read, most of all where it is shared with other machines.
  std::uint64_t working_set_bytes = 0;
  /// Which pages the buffers shall have, if the system gives them: such as the weights have, as huge ones are read
  /// faster.
  bool on_huge_pages = false;
};

/// Measures a little at a time, so that other measurements can go in between.
class LimitProbe {
 public:
  /// Takes and touches the buffers, and warms up. kOverBudget if the system does not grant them.
  /// @param pinning  borrowed
  static Result<LimitProbe> start(const ProbeOptions& options, const ThreadPinning& pinning);

  LimitProbe(LimitProbe&& other) noexcept;
  ~LimitProbe();

  /// One measurement of each kind for each number of threads.
  void repeat();
  /// After at least one repeat().
  MachineLimits limits() const;

 private:
  struct State;
  explicit LimitProbe(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace rill::apps
