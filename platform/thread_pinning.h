#pragma once
// Threads tied to CPUs, for measurements. Nothing else pins: on a machine with other work the system knows better.

#include <cstddef>

#include <sched.h>

#include "platform/worker_pool.h"

namespace rill {

/// The CPUs that the calling thread may use when this is made, which it gets back when this ends. A core's second
/// logical CPU comes after all cores' first ones.
class ThreadPinning {
 public:
  ThreadPinning();
  ThreadPinning(const ThreadPinning&) = delete;
  ThreadPinning& operator=(const ThreadPinning&) = delete;
  ~ThreadPinning();

  std::size_t cpus() const { return count_; }  ///< 0 where the system does not say
  /// Ties each of the pool's threads to a CPU of its own, the caller to the first. @returns false where there are
  /// more threads than CPUs, which then all get all CPUs, or where the system refuses.
  bool pin(WorkerPool& pool) const;

 private:
  cpu_set_t before_{};
  int order_[CPU_SETSIZE];
  std::size_t count_ = 0;
};

}  // namespace rill
