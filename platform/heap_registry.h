#pragma once
// Which fixed heaps there are, so that `operator delete` can tell whose memory it is given. See operator_new.cc.

#include <cstddef>
#include <span>

namespace rill {
class FixedHeap;
}

namespace rill::detail {

/// Most fixed heaps at a time.
inline constexpr std::size_t kMaxHeaps = 64;

/// False if there are too many.
bool register_heap(FixedHeap& heap, std::span<std::byte> block);
void unregister_heap(std::span<std::byte> block);
/// The heap whose block holds the address, the innermost of several; nullptr if none does.
FixedHeap* heap_of(const void* memory);

}  // namespace rill::detail
