// The program's operator new and operator delete. Outside a FixedHeap::Scope they are malloc and free; inside one, new
// draws on the scope's heap alone and throws std::bad_alloc when it is full. delete goes by the address, so an object
// may outlive the scope in which it was made. The registry of heaps has a fixed size and no lock: heaps come and go
// before the start, not while text is encoded.

#include <atomic>
#include <csetjmp>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "platform/fixed_heap.h"
#include "platform/heap_registry.h"
#include "platform/size.h"

namespace rill {
namespace {

struct Range {
  std::atomic<std::byte*> begin{nullptr};  ///< nullptr: not in use
  std::atomic<std::byte*> end{nullptr};
  std::atomic<FixedHeap*> heap{nullptr};
};

constinit Range ranges[detail::kMaxHeaps];
constinit std::atomic<std::size_t> ranges_in_use{0};  ///< no range at or behind this index was ever used
constinit thread_local FixedHeap* scope_heap = nullptr;
constinit thread_local std::jmp_buf* way_out = nullptr;  ///< of run_or_abandon()

/// For alignments above the heap's own the payload is moved up and the block's start is kept right before it.
void* allocate_aligned(FixedHeap& heap, std::size_t bytes, std::size_t alignment) {
  if (alignment <= alignof(std::max_align_t)) return heap.allocate(bytes);
  const Size needed = Size(bytes) + Size(alignment) + Size(sizeof(void*));
  if (needed.wrapped || needed.value > heap.capacity()) return nullptr;
  auto* const start = static_cast<std::byte*>(heap.allocate(static_cast<std::size_t>(needed.value)));
  if (start == nullptr) return nullptr;
  const auto address = reinterpret_cast<std::uintptr_t>(start) + sizeof(void*);
  std::byte* const aligned =
      start + (round_up(std::size_t{address}, alignment) - reinterpret_cast<std::uintptr_t>(start));
  reinterpret_cast<void**>(aligned)[-1] = start;
  return aligned;
}

void* allocate(std::size_t bytes, std::size_t alignment) {
  if (scope_heap != nullptr) {
    void* const memory = allocate_aligned(*scope_heap, bytes, alignment);
    if (memory == nullptr && way_out != nullptr) std::longjmp(*way_out, 1);
    return memory;
  }
  if (bytes == 0) bytes = 1;
  if (alignment <= alignof(std::max_align_t)) return std::malloc(bytes);
  const Size rounded = round_up(Size(bytes), alignment);
  if (rounded.wrapped || rounded.value > SIZE_MAX) return nullptr;  // on 32 bits 2^32 does not wrap a Size
  return std::aligned_alloc(alignment, static_cast<std::size_t>(rounded.value));
}

void release(void* memory, std::size_t alignment) {
  FixedHeap* const heap = detail::heap_of(memory);
  if (heap == nullptr) {
    std::free(memory);
  } else {
    heap->release(alignment <= alignof(std::max_align_t) ? memory : static_cast<void**>(memory)[-1]);
  }
}

void* allocate_or_throw(std::size_t bytes, std::size_t alignment) {
  void* const memory = allocate(bytes, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

FixedHeap::Scope::Scope(FixedHeap& heap) { scope_heap = &heap; }
FixedHeap::Scope::~Scope() { scope_heap = nullptr; }

// The C++ standard leaves a longjmp past destructors undefined; on the systems that Rill is built for it means what it
// means in C: nothing of the frames between is run. That is what is wanted here. Protocol buffers count an element of a
// repeated field before they make it: after a bad_alloc, the field's destructor follows a pointer that was never set.
bool FixedHeap::run_or_abandon(FunctionRef<void()> work) {
  std::jmp_buf here;
  if (setjmp(here) != 0) {  // NOLINT(cert-err52-cpp)
    way_out = nullptr;
    scope_heap = nullptr;
    return false;
  }
  const Scope scope(*this);
  way_out = &here;
  work();  // may not throw: way_out would outlive this frame
  way_out = nullptr;
  return true;
}

bool detail::register_heap(FixedHeap& heap, std::span<std::byte> block) {
  for (std::size_t i = 0; i < kMaxHeaps; ++i) {
    FixedHeap* none = nullptr;
    if (!ranges[i].heap.compare_exchange_strong(none, &heap)) continue;
    ranges[i].end.store(block.data() + block.size());
    ranges[i].begin.store(block.data());
    std::size_t used = ranges_in_use.load();
    while (used < i + 1 && !ranges_in_use.compare_exchange_weak(used, i + 1)) {
    }
    return true;
  }
  return false;
}

void detail::unregister_heap(std::span<std::byte> block) {
  for (Range& range : ranges) {
    if (range.begin.load() != block.data()) continue;
    range.begin.store(nullptr);
    range.end.store(nullptr);
    range.heap.store(nullptr);
    return;
  }
}

FixedHeap* detail::heap_of(const void* memory) {
  const auto* const address = static_cast<const std::byte*>(memory);
  const std::size_t used = ranges_in_use.load(std::memory_order_relaxed);
  FixedHeap* innermost = nullptr;
  std::size_t least = SIZE_MAX;
  for (std::size_t i = 0; i < used; ++i) {
    const std::byte* const begin = ranges[i].begin.load(std::memory_order_acquire);
    const std::byte* const end = ranges[i].end.load(std::memory_order_relaxed);
    if (begin == nullptr || address < begin || address >= end || static_cast<std::size_t>(end - begin) >= least)
      continue;
    least = static_cast<std::size_t>(end - begin);
    innermost = ranges[i].heap.load(std::memory_order_relaxed);
  }
  return innermost;
}

}  // namespace rill

// Every form that the standard names; the array forms of the library call these.
void* operator new(std::size_t bytes) { return rill::allocate_or_throw(bytes, 1); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return rill::allocate_or_throw(bytes, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t bytes, const std::nothrow_t& /*tag*/) noexcept { return rill::allocate(bytes, 1); }
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t& /*tag*/) noexcept {
  return rill::allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes) { return rill::allocate_or_throw(bytes, 1); }
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return rill::allocate_or_throw(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, const std::nothrow_t& /*tag*/) noexcept { return rill::allocate(bytes, 1); }
void* operator new[](std::size_t bytes, std::align_val_t alignment, const std::nothrow_t& /*tag*/) noexcept {
  return rill::allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { rill::release(memory, 1); }
void operator delete(void* memory, std::size_t /*bytes*/) noexcept { rill::release(memory, 1); }
void operator delete(void* memory, const std::nothrow_t& /*tag*/) noexcept { rill::release(memory, 1); }
void operator delete(void* memory, std::align_val_t alignment) noexcept {
  rill::release(memory, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory, std::size_t /*bytes*/, std::align_val_t alignment) noexcept {
  rill::release(memory, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory, std::align_val_t alignment, const std::nothrow_t& /*tag*/) noexcept {
  rill::release(memory, static_cast<std::size_t>(alignment));
}
void operator delete[](void* memory) noexcept { rill::release(memory, 1); }
void operator delete[](void* memory, std::size_t /*bytes*/) noexcept { rill::release(memory, 1); }
void operator delete[](void* memory, const std::nothrow_t& /*tag*/) noexcept { rill::release(memory, 1); }
void operator delete[](void* memory, std::align_val_t alignment) noexcept {
  rill::release(memory, static_cast<std::size_t>(alignment));
}
void operator delete[](void* memory, std::size_t /*bytes*/, std::align_val_t alignment) noexcept {
  rill::release(memory, static_cast<std::size_t>(alignment));
}
void operator delete[](void* memory, std::align_val_t alignment, const std::nothrow_t& /*tag*/) noexcept {
  rill::release(memory, static_cast<std::size_t>(alignment));
}
