#include "platform/fixed_heap.h"

#include <algorithm>
#include <bit>

#include "platform/heap_registry.h"
#include "platform/size.h"

namespace rill {

/// A block's header; what follows is the payload, or, while the block is free, the links of its bin.
struct FixedHeap::Block {
  std::size_t size;           ///< with the header, a multiple of kUnit; bit 0: in use
  std::size_t previous_size;  ///< of the block before it; 0 for the first

  // Only while free:
  Block* next;
  Block* previous;
};

namespace {

constexpr std::size_t kUnit = 16;
constexpr std::size_t kHeader = 2 * sizeof(std::size_t);
static_assert(kHeader <= kUnit && alignof(std::max_align_t) <= kUnit);
constexpr std::size_t kLeastBlock = 2 * kUnit;
constexpr std::size_t kInUse = 1;

}  // namespace

std::size_t FixedHeap::bin_of(std::size_t size) {
  const std::size_t power = std::bit_width(size) - 1;  // size >= 32: power >= 5
  // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): it does not know what bit_width returns
  const std::size_t quarter = (size >> (power - 2)) & 3U;
  return std::min((power - 5) * 4 + quarter, kBins - 1);
}

void FixedHeap::insert(Block* block) {
  const std::size_t bin = bin_of(block->size);
  block->previous = nullptr;
  block->next = bins_[bin];
  if (block->next != nullptr) block->next->previous = block;
  bins_[bin] = block;
  used_bins_ |= std::uint64_t{1} << bin;
}

void FixedHeap::remove(Block* block) {
  const std::size_t bin = bin_of(block->size);
  if (block->next != nullptr) block->next->previous = block->previous;
  (block->previous != nullptr ? block->previous->next : bins_[bin]) = block->next;
  if (bins_[bin] == nullptr) used_bins_ &= ~(std::uint64_t{1} << bin);
}

FixedHeap::Block* FixedHeap::find(std::size_t size) const {
  const std::size_t bin = bin_of(size);
  // Any block of a higher bin is large enough; in its own bin some may not be.
  const std::uint64_t higher = bin + 1 < kBins ? used_bins_ >> (bin + 1) << (bin + 1) : 0;
  if (higher != 0) return bins_[static_cast<std::size_t>(std::countr_zero(higher))];
  for (Block* block = bins_[bin]; block != nullptr; block = block->next) {
    if (block->size >= size) return block;
  }
  return nullptr;
}

FixedHeap::FixedHeap(std::span<std::byte> block) {
  const auto address = reinterpret_cast<std::uintptr_t>(block.data());
  const std::size_t skip = (kUnit - address % kUnit) % kUnit;
  if (block.size() < skip + kLeastBlock + kHeader) return;  // every allocate() then fails
  block_ = block.subspan(skip);
  block_ = block_.first(block_.size() / kUnit * kUnit);
  auto* first = reinterpret_cast<Block*>(block_.data());
  first->size = block_.size() - kUnit;
  first->previous_size = 0;
  auto* end = reinterpret_cast<Block*>(block_.data() + first->size);  // only its two sizes exist
  end->size = kInUse;
  end->previous_size = first->size;
  if (!detail::register_heap(*this, block_)) {  // operator delete could not know its blocks
    block_ = {};
    return;
  }
  insert(first);
}

FixedHeap::~FixedHeap() {
  if (!block_.empty()) detail::unregister_heap(block_);
}

void* FixedHeap::allocate(std::size_t bytes) {
  if (bytes > block_.size()) return nullptr;
  const std::size_t size = std::max(round_up(bytes + kUnit, kUnit), kLeastBlock);
  Block* const block = find(size);
  if (block == nullptr) return nullptr;
  remove(block);
  if (block->size - size >= kLeastBlock) {
    auto* rest = reinterpret_cast<Block*>(reinterpret_cast<std::byte*>(block) + size);
    rest->size = block->size - size;
    rest->previous_size = size;
    auto* after = reinterpret_cast<Block*>(reinterpret_cast<std::byte*>(rest) + rest->size);
    after->previous_size = rest->size;
    block->size = size;
    insert(rest);
  }
  used_bytes_ += block->size;
  peak_bytes_ = std::max(peak_bytes_, used_bytes_);
  block->size |= kInUse;
  return reinterpret_cast<std::byte*>(block) + kUnit;
}

void FixedHeap::release(void* memory) {
  if (memory == nullptr) return;
  auto* block = reinterpret_cast<Block*>(static_cast<std::byte*>(memory) - kUnit);
  block->size &= ~kInUse;
  used_bytes_ -= block->size;
  auto* after = reinterpret_cast<Block*>(reinterpret_cast<std::byte*>(block) + block->size);
  if ((after->size & kInUse) == 0) {
    remove(after);
    block->size += after->size;
  }
  if (block->previous_size != 0) {
    auto* before = reinterpret_cast<Block*>(reinterpret_cast<std::byte*>(block) - block->previous_size);
    if ((before->size & kInUse) == 0) {
      remove(before);
      before->size += block->size;
      block = before;
    }
  }
  after = reinterpret_cast<Block*>(reinterpret_cast<std::byte*>(block) + block->size);
  after->previous_size = block->size;
  insert(block);
}

bool FixedHeap::owns(const void* memory) const {
  const auto* address = static_cast<const std::byte*>(memory);
  return address >= block_.data() && address < block_.data() + block_.size();
}

}  // namespace rill
