#pragma once
// Counts what a process allocates, ours or a library's: malloc, calloc, realloc, the aligned forms, operator new, mmap.
//
// The counting stands in front of the C library's own functions, so it works only in a program that links the CMake
// target rill_allocation_watch; with a sanitizer it hangs on to the sanitizer's hooks instead. What `operator new`
// takes from a FixedHeap is not an allocation.

#include <cstdint>

namespace rill {

/// Allocations of all threads since the process began. Starts the watch if it needs starting.
std::uint64_t allocations_so_far();
/// The same of the calling thread alone.
std::uint64_t allocations_of_this_thread();

}  // namespace rill
