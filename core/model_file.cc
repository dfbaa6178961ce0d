#include "core/model_file.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/checksum.h"
#include "core/config_section.h"
#include "core/model_tensors.h"

namespace rill {
namespace {

using format::Section;
using format::TensorEntry;

Status damaged(const Text& where, const Text& what, const Text& expected) {
  return bad_input({.where = where, .what = what, .expected = expected, .remedy = damaged_file_remedy()});
}

/// Checks one entry of the tensor table against what the configuration implies, all but its place.
Status check_tensor(const TensorEntry& entry, const TensorSpec& spec, std::string_view name, const Text& where) {
  if (!format::is_named(entry.name, name)) {
    return damaged(where, text("tensor \"", printable(format::name_of(entry.name)), '"'), text('"', name, '"'));
  }
  const auto check = [&](std::string_view field, std::uint64_t found, std::uint64_t expected) -> Status {
    if (found == expected) return {};
    return damaged(text(where, ", tensor ", name, ", field ", field), text(found), text(expected));
  };
  RILL_TRY(check("format", static_cast<std::uint32_t>(entry.format), static_cast<std::uint32_t>(spec.format)));
  RILL_TRY(check("group", entry.group, spec.group));
  RILL_TRY(check("rows", entry.rows, spec.rows));
  RILL_TRY(check("columns", entry.columns, spec.columns));
  RILL_TRY(check("reserved", entry.reserved, 0));
  const Size bytes = spec.bytes();
  if (bytes.wrapped) return damaged(text(where, ", tensor ", name), text("its size does not fit 64 bits"), {});
  return check("bytes", entry.bytes, bytes.value);
}

bool all_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0}; });
}

}  // namespace

Result<ModelFile> ModelFile::open(std::string_view path) {
  ModelFile model;
  RILL_ASSIGN(model.file_, MappedFile::open(path));
  RILL_TRY(model.read(model.file_.bytes(), text(model.file_.name())));
  return model;
}

Result<ModelFile> ModelFile::view(std::span<const std::byte> bytes, std::string_view name) {
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % format::kAlignment != 0) {
    return failed({.where = text(name),
                   .what = text("the model's memory is not aligned"),
                   .expected = text("a multiple of ", format::kAlignment),
                   .remedy = {}});
  }
  ModelFile model;
  RILL_TRY(model.read(bytes, text(name)));
  return model;
}

Status ModelFile::read(std::span<const std::byte> bytes, const Text& name) {
  bytes_ = bytes;
  name_ = name;
  RILL_ASSIGN(sections_, SectionTable::read(bytes, name));
  RILL_TRY(read_config());
  RILL_TRY(read_chat());
  return read_tensor_table();
}

Status ModelFile::read_config() {
  constexpr std::size_t kMostBytes = format::kSections[static_cast<std::size_t>(Section::kConfig)].most_raw_bytes;
  std::array<std::byte, kMostBytes> room{};
  const std::span<std::byte> raw(room.data(), static_cast<std::size_t>(sections_.find(Section::kConfig)->raw_bytes));
  RILL_TRY(sections_.inflate(Section::kConfig, raw, name_));
  RILL_ASSIGN(config_, read_config_section(raw, text(name_, ", section config")));
  return {};
}

Status ModelFile::read_chat() {
  const format::SectionEntry* entry = sections_.find(Section::kChat);
  if (entry == nullptr) return {};
  chat_.resize(static_cast<std::size_t>(entry->raw_bytes));  // kSections bounds it
  return sections_.inflate(Section::kChat, std::as_writable_bytes(std::span(chat_)), name_);
}

