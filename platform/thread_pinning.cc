#include "platform/thread_pinning.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>

namespace rill {
namespace {

/// The first logical CPU of this one's core; itself where the system does not say.
int first_sibling(int cpu) {
  std::array<char, 96> path{};
  std::snprintf(path.data(), path.size(), "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
  int first = cpu;
  if (std::FILE* file = std::fopen(path.data(), "re")) {
    if (std::fscanf(file, "%d", &first) != 1) first = cpu;
    std::fclose(file);
  }
  return first;
}

}  // namespace

ThreadPinning::ThreadPinning() {
  if (::sched_getaffinity(0, sizeof before_, &before_) != 0) return;
  std::array<bool, CPU_SETSIZE> is_second{};
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &before_)) continue;
    const int first = first_sibling(cpu);
    is_second[static_cast<std::size_t>(cpu)] =
        first != cpu && first >= 0 && first < CPU_SETSIZE && CPU_ISSET(first, &before_);
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
  // As many pieces as threads: each thread gets exactly one.
  pool.run(pool.threads(), [&](const WorkerPool::Part& part) {
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
