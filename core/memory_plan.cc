#include "core/memory_plan.h"

#include <sys/mman.h>

#include <cstring>
#include <utility>

namespace rill {

std::string_view name_of(Lifetime lifetime) {
  switch (lifetime) {
    case Lifetime::kWholeRun:
      return "whole run";
    case Lifetime::kOneCall:
      return "one call";
  }
  return "";
}

std::string_view name_of(Region region) { return region == Region::kArena ? "arena" : "mapped"; }

std::size_t MemoryPlan::add_bytes(std::string_view name, Size bytes, Region region, Lifetime lifetime) {
  std::uint64_t& end = region == Region::kArena ? arena_end_ : mapped_end_;
  const Size offset = round_up(Size(end), kItemAlignment);
  const Size next = round_up(offset + bytes, kPageBytes);  // checked with the last page, so that arena_bytes() is exact
  if (next.wrapped || next.value > PTRDIFF_MAX || size_ == kMaxItems) {
    wrapped_ = true;
    return 0;
  }
  items_[size_] = {.name = name, .bytes = bytes.value, .offset = offset.value, .region = region, .lifetime = lifetime};
  end = offset.value + bytes.value;
  return size_++;
}

std::uint64_t MemoryPlan::arena_bytes() const { return round_up(Size(arena_end_), kPageBytes).value; }
std::uint64_t MemoryPlan::mapped_bytes() const { return round_up(Size(mapped_end_), kPageBytes).value; }

Status MemoryPlan::check() const {
  const Size total = Size(arena_bytes()) + Size(mapped_bytes());
  if (wrapped_ || total.wrapped || total.value > PTRDIFF_MAX) {
    return over_budget({.where = text("memory plan"),
                        .what = text("more bytes than this machine can address"),
                        .expected = text("at most ", PTRDIFF_MAX),
                        .remedy = text("use a smaller model, --window or --chunk")});
  }
  return {};
}

Result<Arena> Arena::cut(const MemoryPlan& plan, std::span<std::byte> block) {
  RILL_TRY(plan.check());
  if (block.size() < plan.arena_bytes() ||
      reinterpret_cast<std::uintptr_t>(block.data()) % MemoryPlan::kItemAlignment != 0) {
    return over_budget({.where = text("arena"),
                        .what = text("a block of ", block.size(), " bytes"),
                        .expected = text(plan.arena_bytes(), ", aligned to ", MemoryPlan::kItemAlignment),
                        .remedy = text("give the plan's arena_bytes()")});
  }
  Arena arena;
  arena.block_ = block;
  for (std::size_t i = 0; i < plan.items().size(); ++i) arena.offsets_[i] = plan.items()[i].offset;
  return arena;
}

Result<PageBlock> PageBlock::take(std::uint64_t bytes) {
  if (bytes == 0) return PageBlock();
  void* address = MAP_FAILED;
  if (bytes <= PTRDIFF_MAX) {
    address =
        ::mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  if (address == MAP_FAILED) {
    const Status reason = system_failure(text("arena"), "taking memory");
    return over_budget({.where = text("arena"),
                        .what = text("the system does not grant ", bytes, " bytes (", reason.message(), ")"),
                        .expected = {},
                        .remedy = text("use a smaller model, --window or --chunk, or free some memory")});
  }
  PageBlock block;
  block.bytes_ = {static_cast<std::byte*>(address), static_cast<std::size_t>(bytes)};
  // Fewer entries in the tables of pages to look up while keys, values and weights stream by. A kernel that has no huge
  // pages refuses, which changes nothing but the time; how much is taken is the same, for every byte is touched at
  // once.
  ::madvise(address, block.bytes_.size(), MADV_HUGEPAGE);
  std::memset(address, 0, block.bytes_.size());
  return block;
}

PageBlock::PageBlock(PageBlock&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

PageBlock& PageBlock::operator=(PageBlock&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

PageBlock::~PageBlock() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

}  // namespace rill
