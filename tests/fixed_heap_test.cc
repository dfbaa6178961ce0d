// The fixed heap against a shadow that remembers what each block should hold.

#include "platform/fixed_heap.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <list>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <vector>

namespace rill {
namespace {

struct alignas(64) Aligned {
  char bytes[64];
};

TEST(FixedHeap, KeepsEveryBlockApartAndReturnsToItsFirstState) {
  std::vector<std::byte> block(1 << 16);
  FixedHeap heap(block);
  struct Taken {
    std::byte* memory;
    std::size_t bytes;
    std::byte mark;
  };
  std::vector<Taken> taken;
  std::mt19937 generator(3);
  int failures = 0;
  for (int round = 0; round < 20000; ++round) {
    if (taken.empty() || generator() % 100 < 55) {
      const std::size_t bytes = generator() % 10 == 0 ? generator() % 8000 : generator() % 200;
      auto* const memory = static_cast<std::byte*>(heap.allocate(bytes));
      if (memory == nullptr) {
        ++failures;
        continue;
      }
      ASSERT_TRUE(heap.owns(memory));
      ASSERT_EQ(reinterpret_cast<std::uintptr_t>(memory) % alignof(std::max_align_t), 0U);
      const auto mark = static_cast<std::byte>(generator());
      std::memset(memory, static_cast<int>(mark), bytes);
      taken.push_back({memory, bytes, mark});
    } else {
      const std::size_t index = generator() % taken.size();
      for (std::size_t i = 0; i < taken[index].bytes; ++i) ASSERT_EQ(taken[index].memory[i], taken[index].mark);
      heap.release(taken[index].memory);
      taken[index] = taken.back();
      taken.pop_back();
    }
  }
  EXPECT_GT(failures, 0) << "the heap was never full: the test is too easy";
  for (const Taken& one : taken) heap.release(one.memory);
  EXPECT_EQ(heap.used_bytes(), 0U);
  void* const all = heap.allocate((1 << 16) - 128);  // one block again, not pieces
  EXPECT_NE(all, nullptr);
}

TEST(FixedHeap, IsOperatorNewInsideAScopeAndThrowsWhenFull) {
  std::vector<std::byte> block(8192);
  FixedHeap heap(block);
  std::unique_ptr<std::string> text;
  std::unique_ptr<Aligned> aligned;
  bool threw = false;
  {
    const FixedHeap::Scope scope(heap);
    text = std::make_unique<std::string>(100, 'x');
    aligned = std::make_unique<Aligned>();
    try {
      const std::vector<char> large(100000);
    } catch (const std::bad_alloc&) {
      threw = true;
    }
  }
  EXPECT_TRUE(threw);
  EXPECT_TRUE(heap.owns(text.get()));
  EXPECT_TRUE(heap.owns(text->data()));
  EXPECT_TRUE(heap.owns(aligned.get()));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(aligned.get()) % 64, 0U);
  const auto outside = std::make_unique<int>(5);
  EXPECT_FALSE(heap.owns(outside.get()));
  text.reset();  // outside the scope: the address says whose it is
  aligned.reset();
  EXPECT_EQ(heap.used_bytes(), 0U);
}

TEST(FixedHeap, OfTooSmallABlockRefusesEverything) {
  std::vector<std::byte> block(16);
  FixedHeap heap(block);
  EXPECT_EQ(heap.allocate(1), nullptr);
}

}  // namespace
}  // namespace rill
