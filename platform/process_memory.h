#pragma once
// What the system says this process takes.

#include <cstdint>

namespace rill {

/// Resident memory now, in bytes; 0 where the system does not say. Opens and reads a small file, allocates nothing.
std::uint64_t resident_bytes();
/// The most there ever was.
std::uint64_t peak_resident_bytes();

}  // namespace rill
