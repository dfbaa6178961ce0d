#include "tests/fuzz/rill_parts.h"

#include <zlib.h>

#include <cstring>

#include "core/checksum.h"
#include "core/config_section.h"
#include "core/model_tensors.h"
#include "core/section_table.h"

namespace rill::fuzz {
namespace {

using format::FileHeader;
using format::Section;
using format::SectionEntry;
using format::TensorEntry;

template <typename T>
T load(std::span<const std::byte> bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

template <typename T>
void store(std::string& bytes, std::size_t offset, const T& value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

std::uint32_t crc_of(std::string_view bytes) { return crc32(std::as_bytes(std::span(bytes))); }

std::string compressed(const std::string& raw) {
  uLongf size = ::compressBound(static_cast<uLong>(raw.size()));
  std::string out(size, '\0');
  ::compress(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(raw.data()),
             static_cast<uLong>(raw.size()));
  out.resize(size);
  return out;
}

}  // namespace

void mend_checksums(std::span<std::byte> file) {
  if (file.size() < sizeof(FileHeader)) return;
  auto& header = *reinterpret_cast<FileHeader*>(file.data());
  header.file_bytes = file.size();
  if (header.section_count <= format::kSectionKinds &&
      sizeof(FileHeader) + header.section_count * sizeof(SectionEntry) <= file.size()) {
    const std::span<SectionEntry> entries(reinterpret_cast<SectionEntry*>(file.data() + sizeof(FileHeader)),
                                          header.section_count);
    for (SectionEntry& entry : entries) {
      if (!fits(Size(entry.stored_bytes), entry.offset, file.size())) continue;
      entry.crc32 = crc32(file.subspan(entry.offset, entry.stored_bytes));
    }
    header.table_crc32 = crc32(std::as_bytes(entries));
  }
  header.header_crc32 = crc32(file.first(offsetof(FileHeader, header_crc32)));
}

bool take_apart(std::span<const std::byte> file, RillParts& parts) {
  const auto table = SectionTable::read(file, text("parts"));
  if (!table.ok()) return false;
  parts.family = std::string(format::name_of(table->header().family));
  for (std::size_t i = 0; i < format::kSectionKinds; ++i) {
    const auto section = static_cast<Section>(i);
    const SectionEntry* entry = table->find(section);
    std::string& bytes = parts[section];
    bytes.clear();
    if (entry == nullptr) continue;
    if (entry->encoding == format::Encoding::kZlib) {
      bytes.resize(entry->raw_bytes);
      if (!table->inflate(section, std::as_writable_bytes(std::span(bytes)), text("parts")).ok()) return false;
    } else {
      const std::span<const std::byte> stored = table->stored(section);
      bytes.assign(reinterpret_cast<const char*>(stored.data()), stored.size());
    }
  }
  return true;
}

std::string put_together(RillParts parts) {
  std::uint32_t count = 0;
  for (const std::string& section : parts.sections) count += section.empty() ? 0 : 1;
  std::string file(sizeof(FileHeader) + count * sizeof(SectionEntry), '\0');
  // The weights' place depends on what is before them, and the tensor table, which is before them, on their place.
  std::string stored[format::kSectionKinds];
  std::uint64_t end = file.size();
  std::uint64_t offsets[format::kSectionKinds] = {};
  for (std::size_t i = 0; i < format::kSectionKinds; ++i) {
    const bool is_packed = format::kSections[i].encoding == format::Encoding::kZlib;
    if (parts.sections[i].empty()) continue;
    stored[i] = is_packed ? compressed(parts.sections[i]) : parts.sections[i];
    offsets[i] = round_up(end, format::kSections[i].alignment);
    end = offsets[i] + stored[i].size();
  }
  std::string& tensors = stored[static_cast<std::size_t>(Section::kTensors)];
  if (tensors.size() >= sizeof(TensorEntry)) {
    const auto first = load<TensorEntry>(std::as_bytes(std::span(tensors)), 0);
    const std::uint64_t moved = offsets[static_cast<std::size_t>(Section::kWeights)] - first.offset;
    for (std::size_t at = 0; at + sizeof(TensorEntry) <= tensors.size(); at += sizeof(TensorEntry)) {
      auto entry = load<TensorEntry>(std::as_bytes(std::span(tensors)), at);
      entry.offset += moved;
      store(tensors, at, entry);
    }
  }
  FileHeader header{};
  std::memcpy(header.magic, format::kMagic, sizeof header.magic);
  header.version = format::kVersion;
  header.section_count = count;
  format::put_name(header.family, parts.family);
  std::size_t place = sizeof(FileHeader);
  for (std::size_t i = 0; i < format::kSectionKinds; ++i) {
    if (stored[i].empty()) continue;
    SectionEntry entry{};
    format::put_name(entry.name, format::kSections[i].name);
    entry.offset = offsets[i];
    entry.stored_bytes = stored[i].size();
    entry.raw_bytes = parts.sections[i].size();
    entry.encoding = format::kSections[i].encoding;
    entry.crc32 = crc_of(stored[i]);
    store(file, place, entry);
    place += sizeof entry;
  }
  for (std::size_t i = 0; i < format::kSectionKinds; ++i) {
    if (stored[i].empty()) continue;
    file.resize(offsets[i], '\0');
    file += stored[i];
  }
  header.file_bytes = file.size();
  header.table_crc32 = crc_of(std::string_view(file).substr(sizeof header, count * sizeof(SectionEntry)));
  store(file, 0, header);
  header.header_crc32 = crc_of(std::string_view(file).substr(0, offsetof(FileHeader, header_crc32)));
  store(file, 0, header);
  return file;
}

bool fit_tensors_to_config(RillParts& parts, std::size_t most_bytes) {
  const auto config = read_config_section(std::as_bytes(std::span(parts[Section::kConfig])), text("parts"));
  if (!config.ok()) return false;
  std::string table;
  Size end;
  const Status status = for_each_tensor(*config, [&](const TensorSpec& spec) -> Status {
    const Size begin = round_up(end, format::kAlignment);
    end = begin + spec.bytes();
    if (end.wrapped || end.value > most_bytes) {
      return failed({.where = {}, .what = text("too large"), .expected = {}, .remedy = {}});
    }
    TensorEntry entry{};
    format::put_name(entry.name, tensor_name(spec.pattern, spec.layer, spec.is_bias).view());
    entry.format = spec.format;
    entry.group = spec.group;
    entry.rows = spec.rows;
    entry.columns = spec.columns;
    entry.offset = begin.value;
    entry.bytes = spec.bytes().value;
    table.append(reinterpret_cast<const char*>(&entry), sizeof entry);
    return {};
  });
  if (!status.ok()) return false;
  parts[Section::kTensors] = table;
  std::string& weights = parts[Section::kWeights];
  const std::string before = weights.empty() ? std::string(1, '\1') : weights;
  while (weights.size() < end.value) weights += before;
  weights.resize(end.value);
  return true;
}

}  // namespace rill::fuzz
