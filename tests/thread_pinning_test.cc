#include "platform/thread_pinning.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <array>
#include <vector>

#include "core/memory_plan.h"

namespace rill {
namespace {

int allowed_cpus() {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : -1;
}

TEST(ThreadPinning, GivesEachThreadACpuOfItsOwnAndTheCallerItsCpusBack) {
  const int before = allowed_cpus();
  {
    const ThreadPinning pinning;
    ASSERT_EQ(static_cast<int>(pinning.cpus()), before);
    const std::size_t threads = before > 1 ? 2 : 1;
    auto stacks = PageBlock::take((threads - 1) * WorkerPool::stack_bytes());
    ASSERT_TRUE(stacks.ok());
    WorkerPool pool;
    ASSERT_TRUE(pool.start(threads, stacks->bytes()).ok());
    ASSERT_TRUE(pinning.pin(pool));
    std::array<int, 2> cpu{-1, -1};
    std::array<int, 2> choices{1, 1};
    pool.run_on_each([&](const WorkerPool::Part& part) {
      cpu[part.thread] = ::sched_getcpu();
      choices[part.thread] = allowed_cpus();
    });
    EXPECT_NE(cpu[0], cpu[1]);
    EXPECT_EQ(choices, (std::array<int, 2>{1, 1}));
  }
  EXPECT_EQ(allowed_cpus(), before);
}

TEST(ThreadPinning, RefusesMoreThreadsThanCpusAndLeavesThemAllOfThem) {
  const int before = allowed_cpus();
  const ThreadPinning pinning;
  WorkerPool caller_alone;
  ASSERT_TRUE(caller_alone.start(1, {}).ok());
  ASSERT_TRUE(pinning.pin(caller_alone));  // threads begin where the one that makes them may run
  const std::size_t threads = pinning.cpus() + 1;
  if (threads > WorkerPool::kMaxThreads) GTEST_SKIP() << "this machine has more CPUs than a pool has threads";
  auto stacks = PageBlock::take((threads - 1) * WorkerPool::stack_bytes());
  ASSERT_TRUE(stacks.ok());
  WorkerPool pool;
  ASSERT_TRUE(pool.start(threads, stacks->bytes()).ok());
  EXPECT_FALSE(pinning.pin(pool));
  std::vector<int> choices(threads);
  pool.run_on_each([&](const WorkerPool::Part& part) { choices[part.thread] = allowed_cpus(); });
  EXPECT_EQ(choices, std::vector<int>(threads, before));
}

}  // namespace
}  // namespace rill
