#pragma once
// The fixed heap: malloc and free over one block that never grows, for library code that must allocate
// (libsentencepiece, PCRE2). A library that calls `operator new` is sent here by a Scope; see operator_new.cc.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "platform/function_ref.h"

namespace rill {

/// A general-purpose heap over borrowed memory. Not thread-safe: one caller at a time.
///
///   memory: | header, payload | header, payload (free) | header, payload | ... | end mark |
///
/// Free blocks are kept in bins by size and neighbouring ones are always merged, so that a call which frees all it took
/// leaves the heap as it found it: a heap that served a request once serves it for ever.
class FixedHeap {
 public:
  /// @param block  borrowed, must outlive the heap; at least 64 bytes. It may be a block of another heap. A heap beyond
  /// the
  ///               64 that there may be at a time serves nothing, as if it were full.
  explicit FixedHeap(std::span<std::byte> block);
  /// What is still in use goes with the block.
  ~FixedHeap();
  FixedHeap(const FixedHeap&) = delete;
  FixedHeap& operator=(const FixedHeap&) = delete;

  /// @returns memory aligned for any object (alignof(std::max_align_t)), or nullptr when no free block is large enough.
  void* allocate(std::size_t bytes);
  /// @param memory  from allocate() of this heap, or nullptr.
  void release(void* memory);
  /// True if the address lies in this heap's block.
  bool owns(const void* memory) const;

  std::size_t used_bytes() const { return used_bytes_; }  ///< now, with headers
  std::size_t peak_bytes() const { return peak_bytes_; }  ///< the most there ever was
  void forget_peak() { peak_bytes_ = used_bytes_; }       ///< begins the peak anew
  std::size_t capacity() const { return block_.size(); }

  /// While it lives, this thread's `operator new` draws on the heap and throws std::bad_alloc when it is full, never
  /// going to the system. `operator delete` needs no scope: it knows its block by the address. Scopes do not nest.
  class Scope {
   public:
    explicit Scope(FixedHeap& heap);
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope();
  };

  /// Calls work() inside a Scope of this heap. If the heap becomes full, the call is abandoned where it stands: left by
  /// longjmp, no destructor run, what it took still taken. For library code whose destructors do not survive a
  /// bad_alloc; it may hold nothing but memory of this heap, which its owner then gives up as a whole.
  /// @returns false if the call was abandoned.
  bool run_or_abandon(FunctionRef<void()> work);

 private:
  struct Block;
  static constexpr std::size_t kBins =
      64;  // four to each power of two, from 32 bytes to 2 MiB; the last takes the rest

  static std::size_t bin_of(std::size_t size);
  void insert(Block* block);
  void remove(Block* block);
  Block* find(std::size_t size) const;

  std::span<std::byte> block_;
  std::array<Block*, kBins> bins_{};
  std::uint64_t used_bins_ = 0;  ///< a bit per bin that is not empty
  std::size_t used_bytes_ = 0;
  std::size_t peak_bytes_ = 0;
};

}  // namespace rill
