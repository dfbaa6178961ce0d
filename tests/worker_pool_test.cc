#include "platform/worker_pool.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "core/memory_plan.h"

namespace rill {
namespace {

TEST(WorkerPool, GivesEveryIndexToExactlyOneThreadInEveryRound) {
  for (const std::size_t threads : {1U, 2U, 3U, 4U}) {
    Result<PageBlock> stacks = PageBlock::take((threads - 1) * WorkerPool::stack_bytes());
    ASSERT_TRUE(stacks.ok());
    WorkerPool pool;
    ASSERT_TRUE(pool.start(threads, stacks->bytes()).ok());
    for (std::size_t round = 0; round < 300; ++round) {
      const std::size_t count = round % 101;
      std::vector<std::atomic<int>> hits(count);
      std::vector<std::atomic<int>> busy(threads);
      pool.run(count, 1, [&](const WorkerPool::Part& part) {
        EXPECT_EQ(busy[part.thread].fetch_add(1), 0) << "two parts of one thread at a time";
        for (std::size_t i = part.begin; i < part.end; ++i) hits[i].fetch_add(1);
        busy[part.thread].fetch_sub(1);
      });
      for (const auto& hit : hits) ASSERT_EQ(hit.load(), 1) << threads << " threads, " << count;
    }
  }
}

TEST(WorkerPool, RefusesStacksThatAreTooSmall) {
  WorkerPool pool;
  EXPECT_FALSE(pool.start(2, {}).ok());
}

TEST(WorkerPool, WorkersRunOnTheBorrowedStacksAndTheCallerOnItsOwn) {
  constexpr std::size_t kThreads = 4;
  Result<PageBlock> stacks = PageBlock::take((kThreads - 1) * WorkerPool::stack_bytes());
  ASSERT_TRUE(stacks.ok());
  WorkerPool pool;
  ASSERT_TRUE(pool.start(kThreads, stacks->bytes()).ok());
  EXPECT_EQ(pool.threads(), kThreads);
  std::array<const void*, kThreads> frames{};
  pool.run_on_each([&](const WorkerPool::Part& part) { frames[part.thread] = __builtin_frame_address(0); });
  for (std::size_t thread = 0; thread < kThreads; ++thread) {
    const std::uintptr_t offset =
        reinterpret_cast<std::uintptr_t>(frames[thread]) - reinterpret_cast<std::uintptr_t>(stacks->bytes().data());
    const bool borrowed = offset < stacks->bytes().size();
    EXPECT_EQ(borrowed, thread > 0) << thread;
    if (borrowed) {
      EXPECT_EQ(offset / WorkerPool::stack_bytes(), thread - 1) << "another worker's stack";
    }
  }
}

TEST(WorkerPool, CutsALoopAtMultiplesOfItsGrain) {
  constexpr std::size_t kThreads = 3;
  Result<PageBlock> stacks = PageBlock::take((kThreads - 1) * WorkerPool::stack_bytes());
  ASSERT_TRUE(stacks.ok());
  WorkerPool pool;
  ASSERT_TRUE(pool.start(kThreads, stacks->bytes()).ok());
  for (const std::size_t grain : {1U, 2U, 6U, 200U}) {
    for (std::size_t count = 1; count <= 100; ++count) {
      std::atomic<std::size_t> done = 0;
      pool.run(count, grain, [&](const WorkerPool::Part& part) {
        EXPECT_LT(part.begin, part.end);
        EXPECT_EQ(part.begin % grain, 0U) << count;
        EXPECT_TRUE(part.end % grain == 0 || part.end == count) << part.end << " of " << count;
        done.fetch_add(part.end - part.begin);
      });
      EXPECT_EQ(done.load(), count) << grain;
    }
  }
}

/// Holds a thread wherever it is when the signal finds it, as a busy machine does that gives it no CPU.
class HeldThread {
 public:
  explicit HeldThread(pthread_t thread) {
    held = false;
    released = false;
    struct sigaction action = {};
    action.sa_handler = [](int) {
      const int error = errno;
      held = true;
      while (!released) ::usleep(100);
      errno = error;
    };
    ::sigaction(SIGUSR1, &action, nullptr);
    while (!held) {  // again and again: ThreadSanitizer puts off one that comes just before a system call
      ::pthread_kill(thread, SIGUSR1);
      ::usleep(1000);
    }
  }
  HeldThread(const HeldThread&) = delete;
  HeldThread& operator=(const HeldThread&) = delete;
  ~HeldThread() { released = true; }  // the handler stays, for a signal that is still on its way

