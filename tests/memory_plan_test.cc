// The memory plan: where its items lie, what it reports, and which blocks it may be cut from.

#include "core/memory_plan.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace rill {
namespace {

constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();

struct alignas(MemoryPlan::kItemAlignment) Page {
  std::byte bytes[MemoryPlan::kPageBytes];
};

TEST(MemoryPlan, ItemsLieInTheirOrderOn64BytesAndNeverOverlap) {
  std::mt19937 generator(1);
  for (int round = 0; round < 50; ++round) {
    MemoryPlan plan;
    std::vector<std::uint64_t> sizes;
    for (int i = 0; i < 40; ++i) {
      const std::uint64_t count = generator() % 5 == 0 ? 0 : generator() % 300;
      plan.add<float>("floats", count, Lifetime::kOneCall);
      sizes.push_back(4 * count);
    }
    ASSERT_TRUE(plan.check().ok());
    ASSERT_EQ(plan.items().size(), sizes.size());
    std::uint64_t end = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      const PlanItem& item = plan.items()[i];
      EXPECT_EQ(item.bytes, sizes[i]);
      EXPECT_EQ(item.offset % 64, 0U);
      EXPECT_GE(item.offset, end);
      EXPECT_LT(item.offset, end + 64) << "a gap that no alignment asks for";
      end = item.offset + item.bytes;
    }
    EXPECT_EQ(plan.arena_bytes() % 4096, 0U);
    EXPECT_GE(plan.arena_bytes(), end);
    EXPECT_LT(plan.arena_bytes(), end + 4096);
  }
}

TEST(MemoryPlan, MappedBytesCountButTakeNoRoomInTheArena) {
  MemoryPlan plan;
  plan.add<std::byte>("first", 100, Lifetime::kWholeRun);
  plan.add_mapped("weights", 10000);
  plan.add<std::byte>("second", 100, Lifetime::kOneCall);
  EXPECT_EQ(plan.items()[2].offset, 128U);
  EXPECT_EQ(plan.arena_bytes(), 4096U);
  EXPECT_EQ(plan.mapped_bytes(), 12288U) << "three pages";
  EXPECT_EQ(plan.total_bytes(), 16384U);
  EXPECT_EQ(plan.items()[1].region, Region::kMapped);
  EXPECT_EQ(plan.items()[2].lifetime, Lifetime::kOneCall);
}

TEST(MemoryPlan, OfNothingIsNothing) {
  const MemoryPlan plan;
  EXPECT_TRUE(plan.check().ok());
  EXPECT_EQ(plan.total_bytes(), 0U);
  EXPECT_TRUE(Arena::cut(plan, {}).ok());
}

TEST(MemoryPlan, ReportsEverySizeThatWrapsOrCannotBeAddressed) {
  const auto refused = [](Size first, Size second) {
    MemoryPlan plan;
    plan.add<std::uint64_t>("first", first, Lifetime::kWholeRun);
    plan.add<std::uint64_t>("second", second, Lifetime::kWholeRun);
    plan.add<std::uint64_t>("after it", 1, Lifetime::kWholeRun);  // must not make it good again
    const Status status = plan.check();
    EXPECT_EQ(status.ok() ? Code::kOverBudget : status.code(), Code::kOverBudget);
    EXPECT_EQ(Arena::cut(plan, {}).ok(), false);
    return !status.ok();
  };
  EXPECT_TRUE(refused(kMost, 1)) << "times eight";
  EXPECT_TRUE(refused(kMost / 8 + 1, 1)) << "2^64 bytes: zero, if it wrapped unseen";
  EXPECT_TRUE(refused(kMost / 8, 1)) << "rounding up to a page wraps";
  EXPECT_TRUE(refused(kMost / 16 + 1, 1)) << "2^63: more than a pointer difference";
  EXPECT_TRUE(refused(kMost / 32, kMost / 32 + 64)) << "each would fit";
  EXPECT_TRUE(refused(Size(std::uint64_t{1} << 40U) * Size(std::uint64_t{1} << 40U), 1)) << "a formula that wrapped";
  EXPECT_FALSE(refused(1000, 1000));
}

TEST(MemoryPlan, ReportsAMappedSizeOrATotalThatCannotBeAddressed) {
  MemoryPlan mapped;
  mapped.add_mapped("weights", kMost);
  EXPECT_EQ(mapped.check().code(), Code::kOverBudget);
  constexpr std::uint64_t kAddressable = PTRDIFF_MAX;
  MemoryPlan both;  // each can be addressed, their sum not
  both.add<std::byte>("arena", kAddressable - 8192, Lifetime::kWholeRun);
  EXPECT_TRUE(both.check().ok());
  both.add_mapped("weights", kAddressable - 8192);
  EXPECT_EQ(both.check().code(), Code::kOverBudget);
}

