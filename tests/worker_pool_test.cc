#include "platform/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
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

}  // namespace
}  // namespace rill