 private:
  static inline std::atomic<bool> held;
  static inline std::atomic<bool> released;
};

TEST(WorkerPool, WaitsForNoWorkerThatGetsNoCpu) {
  constexpr std::size_t kThreads = 3;
  Result<PageBlock> stacks = PageBlock::take((kThreads - 1) * WorkerPool::stack_bytes());
  ASSERT_TRUE(stacks.ok());
  WorkerPool pool;
  ASSERT_TRUE(pool.start(kThreads, stacks->bytes()).ok());
  std::array<pthread_t, kThreads> threads{};
  pool.run_on_each([&](const WorkerPool::Part& part) { threads[part.thread] = ::pthread_self(); });
  {
    const HeldThread held(threads[1]);
    for (std::size_t count = 1; count <= 100; ++count) {
      std::vector<std::atomic<int>> hits(count);
      pool.run(count, 1, [&](const WorkerPool::Part& part) {
        EXPECT_NE(part.thread, 1U);
        for (std::size_t i = part.begin; i < part.end; ++i) hits[i].fetch_add(1);
      });
      for (const auto& hit : hits) ASSERT_EQ(hit.load(), 1) << count;
    }
  }
  std::array<int, kThreads> calls{};
  pool.run_on_each([&](const WorkerPool::Part& part) { ++calls[part.thread]; });
  EXPECT_EQ(calls, (std::array{1, 1, 1})) << "with the worker that slept through a hundred rounds";
}

TEST(WorkerPool, TheOthersDoTheRestOfASlowWorkersRange) {
  constexpr std::size_t kCount = 64;
  Result<PageBlock> stacks = PageBlock::take(WorkerPool::stack_bytes());
  ASSERT_TRUE(stacks.ok());
  WorkerPool pool;
  ASSERT_TRUE(pool.start(2, stacks->bytes()).ok());
  std::atomic<bool> has_begun = false;
  std::atomic<std::size_t> done = 0;
  pool.run(kCount, 1, [&](const WorkerPool::Part& part) {
    const std::size_t size = part.end - part.begin;
    if (part.thread == 1 && !has_begun.exchange(true)) {
      EXPECT_LE(size, kCount / 4) << "the others cannot help with a piece that is begun";
      while (done < kCount - size) ::usleep(100);
    }
    while (part.thread == 0 && !has_begun) ::usleep(100);  // so that the worker gets a piece at all
    done += size;
  });
  EXPECT_EQ(done.load(), kCount);
}

TEST(WorkerPool, ShowsOneRoundsWritesToTheNextOverManyRounds) {
  constexpr std::size_t kThreads = 4;
  constexpr std::size_t kCells = 64;
  Result<PageBlock> stacks = PageBlock::take((kThreads - 1) * WorkerPool::stack_bytes());
  ASSERT_TRUE(stacks.ok());
  WorkerPool pool;
  ASSERT_TRUE(pool.start(kThreads, stacks->bytes()).ok());
  // Plain numbers, each read by a thread other than the one that wrote it: run() alone keeps them apart.
  std::array<std::uint64_t, kCells> now{};
  std::array<std::uint64_t, kCells> next{};
  constexpr std::uint64_t kRounds = 2000;
  for (std::uint64_t round = 0; round < kRounds; ++round) {
    pool.run(kCells, 1, [&](const WorkerPool::Part& part) {
      for (std::size_t i = part.begin; i < part.end; ++i) next[i] = now[(i + kCells / 2) % kCells] + 1;
    });
    std::swap(now, next);
  }
  for (const std::uint64_t cell : now) EXPECT_EQ(cell, kRounds);
}

// A worker that was about to enter the last round, and found it closed, went to sleep for ever: once in some 20,000.
TEST(WorkerPool, EndsWhereverItsWorkersAre) {
  Result<PageBlock> stacks = PageBlock::take(WorkerPool::stack_bytes());
  ASSERT_TRUE(stacks.ok());
  for (std::size_t life = 0; life < 3000; ++life) {
    WorkerPool pool;
    ASSERT_TRUE(pool.start(2, stacks->bytes()).ok());
    for (std::size_t round = 0; round <= life % 4; ++round) pool.run(2, 1, [](const WorkerPool::Part&) {});
  }
}

TEST(WorkerPool, ThatWasNeverStartedRunsOnItsCaller) {
  WorkerPool pool;
  int calls = 0;
  pool.run(0, 1, [&](const WorkerPool::Part&) { ++calls; });
  EXPECT_EQ(calls, 0);
  pool.run(10, 1, [&](const WorkerPool::Part& part) {
    ++calls;
    EXPECT_EQ(part.end - part.begin, 10U);
  });
  EXPECT_EQ(calls, 1);
}

TEST(WorkerPool, RefusesNoThreadsAndTooMany) {
  for (const std::size_t threads : {std::size_t{0}, WorkerPool::kMaxThreads + 1, SIZE_MAX}) {
    WorkerPool pool;
    EXPECT_EQ(pool.start(threads, {}).code(), Code::kUsage) << threads;
  }
}

}  // namespace
}  // namespace rill
