#pragma once
// A .rill file taken apart and put together again with all checksums and places right, so that a fuzzer's changes reach
// what lies behind them.

#include <array>
#include <cstddef>
#include <span>
#include <string>

#include "core/model_config.h"
#include "core/model_format.h"

namespace rill::fuzz {

struct RillParts {
  std::string family = "llama";
  /// By format::Section; config and chat decompressed. Empty: the file has no such section.
  std::array<std::string, format::kSectionKinds> sections;

  std::string& operator[](format::Section section) { return sections[static_cast<std::size_t>(section)]; }
};

/// Makes every checksum, and the size in the header, those of the bytes that are there.
/// @param file  aligned to 8 bytes
void mend_checksums(std::span<std::byte> file);

/// @returns false if the file cannot be taken apart
bool take_apart(std::span<const std::byte> file, RillParts& parts);

/// Offsets in the tensor table are moved along with the weights that they point into.
std::string put_together(RillParts parts);

/// Makes the tensor table and the weights those that the configuration asks for, the weights' bytes being those that
/// were there, over and over. @returns false, and leaves the parts alone, if it asks for more than `most_bytes`.
bool fit_tensors_to_config(RillParts& parts, std::size_t most_bytes);

}  // namespace rill::fuzz