TEST(MemoryPlan, ReportsOneItemMoreThanItHolds) {
  MemoryPlan plan;
  for (std::size_t i = 0; i < MemoryPlan::kMaxItems; ++i) plan.add<char>("item", 1, Lifetime::kWholeRun);
  EXPECT_TRUE(plan.check().ok());
  plan.add<char>("one too many", 1, Lifetime::kWholeRun);
  EXPECT_EQ(plan.check().code(), Code::kOverBudget);
  EXPECT_EQ(plan.items().size(), MemoryPlan::kMaxItems);
}

TEST(Arena, GivesEachItemItsOwnElements) {
  MemoryPlan plan;
  const Item<std::int8_t> bytes = plan.add<std::int8_t>("bytes", 65, Lifetime::kWholeRun);
  const Item<double> numbers = plan.add<double>("numbers", 100, Lifetime::kWholeRun);
  const Item<float> none = plan.add<float>("none", 0, Lifetime::kOneCall);
  std::vector<Page> block(1);
  ASSERT_EQ(plan.arena_bytes(), sizeof(Page));
  const Result<Arena> arena = Arena::cut(plan, std::as_writable_bytes(std::span(block)));
  ASSERT_TRUE(arena.ok()) << arena.status().message();
  EXPECT_EQ((*arena)[bytes].size(), 65U);
  EXPECT_EQ((*arena)[numbers].size(), 100U);
  EXPECT_TRUE((*arena)[none].empty());
  for (std::int8_t& one : (*arena)[bytes]) one = 7;
  for (double& one : (*arena)[numbers]) one = 0.5;
  for (const std::int8_t one : (*arena)[bytes]) EXPECT_EQ(one, 7);
  EXPECT_EQ(block[0].bytes[0], std::byte{7});
  EXPECT_EQ(reinterpret_cast<std::byte*>((*arena)[numbers].data()) - block[0].bytes, 128);
}

TEST(Arena, IsNotCutFromABlockThatIsTooSmallOrCrooked) {
  MemoryPlan plan;
  plan.add<std::byte>("item", 4000, Lifetime::kWholeRun);
  std::vector<Page> pages(2);
  const std::span<std::byte> block = std::as_writable_bytes(std::span(pages));
  EXPECT_TRUE(Arena::cut(plan, block.first(4096)).ok());
  EXPECT_TRUE(Arena::cut(plan, block.subspan(64)).ok()) << "larger than needed";
  for (const std::span<std::byte> wrong : {block.first(0), block.first(4095), block.subspan(1), block.subspan(32)}) {
    const Result<Arena> arena = Arena::cut(plan, wrong);
    ASSERT_FALSE(arena.ok());
    EXPECT_EQ(arena.status().code(), Code::kOverBudget);
    EXPECT_NE(arena.status().message().find("4096"), std::string_view::npos) << arena.status().message();
  }
}

TEST(PageBlock, IsZeroWritableAndMovesItsOwnership) {
  Result<PageBlock> taken = PageBlock::take(3 * 4096);
  ASSERT_TRUE(taken.ok());
  PageBlock block = std::move(*taken);
  EXPECT_TRUE(taken->bytes().empty()) << "two owners";
  ASSERT_EQ(block.bytes().size(), 3U * 4096);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block.bytes().data()) % 4096, 0U);
  for (std::byte& byte : block.bytes()) {
    ASSERT_EQ(byte, std::byte{0});
    byte = std::byte{1};
  }
  EXPECT_TRUE(PageBlock::take(0)->bytes().empty());
}

TEST(PageBlock, AsksForHugePages) {
  if (!std::filesystem::exists("/sys/kernel/mm/transparent_hugepage")) GTEST_SKIP() << "this kernel has no huge pages";
  const Result<PageBlock> block = PageBlock::take(4 * 1024 * 1024);
  ASSERT_TRUE(block.ok());
  const auto address = reinterpret_cast<std::uintptr_t>(block->bytes().data());
  // proc(5): a line "begin-end ..." in hexadecimal opens each mapping, its flags close it; "hg" is the advice.
  std::ifstream mappings("/proc/self/smaps");
  std::string line;
  bool found = false;
  while (std::getline(mappings, line) && !(found && line.starts_with("VmFlags:"))) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    char dash = 0;
    std::istringstream words(line);
    if (words >> std::hex >> begin >> dash >> end && dash == '-') found = begin <= address && address < end;
  }
  EXPECT_NE(line.find(" hg"), std::string::npos) << line;
}

TEST(PageBlock, NamesTheBytesThatTheSystemDoesNotGrant) {
  for (const std::uint64_t bytes : {kMost, kMost / 2}) {
    const Result<PageBlock> block = PageBlock::take(bytes);
    ASSERT_FALSE(block.ok());
    EXPECT_EQ(block.status().code(), Code::kOverBudget);
    EXPECT_NE(block.status().message().find(std::to_string(bytes)), std::string_view::npos) << block.status().message();
  }
}

}  // namespace
}  // namespace rill
