#pragma once
// What the system says this process takes.

#include <cstddef>
#include <cstdint>
#include <span>

namespace rill {

// These two read a small file each, which the first call opens and which stays open; they allocate nothing.

/// Resident memory now, in bytes; 0 where the system does not say.
std::uint64_t resident_bytes();
/// The most there ever was of this program.
std::uint64_t peak_resident_bytes();

/// How much of these bytes is mapped by huge pages (2 MiB on most machines), at most: where they are a part of a
/// mapping the system tells of all of it. 0 where it does not say.
std::uint64_t huge_page_bytes(std::span<const std::byte> mapped);

/// Lets go of what only the start needed: what was freed on the heap, where the C library can tell (glibc), and the
/// pages of the program's and its libraries' files (dynamic linking, reading the command line). The latter were never
/// written to, and what is used again comes back from the page cache.
void release_startup_memory();

}  // namespace rill
