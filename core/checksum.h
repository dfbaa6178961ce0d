#pragma once
// CRC-32 as zlib computes it: the checksum of everything in a .rill file.

#include <cstddef>
#include <cstdint>
#include <span>

namespace rill {

/// @param before  the checksum of what comes before these bytes; 0 at the beginning.
std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t before = 0);

/// The checksum of two runs of bytes from the checksum of each, without reading them again.
/// @param second_bytes  how long the second run is.
std::uint32_t crc32_joined(std::uint32_t first, std::uint32_t second, std::size_t second_bytes);

}  // namespace rill
