#pragma once
// The outermost shell of a .rill file: its header, its table of sections, and how its compressed sections are read.

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "core/model_format.h"
#include "platform/status.h"

namespace rill {

/// The sections of a file whose header, table and small sections' checksums have been checked. Borrows the file.
class SectionTable {
 public:
  /// Checks everything but what lies inside the sections: magic, version, header, size, and of each section its name,
  /// encoding, place and checksum. The checksum of "weights" is left to ModelFile::verify(): it would read every page.
  /// @param file  aligned to 8 bytes, as every mapping is; borrowed.
  /// @param name  what sentences begin with.
  static Result<SectionTable> read(std::span<const std::byte> file, const Text& name);

  const format::FileHeader& header() const { return *reinterpret_cast<const format::FileHeader*>(file_.data()); }
  std::span<const format::SectionEntry> entries() const { return entries_; }
  /// nullptr if the file has no such section.
  const format::SectionEntry* find(format::Section section) const { return found_[static_cast<std::size_t>(section)]; }
  /// The section's bytes as they lie in the file; empty if there is none.
  std::span<const std::byte> stored(format::Section section) const;
  /// Decompresses a section of Encoding::kZlib.
  /// @param raw  raw_bytes of its entry.
  Status inflate(format::Section section, std::span<std::byte> raw, const Text& name) const;

 private:
  Status check_header(const Text& name) const;
  Status check_entry(std::size_t index, std::uint64_t end_before, const Text& name);

  std::span<const std::byte> file_;
  std::span<const format::SectionEntry> entries_;
  std::array<const format::SectionEntry*, format::kSectionKinds> found_{};
};

/// A name from a file as it may be shown: what is not printable ASCII becomes '?'.
Text printable(std::string_view name);

/// "make the file anew": the remedy that ends every sentence about a damaged model file.
Text damaged_file_remedy();

/// Checks that [offset, offset + size) begins at the first multiple of `alignment` not below `end_before`, and lies
/// before `end`: so nothing overlaps and nothing is hidden between.
/// @param where  the file and the part
/// @param outer  what it must lie in
Status check_place(std::uint64_t offset, std::uint64_t size, std::uint64_t alignment, std::uint64_t end_before,
                   std::uint64_t end, const Text& where, std::string_view outer);

}  // namespace rill
