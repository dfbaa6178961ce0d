#include "platform/thread_pinning.h"

#include <algorithm>
#include <array>
#include <atomic>

#include "platform/cpu.h"

namespace rill {
ThreadPinning::ThreadPinning() {
  if (::sched_getaffinity(0, sizeof before_, &before_) != 0) return;
  std::array<bool, CPU_SETSIZE> is_second{};
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &before_)) continue;
    const int first = first_sibling(cpu);
    is_second[static_cast<std::size_t>(cpu)] = first != cpu && CPU_ISSET(first, &before_);
    order_[count_++] = cpu;
  }
  std::stable_partition(order_, order_ + count_, [&](int cpu) { return !is_second[static_cast<std::size_t>(cpu)]; });
}

ThreadPinning::~ThreadPinning() {
  if (count_ > 0) ::sched_setaffinity(0, sizeof before_, &before_);
}

bool ThreadPinning::pin(WorkerPool& pool) const {
  const bool enough = pool.threads() <= count_;
  std::atomic<std::size_t> pinned = 0;
  pool.run_on_each([&](const WorkerPool::Part& part) {
    cpu_set_t one;
    CPU_ZERO(&one);
    if (enough) CPU_SET(order_[part.thread], &one);
    // A thread begins with the CPUs of the one that made it, which may be tied to one by now: then it gets all back.
    if (::sched_setaffinity(0, sizeof one, enough ? &one : &before_) == 0 && enough)
      pinned.fetch_add(1, std::memory_order_relaxed);
  });
  return pinned.load(std::memory_order_relaxed) == pool.threads();
}

}  // namespace rill
