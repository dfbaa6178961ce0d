// The fixed heap against a shadow that remembers what each block should hold.

#include "platform/fixed_heap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <list>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <thread>
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
      ::operator delete(::operator new(100000));  // a call, which no compiler may leave out as it may a new-expression
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

TEST(FixedHeap, GivesTheSameAddressesAgainOnceAllIsReleased) {
  std::vector<std::byte> block(1 << 14);
  FixedHeap heap(block);
  const auto serve = [&] {
    std::mt19937 generator(5);
    std::vector<void*> taken;
    for (int i = 0; i < 60; ++i) taken.push_back(heap.allocate(generator() % 200));
    std::vector<void*> order = taken;
    std::shuffle(order.begin(), order.end(), generator);
    for (void* const memory : order) heap.release(memory);
    return taken;
  };
  const std::vector<void*> first = serve();
  EXPECT_EQ(std::count(first.begin(), first.end(), nullptr), 0);
  EXPECT_EQ(heap.used_bytes(), 0U);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(serve(), first);
}

TEST(FixedHeap, IsFullAtItsEndAndServesAgainAfterARelease) {
  std::vector<std::byte> block(4096);
  FixedHeap heap(block);
  std::vector<void*> taken;
  for (void* memory = heap.allocate(100); memory != nullptr; memory = heap.allocate(100)) taken.push_back(memory);
  EXPECT_GE(taken.size(), 4096U / 128 - 1) << "100 bytes and a header of 16, in units of 16";
  EXPECT_EQ(heap.allocate(4000), nullptr);
  heap.release(taken[taken.size() / 2]);
  EXPECT_EQ(heap.allocate(100), taken[taken.size() / 2]);
  EXPECT_EQ(heap.allocate(100), nullptr);
  for (void* const memory : taken) heap.release(memory);
  EXPECT_EQ(heap.used_bytes(), 0U);
}

TEST(FixedHeap, RefusesSizesThatWouldWrap) {
  std::vector<std::byte> block(4096);
  FixedHeap heap(block);
  for (const std::size_t bytes : {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 32, SIZE_MAX / 2, std::size_t{4096}}) {
    EXPECT_EQ(heap.allocate(bytes), nullptr) << bytes;
  }
  heap.release(nullptr);
  EXPECT_EQ(heap.used_bytes(), 0U);
}

TEST(FixedHeap, RemembersTheMostThatWasInUse) {
  std::vector<std::byte> block(8192);
  FixedHeap heap(block);
  void* const one = heap.allocate(1000);
  void* const two = heap.allocate(2000);
  const std::size_t peak = heap.used_bytes();
  EXPECT_GE(peak, 3000U);
  heap.release(one);
  EXPECT_EQ(heap.peak_bytes(), peak);
  heap.forget_peak();
  EXPECT_EQ(heap.peak_bytes(), heap.used_bytes());
  heap.release(two);
}

TEST(FixedHeap, ServesAlignedMemoryOfACrookedBlock) {
  std::vector<std::byte> block(8192);
  for (std::size_t shift = 0; shift < 16; ++shift) {
    FixedHeap heap(std::span<std::byte>(block).subspan(shift));
    void* const memory = heap.allocate(8000);
    ASSERT_NE(memory, nullptr) << shift;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % alignof(std::max_align_t), 0U);
    std::memset(memory, 1, 8000);
    heap.release(memory);
  }
}

TEST(OperatorNew, GivesEveryAlignmentInsideAndOutsideAScope) {
  std::vector<std::byte> block(1 << 16);
  FixedHeap heap(block);
  for (std::size_t power = 0; power <= 12; ++power) {
    const std::align_val_t alignment{std::size_t{1} << power};
    for (const std::size_t bytes : {0U, 1U, 63U, 64U, 1000U}) {
      void* inside = nullptr;
      {
        const FixedHeap::Scope scope(heap);
        inside = ::operator new(bytes, alignment);
      }
      void* const outside = ::operator new(bytes, alignment);
      EXPECT_TRUE(heap.owns(inside));
      EXPECT_FALSE(heap.owns(outside));
      for (void* const memory : {inside, outside}) {
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % (std::size_t{1} << power), 0U);
        std::memset(memory, 0xff, bytes);
        ::operator delete(memory, alignment);
      }
      EXPECT_EQ(heap.used_bytes(), 0U) << bytes << " on " << (1U << power);
    }
  }
}

TEST(OperatorNew, RefusesSizesThatWouldWrapInsideAndOutsideAScope) {
  std::vector<std::byte> block(4096);
  FixedHeap heap(block);
  const volatile std::size_t most = SIZE_MAX;  // a compiler may refuse a call whose size it knows to be absurd
  for (std::size_t distance = 0; distance < 63; ++distance) {
    const std::size_t bytes = most - distance;
    EXPECT_EQ(::operator new (bytes, std::align_val_t{64}, std::nothrow), nullptr) << distance;
    const FixedHeap::Scope scope(heap);
    EXPECT_EQ(::operator new (bytes, std::align_val_t{64}, std::nothrow), nullptr) << distance;
    EXPECT_EQ(::operator new(bytes, std::nothrow), nullptr) << distance;
  }
  EXPECT_EQ(heap.used_bytes(), 0U);
}

TEST(OperatorNew, BelongsToTheScopesThreadAlone) {
  std::vector<std::byte> block(4096);
  FixedHeap heap(block);
  bool from_heap = true;
  std::thread other;
  {
    std::atomic<bool> begun{false};
    other = std::thread([&] {
      while (!begun.load()) std::this_thread::yield();
      from_heap = heap.owns(std::make_unique<int>(1).get());
    });
    const FixedHeap::Scope scope(heap);
    begun.store(true);
    other.join();
  }
  EXPECT_FALSE(from_heap);
}

}  // namespace
}  // namespace rill
