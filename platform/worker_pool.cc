#include "platform/worker_pool.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
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

// gate_, from its lowest bit: 7 bits of workers that entered, one for "open", 24 of the round. It wraps: a worker that
// slept through exactly so many rounds misses one, which matters to run_on_each() alone.
constexpr std::uint32_t kEntered = 127;
constexpr std::uint32_t kOpen = 128;
constexpr unsigned kRoundShift = 8;
static_assert(WorkerPool::kMaxThreads <= kEntered);

std::uint32_t round_of(std::uint32_t gate) { return gate >> kRoundShift; }

// The gap between two loops of a forward pass is shorter. By the clock, since a pause lasts from 1 to 140 cycles.
constexpr std::chrono::microseconds kSpin{20};

/// Waits until is_reached(value), and returns that value: spins, then sleeps, so that an idle assistant takes no CPU.
template <typename Condition>
std::uint32_t wait_until(const std::atomic<std::uint32_t>& value, Condition is_reached) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int look = 0; look < 16; ++look) {
      const std::uint32_t now = value.load(std::memory_order_acquire);
      if (is_reached(now)) return now;
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  for (;;) {
    const std::uint32_t now = value.load(std::memory_order_acquire);
    if (is_reached(now)) return now;
    value.wait(now, std::memory_order_acquire);
  }
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
  threads_ = 1;
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
  threads_ = threads;
  // One empty round: whatever a thread's own beginning takes from the system is taken before the first real one.
  run_on_each([](const Part&) {});
  return {};
}

WorkerPool::~WorkerPool() {
  stopping_.store(true, std::memory_order_relaxed);
  gate_.fetch_add(1U << kRoundShift, std::memory_order_seq_cst);
  gate_.notify_all();
  for (std::size_t i = 1; i <= started_; ++i) pthread_join(workers_[i].thread, nullptr);
}

void WorkerPool::run(std::size_t count, std::size_t grain, Work work) {
  if (count == 0) return;
  if (threads_ == 1 || count <= grain) {
    work({.begin = 0, .end = count, .thread = 0});
    return;
  }
  open((count + grain - 1) / grain, count, grain, Sharing::kRest, work);
  take_parts(0);
  wait_until_left(gate_.fetch_and(~kOpen, std::memory_order_acq_rel) & kEntered);
}

void WorkerPool::run_on_each(Work work) {
  open(threads_, threads_, 1, Sharing::kNone, work);
  take_parts(0);
  wait_until_left(static_cast<std::uint32_t>(threads_ - 1));
  gate_.fetch_and(~kOpen, std::memory_order_relaxed);
}

/// Begins a round. Nobody is inside: what follows is the caller's alone until the gate opens.
void WorkerPool::open(std::size_t grains, std::size_t count, std::size_t grain, Sharing sharing, const Work& work) {
  count_ = count;
  grain_ = grain;
  sharing_ = sharing;
  work_ = &work;
  for (std::size_t i = 0; i < threads_; ++i) {
    ranges_[i].next.store(grains * i / threads_, std::memory_order_relaxed);
    ranges_[i].end = grains * (i + 1) / threads_;
  }
  left_.store(0, std::memory_order_relaxed);
  const std::uint32_t round = round_of(gate_.load(std::memory_order_relaxed)) + 1;
  // In this order for all to see, here and in serve(): or who begins to sleep in between is not seen by notify_all().
  gate_.exchange((round << kRoundShift) | kOpen, std::memory_order_seq_cst);
  gate_.notify_all();
}

void WorkerPool::wait_until_left(std::uint32_t entered) {
  wait_until(left_, [&](std::uint32_t left) { return left == entered; });
}

void WorkerPool::take_parts(std::size_t thread) {
  take_from(ranges_[thread], thread);
  if (sharing_ == Sharing::kNone) return;
  for (std::size_t i = 1; i < threads_; ++i) take_from(ranges_[(thread + i) % threads_], thread);
}

/// Half of what is left each time, so that a thread which falls behind holds up the others by little.
void WorkerPool::take_from(Range& range, std::size_t thread) const {
  std::size_t next = range.next.load(std::memory_order_relaxed);
  while (next < range.end) {
    const std::size_t after = next + (range.end - next + 1) / 2;
    if (!range.next.compare_exchange_weak(next, after, std::memory_order_relaxed)) continue;
    (*work_)({.begin = next * grain_, .end = std::min(after * grain_, count_), .thread = thread});
    next = range.next.load(std::memory_order_relaxed);
  }
}

void* WorkerPool::worker_main(void* worker) {
  const auto* self = static_cast<const Worker*>(worker);
  self->pool->serve(self->index);
  return nullptr;
}

void WorkerPool::serve(std::size_t thread) {
  std::uint32_t seen = 0;
  for (;;) {
    std::uint32_t gate = wait_until(gate_, [&](std::uint32_t now) { return round_of(now) != seen; });
    bool inside = false;
    while ((gate & kOpen) != 0 && !inside) {
      inside = gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acquire);
    }
    seen = round_of(gate);  // later than the round that was waited for, if the gate was closed in between
    if (!inside) {
      if (stopping_.load(std::memory_order_relaxed)) return;  // not sooner: that round may be the last
      continue;
    }
    take_parts(thread);
    left_.fetch_add(1, std::memory_order_seq_cst);
    left_.notify_one();
  }
}

}  // namespace rill
