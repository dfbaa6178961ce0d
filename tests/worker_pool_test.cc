#include "platform/worker_pool.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

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
      pool.run(count, [&](const WorkerPool::Part& part) {
        EXPECT_EQ(busy[part.thread].fetch_add(1), 0) << "two parts of one thread";
        for (std::size_t i = part.begin; i < part.end; ++i) hits[i].fetch_add(1);
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
  pool.run(kThreads, [&](const WorkerPool::Part& part) { frames[part.thread] = __builtin_frame_address(0); });
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

TEST(WorkerPool, CutsALoopIntoAscendingPartsThatDifferByOneAtMost) {
  constexpr std::size_t kThreads = 3;
  Result<PageBlock> stacks = PageBlock::take((kThreads - 1) * WorkerPool::stack_bytes());
  ASSERT_TRUE(stacks.ok());
  WorkerPool pool;
  ASSERT_TRUE(pool.start(kThreads, stacks->bytes()).ok());
  for (std::size_t count = 2; count <= 100; ++count) {
    std::array<WorkerPool::Part, kThreads> parts{};
    pool.run(count, [&](const WorkerPool::Part& part) { parts[part.thread] = part; });
    std::size_t end = 0;
    for (const WorkerPool::Part& part : parts) {
      if (part.begin == part.end) continue;  // fewer indices than threads
      EXPECT_EQ(part.begin, end) << count;
      EXPECT_GE(part.end - part.begin, count / kThreads) << count;
      EXPECT_LE(part.end - part.begin, count / kThreads + 1) << count;
      end = part.end;
    }
    EXPECT_EQ(end, count);
  }
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
    pool.run(kCells, [&](const WorkerPool::Part& part) {
      for (std::size_t i = part.begin; i < part.end; ++i) next[i] = now[(i + kCells / 2) % kCells] + 1;
    });
    std::swap(now, next);
  }
  for (const std::uint64_t cell : now) EXPECT_EQ(cell, kRounds);
}

TEST(WorkerPool, ThatWasNeverStartedRunsOnItsCaller) {
  WorkerPool pool;
  int calls = 0;
  pool.run(0, [&](const WorkerPool::Part&) { ++calls; });
  EXPECT_EQ(calls, 0);
  pool.run(10, [&](const WorkerPool::Part& part) {
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
