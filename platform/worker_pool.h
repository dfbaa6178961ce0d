#pragma once
// A fixed number of threads that cut one loop at a time among them. Their stacks are borrowed memory, so that the plan
// can name them; nothing is allocated after start().

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include <pthread.h>

#include "platform/function_ref.h"
#include "platform/status.h"

namespace rill {

/// The caller and threads - 1 workers. One caller at a time. Which thread takes which part of a loop depends on nothing
/// but the numbers, and no result may depend on it.
///
///   run() raises the round -> workers see it (spinning a short while, else asleep in the kernel), take their part,
///   count down -> run() returns when the count is zero.
class WorkerPool {
 public:
  /// A thread's share of a loop over [0, count).
  struct Part {
    std::size_t begin = 0;
    std::size_t end = 0;
    std::size_t thread = 0;  ///< 0 is the caller: for scratch memory of its own
  };

  static constexpr std::size_t kMaxThreads = 64;
  /// Bytes of stack for one worker: enough for every kernel, a multiple of the page size.
  static std::size_t stack_bytes();

  WorkerPool() = default;
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  ~WorkerPool();

  /// @param threads  1 to kMaxThreads, the caller included
  /// @param stacks   page-aligned, [threads - 1][stack_bytes()], borrowed for the pool's life
  /// kFailed with the system's reason if a thread cannot be made.
  Status start(std::size_t threads, std::span<std::byte> stacks);

  /// Calls work(part) with a piece of [0, count) on each thread that gets one, and waits for all.
  void run(std::size_t count, FunctionRef<void(const Part&)> work);

  std::size_t threads() const { return threads_; }

 private:
  struct Worker {
    WorkerPool* pool = nullptr;
    std::size_t index = 0;
    pthread_t thread{};
  };
  static void* worker_main(void* worker);
  void serve(std::size_t thread);
  void take_part(std::size_t thread) const;

  std::size_t threads_ = 1;
  std::size_t started_ = 0;
  Worker workers_[kMaxThreads];
  std::size_t count_ = 0;
  const FunctionRef<void(const Part&)>* work_ = nullptr;
  alignas(64) std::atomic<std::uint32_t> round_{0};
  std::atomic<bool> stopping_{false};  // read after each round: not on the line that all count down
  alignas(64) std::atomic<std::uint32_t> unfinished_{0};
};

}  // namespace rill
