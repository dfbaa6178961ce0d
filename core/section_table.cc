#include "core/section_table.h"

#include <zlib.h>

#include <cstring>
#include <iterator>

#include "core/checksum.h"

namespace rill {
namespace {

using format::Encoding;
using format::FileHeader;
using format::Section;
using format::SectionEntry;
using format::SectionRule;

Status damaged(const Text& where, const Text& what, const Text& expected) {
  return bad_input({.where = where, .what = what, .expected = expected, .remedy = damaged_file_remedy()});
}

bool starts_with(std::span<const std::byte> bytes, std::string_view prefix) {
  return bytes.size() >= prefix.size() && std::memcmp(bytes.data(), prefix.data(), prefix.size()) == 0;
}

/// Whether this is a Rill model file at all, of a version that this build reads. Comes before the header's checksum,
/// because another version may have another header.
Status check_identity(std::span<const std::byte> file, const Text& name) {
  if (file.empty()) return damaged(name, text("the file is empty"), text("a Rill model file"));
  if (starts_with(file, "GGUF")) {
    return bad_input({.where = name,
                      .what = text("this is a GGUF file"),
                      .expected = text("a Rill model file"),
                      .remedy = text("convert it with `rill quantize SRC -o OUT.rill`")});
  }
  const std::string_view magic(format::kMagic, sizeof(format::kMagic));
  const std::string_view letters = magic.substr(0, 4);
  if (file.size() >= magic.size() && !starts_with(file, magic)) {
    if (starts_with(file, letters)) {
      return bad_input({.where = name,
                        .what = text("its line ends were changed on the way here"),
                        .expected = {},
                        .remedy = text("copy the file again as binary, not as text")});
    }
    return bad_input({.where = name,
                      .what = text("not a Rill model file"),
                      .expected = text("\"RILL\" at its beginning"),
                      .remedy = text("make one with `rill quantize SRC -o OUT.rill`")});
  }
  if (file.size() < sizeof(FileHeader)) {
    return damaged(name, text("the file is cut off after ", file.size(), " bytes"),
                   text("at least ", sizeof(FileHeader), " for the header"));
  }
  const std::uint32_t version = reinterpret_cast<const FileHeader*>(file.data())->version;
  if (version > format::kVersion) {
    return bad_input({.where = name,
                      .what = text("the file has version ", version, " of the format"),
                      .expected = text("version ", format::kVersion, ", the newest that this build reads"),
                      .remedy = text("update Rill, or make the file anew with this build's `rill quantize`")});
  }
  if (version >= 1 && version < format::kVersion) {
    return bad_input({.where = name,
                      .what = text("the file has version ", version, " of the format"),
                      .expected = text("version ", format::kVersion),
                      .remedy = text("make the file anew with this build's `rill quantize`")});
  }
  if (version != format::kVersion) {
    return damaged(text(name, ", field version at offset 8"), text(version), text(format::kVersion));
  }
  return {};
}

bool is_family_name(std::span<const char> field) {
  std::size_t length = 0;
  while (length < field.size() && field[length] != '\0') {
    const char c = field[length++];
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) return false;
  }
  for (std::size_t i = length; i < field.size(); ++i) {
    if (field[i] != '\0') return false;
  }
  return length > 0;
}

}  // namespace

Text printable(std::string_view name) {
  Text shown;
  for (const char c : name) {
    const char visible = c >= ' ' && c <= '~' ? c : '?';
    shown.append({&visible, 1});
  }
  return shown;
}

Text damaged_file_remedy() { return text("copy the file again or make it anew with `rill quantize`"); }

Status check_place(std::uint64_t offset, std::uint64_t size, std::uint64_t alignment, std::uint64_t end_before,
                   std::uint64_t end, const Text& where, std::string_view outer) {
  if (offset % alignment != 0) {
    return damaged(where, text("offset ", offset), text("a multiple of ", alignment));
  }
  if (offset < end_before) {
    return damaged(where, text("offset ", offset, " overlaps what lies before it"), text("not below ", end_before));
  }
  if (!fits(Size(size), offset, end)) {
    return damaged(where, text(size, " bytes at offset ", offset), text("an end within ", outer, ", ", end));
  }
  if (const Size first = round_up(Size(end_before), alignment); offset != first.value) {
    return damaged(where, text("offset ", offset, " leaves a gap"), text(first.value));
  }
  return {};
}

Result<SectionTable> SectionTable::read(std::span<const std::byte> file, const Text& name) {
  RILL_TRY(check_identity(file, name));
  SectionTable table;
  table.file_ = file;
  RILL_TRY(table.check_header(name));

  const FileHeader& header = table.header();
  table.entries_ = {reinterpret_cast<const SectionEntry*>(file.data() + sizeof(FileHeader)), header.section_count};
  if (crc32(std::as_bytes(table.entries_)) != header.table_crc32) {
    return damaged(text(name, ", section table at offset ", sizeof(FileHeader)), text("its checksum does not match"),
                   text("CRC-32 ", header.table_crc32));
  }
  std::uint64_t end = sizeof(FileHeader) + table.entries_.size_bytes();
  for (std::size_t i = 0; i < table.entries_.size(); ++i) {
    RILL_TRY(table.check_entry(i, end, name));
    end = table.entries_[i].offset + table.entries_[i].stored_bytes;
  }
  for (std::size_t i = 0; i < format::kSectionKinds; ++i) {
    if (format::kSections[i].required && table.found_[i] == nullptr) {
      return damaged(text(name, ", section table"), text("there is no section ", format::kSections[i].name), {});
    }
  }
  if (end != file.size()) {
    return damaged(text(name, ", offset ", end), text(file.size() - end, " bytes after the last section"),
                   text("the file's end"));
  }
  for (const SectionEntry& entry : table.entries_) {
    if (&entry == table.find(Section::kWeights)) continue;
    // Sections lie inside the file, which is mapped whole: both fit a size.
    const auto stored =
        file.subspan(static_cast<std::size_t>(entry.offset), static_cast<std::size_t>(entry.stored_bytes));
    if (crc32(stored) != entry.crc32) {
      return damaged(text(name, ", section ", format::name_of(entry.name), " at offset ", entry.offset),
                     text("its checksum does not match"), text("CRC-32 ", entry.crc32));
    }
  }
  return table;
}

