#pragma once
// Every byte, before it is taken. The plan is the allocator: what is not an item of it cannot be had.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "platform/size.h"
#include "platform/status.h"

namespace rill {

/// When an item's bytes are in use. Nothing is shared between lifetimes: the plan is the peak at every moment.
enum class Lifetime : std::uint8_t {
  kWholeRun,  ///< from start to end
  kOneCall,   ///< while a chunk goes through the model; rewritten by the next
};
std::string_view name_of(Lifetime lifetime);

/// Where an item's bytes are: in the one block, or in the mapped model file.
enum class Region : std::uint8_t { kArena, kMapped };
std::string_view name_of(Region region);

/// One line of the plan.
struct PlanItem {
  std::string_view name;  ///< static text
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;  ///< in the arena
  Region region = Region::kArena;
  Lifetime lifetime = Lifetime::kWholeRun;
};

/// An item of the plan with its element type: what a caller keeps to find its bytes in the arena.
template <typename T>
struct Item {
  std::size_t index = 0;
  std::size_t count = 0;
};

/// All items in the order in which they lie. Filled once, before anything is taken; never allocates.
class MemoryPlan {
 public:
  static constexpr std::size_t kItemAlignment = 64;
  static constexpr std::size_t kMaxItems = 56;
  static constexpr std::size_t kPageBytes = 4096;

  /// Adds `count` elements of T, from the next multiple of 64 bytes. A count that wraps, and a 57th item, are
  /// remembered and reported by check().
  template <typename T>
  Item<T> add(std::string_view name, Size count, Lifetime lifetime) {
    const std::size_t index = add_bytes(name, count * Size(sizeof(T)), Region::kArena, lifetime);
    return {index, static_cast<std::size_t>(count.value)};
  }
  /// Adds bytes that are used where they lie in the mapped model file.
  void add_mapped(std::string_view name, Size bytes) { add_bytes(name, bytes, Region::kMapped, Lifetime::kWholeRun); }

  std::span<const PlanItem> items() const { return {items_.data(), size_}; }
  std::uint64_t arena_bytes() const;   ///< whole pages
  std::uint64_t mapped_bytes() const;  ///< whole pages
  std::uint64_t total_bytes() const { return arena_bytes() + mapped_bytes(); }

  /// kOverBudget if a size wrapped or this machine cannot address the total.
  Status check() const;

 private:
  std::size_t add_bytes(std::string_view name, Size bytes, Region region, Lifetime lifetime);

  std::array<PlanItem, kMaxItems> items_{};
  std::size_t size_ = 0;
  std::uint64_t arena_end_ = 0;
  std::uint64_t mapped_end_ = 0;
  bool wrapped_ = false;
};

/// A block cut along a plan. Borrows the block; there is no allocate(), so nothing unplanned can be taken.
class Arena {
 public:
  Arena() = default;
  /// kOverBudget if the block is smaller than plan.arena_bytes() or not aligned to 64 bytes. Zeroes nothing.
  static Result<Arena> cut(const MemoryPlan& plan, std::span<std::byte> block);

  /// The item's elements, uninitialised but for what the block held.
  template <typename T>
  std::span<T> operator[](Item<T> item) const {
    return {reinterpret_cast<T*>(block_.data() + offsets_[item.index]), item.count};
  }

 private:
  std::span<std::byte> block_;
  std::array<std::uint64_t, MemoryPlan::kMaxItems> offsets_{};
};

/// Anonymous pages from the system, all of them touched, so that what was granted is there. Owns them.
class PageBlock {
 public:
  /// kOverBudget with the system's reason if it does not grant them.
  static Result<PageBlock> take(std::uint64_t bytes);

  PageBlock() = default;
  PageBlock(PageBlock&& other) noexcept;
  PageBlock& operator=(PageBlock&& other) noexcept;
  PageBlock(const PageBlock&) = delete;
  PageBlock& operator=(const PageBlock&) = delete;
  ~PageBlock();

  std::span<std::byte> bytes() const { return bytes_; }

 private:
  std::span<std::byte> bytes_;
};

}  // namespace rill
