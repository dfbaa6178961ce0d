#include "platform/worker_pool.h"

#include <algorithm>
#include <cerrno>
#include <climits>

#include "platform/size.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace rill {
namespace {

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ volatile("yield");
#endif
}

/// Waits until `value` is no longer `old`: spins for about 20 microseconds (the gap between two loops of a forward pass
/// is shorter), then sleeps, so that an idle assistant takes no CPU.
void wait_while(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  for (int spin = 0; spin < 2000; ++spin) {
    if (value.load(std::memory_order_acquire) != old) return;
    relax();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

std::size_t WorkerPool::stack_bytes() {
#if defined(__SANITIZE_THREAD__)
  constexpr std::size_t kEnough =
      2 * 1024 * 1024;  // its own thread-local storage, which lies on the stack, takes 0.9 MB
#else
  constexpr std::size_t kEnough = 256 * 1024;
#endif
  const auto least = static_cast<std::size_t>(PTHREAD_STACK_MIN);
  return round_up(std::max(least, kEnough), std::size_t{4096});
}

Status WorkerPool::start(std::size_t threads, std::span<std::byte> stacks) {
  if (threads < 1 || threads > kMaxThreads || stacks.size() < (threads - 1) * stack_bytes()) {
    return bad_usage(
        {.where = text("worker threads"), .what = text(threads), .expected = text("1 to ", kMaxThreads), .remedy = {}});
  }
  threads_ = threads;
  for (std::size_t i = 1; i < threads; ++i) {
    Worker& worker = workers_[i];
    worker.pool = this;
    worker.index = i;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    int error = pthread_attr_setstack(&attributes, stacks.data() + (i - 1) * stack_bytes(), stack_bytes());
    if (error == 0) error = pthread_create(&worker.thread, &attributes, worker_main, &worker);
    pthread_attr_destroy(&attributes);
    if (error != 0) {
      errno = error;
      return system_failure(text("worker thread ", i), "starting it", text("use fewer --threads"));
    }
    started_ = i;
  }
  // One empty round: whatever a thread's own beginning takes from the system is taken before the first real one.
  run(threads, [](const Part&) {});
  return {};
}

WorkerPool::~WorkerPool() {
  stopping_.store(true, std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_seq_cst);
  round_.notify_all();
  for (std::size_t i = 1; i <= started_; ++i) pthread_join(workers_[i].thread, nullptr);
}

void WorkerPool::run(std::size_t count, FunctionRef<void(const Part&)> work) {
  if (count == 0) return;
  if (threads_ == 1 || count == 1) {
    work({.begin = 0, .end = count, .thread = 0});
    return;
  }
  count_ = count;
  work_ = &work;
  unfinished_.store(static_cast<std::uint32_t>(threads_ - 1), std::memory_order_relaxed);
  // In this order for all to see, here and in serve(): or who begins to sleep in between is not seen by notify_all().
  round_.fetch_add(1, std::memory_order_seq_cst);
  round_.notify_all();
  take_part(0);
  for (std::uint32_t left = unfinished_.load(std::memory_order_acquire); left != 0;
       left = unfinished_.load(std::memory_order_acquire)) {
    wait_while(unfinished_, left);
  }
}

void WorkerPool::take_part(std::size_t thread) const {
  const Part part = {.begin = count_ * thread / threads_, .end = count_ * (thread + 1) / threads_, .thread = thread};
  if (part.begin < part.end) (*work_)(part);
}

void* WorkerPool::worker_main(void* worker) {
  const auto* self = static_cast<const Worker*>(worker);
  self->pool->serve(self->index);
  return nullptr;
}

void WorkerPool::serve(std::size_t thread) {
  std::uint32_t seen = 0;
  for (;;) {
    wait_while(round_, seen);
    const std::uint32_t now = round_.load(std::memory_order_acquire);
    if (now == seen) continue;
    seen = now;
    if (stopping_.load(std::memory_order_relaxed)) return;
    take_part(thread);
    unfinished_.fetch_sub(1, std::memory_order_seq_cst);
    unfinished_.notify_one();
  }
}

}  // namespace rill