Status SectionTable::check_header(const Text& name) const {
  const FileHeader& h = header();
  const std::span<const std::byte> checked = file_.first(offsetof(FileHeader, header_crc32));
  if (crc32(checked) != h.header_crc32) {
    return damaged(text(name, ", header"), text("its checksum does not match"), text("CRC-32 ", h.header_crc32));
  }
  if (file_.size() < h.file_bytes) {
    return bad_input({.where = name,
                      .what = text("the file is cut off: ", h.file_bytes - file_.size(), " bytes are missing"),
                      .expected = text(h.file_bytes, " bytes"),
                      .remedy = damaged_file_remedy()});
  }
  if (file_.size() > h.file_bytes) {
    return damaged(name, text("the file has ", file_.size(), " bytes"), text(h.file_bytes, " as its header says"));
  }
  if (!is_family_name(h.family)) {
    return damaged(text(name, ", field family at offset ", offsetof(FileHeader, family)),
                   text('"', printable({h.family, sizeof(h.family)}), '"'), text("small letters, digits and '_'"));
  }
  for (const std::uint32_t word : h.reserved) {
    if (word != 0) {
      return damaged(text(name, ", field reserved at offset ", offsetof(FileHeader, reserved)), text(word), text(0));
    }
  }
  if (h.section_count > format::kSectionKinds) {
    return damaged(text(name, ", field section_count at offset ", offsetof(FileHeader, section_count)),
                   text(h.section_count), text("at most ", format::kSectionKinds));
  }
  if (!fits(Size(h.section_count) * sizeof(SectionEntry), sizeof(FileHeader), file_.size())) {
    return damaged(text(name, ", section table at offset ", sizeof(FileHeader)),
                   text(h.section_count, " sections do not fit the file's ", file_.size(), " bytes"), {});
  }
  return {};
}

Status SectionTable::check_entry(std::size_t index, std::uint64_t end_before, const Text& name) {
  const SectionEntry& entry = entries_[index];
  std::size_t kind = 0;
  while (kind < format::kSectionKinds && !format::is_named(entry.name, format::kSections[kind].name)) ++kind;
  if (kind == format::kSectionKinds) {
    return damaged(text(name, ", section table entry ", index),
                   text("unknown section \"", printable(format::name_of(entry.name)), '"'), {});
  }
  const SectionRule& rule = format::kSections[kind];
  const Text where = text(name, ", section ", rule.name);
  if (found_[kind] != nullptr) return damaged(where, text("the section appears twice"), {});
  for (std::size_t later = kind + 1; later < format::kSectionKinds; ++later) {
    if (found_[later] != nullptr) {
      return damaged(where, text("the section comes after ", format::kSections[later].name),
                     text("the format's order"));
    }
  }
  found_[kind] = &entry;

  if (entry.encoding != rule.encoding) {
    return damaged(where, text("encoding ", static_cast<std::uint32_t>(entry.encoding)),
                   text(static_cast<std::uint32_t>(rule.encoding)));
  }
  RILL_TRY(check_place(entry.offset, entry.stored_bytes, rule.alignment, end_before, file_.size(), where, "the file"));
  if (rule.encoding == Encoding::kRaw && entry.raw_bytes != entry.stored_bytes) {
    return damaged(where, text("raw_bytes ", entry.raw_bytes), text("stored_bytes, ", entry.stored_bytes));
  }
  if (entry.raw_bytes == 0) return damaged(where, text("the section is empty"), {});
  if (entry.raw_bytes > rule.most_raw_bytes) {
    return damaged(where, text(entry.raw_bytes, " bytes after decompression"), text("at most ", rule.most_raw_bytes));
  }
  return {};
}

std::span<const std::byte> SectionTable::stored(Section section) const {
  const SectionEntry* entry = find(section);
  if (entry == nullptr) return {};
  return file_.subspan(static_cast<std::size_t>(entry->offset), static_cast<std::size_t>(entry->stored_bytes));
}

Status SectionTable::inflate(Section section, std::span<std::byte> raw, const Text& name) const {
  const std::span<const std::byte> source = stored(section);
  auto raw_bytes = static_cast<uLongf>(raw.size());
  auto source_bytes = static_cast<uLong>(source.size());
  const int result = ::uncompress2(reinterpret_cast<Bytef*>(raw.data()), &raw_bytes,
                                   reinterpret_cast<const Bytef*>(source.data()), &source_bytes);
  const Text where = text(name, ", section ", format::kSections[static_cast<std::size_t>(section)].name);
  if (result == Z_MEM_ERROR) {
    return failed({.where = where, .what = text("no memory to decompress it"), .expected = {}, .remedy = {}});
  }
  if (result != Z_OK || raw_bytes != raw.size() || source_bytes != source.size()) {
    return damaged(where, text("its compressed data is damaged"), text("zlib data for ", raw.size(), " bytes"));
  }
  return {};
}

}  // namespace rill