Status ModelFile::read_tensor_table() {
  const std::span<const std::byte> table = sections_.stored(Section::kTensors);
  const Text section = text(name_, ", section tensors");
  if (table.size() % sizeof(TensorEntry) != 0) {
    return damaged(section, text(table.size(), " bytes"), text("a multiple of ", sizeof(TensorEntry)));
  }
  entries_ = {reinterpret_cast<const TensorEntry*>(table.data()), table.size() / sizeof(TensorEntry)};

  const format::SectionEntry& weights = *sections_.find(Section::kWeights);
  const std::uint64_t weights_end = weights.offset + weights.stored_bytes;
  std::uint64_t end = weights.offset;
  std::size_t count = 0;
  const auto check = [&](const TensorSpec& spec) -> Status {
    const LayerTensorName name = tensor_name(spec.pattern, spec.layer, spec.is_bias);
    if (count == entries_.size()) return damaged(section, text("tensor ", name, " is missing"), {});
    const TensorEntry& entry = entries_[count];
    const Text where = text(section, ", entry ", count);
    RILL_TRY(check_tensor(entry, spec, name.view(), where));
    RILL_TRY(check_place(entry.offset, entry.bytes, format::kAlignment, end, weights_end,
                         text(where, ", tensor ", name), "the section weights"));
    end = entry.offset + entry.bytes;
    ++count;
    return {};
  };
  RILL_TRY(for_each_tensor(config_, check));
  if (count != entries_.size()) {
    return damaged(section, text("unknown tensor \"", printable(format::name_of(entries_[count].name)), '"'),
                   text(count, " tensors"));
  }
  if (end != weights_end) {
    return damaged(text(name_, ", section weights"), text(weights_end - end, " bytes after the last tensor"), {});
  }
  return {};
}

TensorView ModelFile::tensor(const TensorEntry& entry) const {
  return {&entry, bytes_.subspan(static_cast<std::size_t>(entry.offset), static_cast<std::size_t>(entry.bytes))};
}

TensorView ModelFile::tensor(std::string_view name) const {
  for (const TensorEntry& entry : entries_) {
    if (format::name_of(entry.name) == name) return tensor(entry);
  }
  return {};
}

TensorView ModelFile::tensor(std::string_view pattern, std::uint32_t layer, bool is_bias) const {
  return tensor(tensor_name(pattern, layer, is_bias).view());
}

Status ModelFile::verify() const {
  return verify([](const TensorEntry&, bool) {});
}

Status ModelFile::verify(TensorChecked checked) const {
  Status first_failure;
  const format::SectionEntry& weights = *sections_.find(Section::kWeights);
  std::uint32_t section_crc = 0;
  std::uint64_t end = weights.offset;
  for (const TensorEntry& entry : entries_) {
    const TensorView view = tensor(entry);
    const std::uint32_t crc = crc32(view.bytes);
    section_crc =
        crc32(bytes_.subspan(static_cast<std::size_t>(end), static_cast<std::size_t>(entry.offset - end)), section_crc);
    section_crc = crc32_joined(section_crc, crc, view.bytes.size());
    end = entry.offset + entry.bytes;
    checked(entry, crc == entry.crc32);
    if (crc != entry.crc32 && first_failure.ok()) {
      first_failure = damaged(text(name_, ", tensor ", format::name_of(entry.name), " at offset ", entry.offset),
                              text("its checksum does not match"), text("CRC-32 ", entry.crc32, ", found ", crc));
    }
  }
  RILL_TRY(first_failure);
  if (section_crc != weights.crc32) {
    return damaged(text(name_, ", section weights at offset ", weights.offset),
                   text("its checksum does not match, though every tensor's does"), text("CRC-32 ", weights.crc32));
  }
  return verify_padding();
}

Status ModelFile::verify_padding() const {
  std::uint64_t end = sizeof(format::FileHeader) + sections().size_bytes();
  for (const format::SectionEntry& entry : sections()) {
    if (!all_zero(bytes_.subspan(static_cast<std::size_t>(end), static_cast<std::size_t>(entry.offset - end)))) {
      return damaged(text(name_, ", offset ", end),
                     text("the padding before section ", format::name_of(entry.name), " is not empty"), text("zeros"));
    }
    end = entry.offset + entry.stored_bytes;
  }
  return {};
}

}  // namespace rill
