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

/// The caller and threads - 1 workers. One caller at a time. Which thread takes which part of a loop is chance, and no
/// result may depend on it.
///
///   run() opens the gate -> workers see it (spinning a short while, else asleep in the kernel) and enter -> all take
///   parts until none is left, first of their own range, then of the others' -> run() closes the gate and returns when
///   all who entered have left.
///
/// run() waits for no worker that the system gave no CPU in time: the others do its work, and it finds the gate closed.
/// One that loses its CPU or is slow (a small core beside large ones) holds up the others by the piece in its hands.
class WorkerPool {
 public:
  /// A thread's share of a loop over [0, count).
  struct Part {
    std::size_t begin = 0;
    std::size_t end = 0;
    std::size_t thread = 0;  ///< 0 is the caller: for scratch memory of its own
  };
  using Work = FunctionRef<void(const Part&)>;

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

  /// Calls work(part) with pieces of [0, count), one after the other on each thread that comes in time, and waits for
  /// all. Pieces begin at multiples of `grain` and get smaller towards the end of each thread's range. work must not
  /// throw.
  void run(std::size_t count, std::size_t grain, Work work);

  /// Calls work(part) once on every thread, each with its own index as the part, and waits for all.
  void run_on_each(Work work);

  std::size_t threads() const { return threads_; }

 private:
  struct Worker {
    WorkerPool* pool = nullptr;
    std::size_t index = 0;
    pthread_t thread{};
  };
  /// What is left of the pieces that one thread takes first. On a line of its own: the others look when theirs are
  /// done.
  struct alignas(64) Range {
    std::atomic<std::size_t> next{0};
    std::size_t end = 0;
  };
  enum class Sharing : std::uint8_t { kNone, kRest };

  static void* worker_main(void* worker);
  void serve(std::size_t thread);
  void open(std::size_t grains, std::size_t count, std::size_t grain, Sharing sharing, const Work& work);
  void wait_until_left(std::uint32_t entered);
  void take_parts(std::size_t thread);
  void take_from(Range& range, std::size_t thread) const;

  std::size_t threads_ = 1;
  std::size_t started_ = 0;
  Worker workers_[kMaxThreads];
  Range ranges_[kMaxThreads];
  // The round's loop: written while the gate is closed and nobody is inside.
  std::size_t count_ = 0;
  std::size_t grain_ = 1;
  Sharing sharing_ = Sharing::kNone;
  const Work* work_ = nullptr;
  alignas(64) std::atomic<std::uint32_t> gate_{0};  // round, whether it is open, how many workers entered
  std::atomic<bool> stopping_{false};
  alignas(64) std::atomic<std::uint32_t> left_{0};  // workers that entered and have left again
};

}  // namespace rill
