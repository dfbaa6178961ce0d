#include "quant/model_writer.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/checksum.h"
#include "core/config_section.h"
#include "core/model_tensors.h"

namespace rill::quant {
namespace {

using format::Section;
using format::SectionEntry;
using format::TensorEntry;

constexpr std::size_t index_of(Section section) { return static_cast<std::size_t>(section); }

Result<std::vector<std::byte>> deflated(std::span<const std::byte> raw, std::string_view section) {
  uLongf size = ::compressBound(static_cast<uLong>(raw.size()));
  std::vector<std::byte> out(size);
  const int result =
      ::compress2(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(raw.data()),
                  static_cast<uLong>(raw.size()), Z_BEST_COMPRESSION);
  if (result != Z_OK) {
    return failed({.where = text("section ", section),
                   .what = text("zlib failed with code ", result),
                   .expected = {},
                   .remedy = {}});
  }
  out.resize(size);
  return out;
}

Status check_parts(const ModelParts& parts, const Text& where) {
  RILL_TRY(validate(parts.config, where));
  const auto fits_name = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
  if (parts.family.empty() || parts.family.size() > sizeof(format::FileHeader::family) ||
      !std::all_of(parts.family.begin(), parts.family.end(), fits_name)) {
    return bad_input({.where = where,
                      .what = text("family name \"", parts.family, '"'),
                      .expected = text("1 to ", sizeof(format::FileHeader::family), " small letters, digits and '_'"),
                      .remedy = {}});
  }
  const std::uint64_t most_chat = format::kSections[index_of(Section::kChat)].most_raw_bytes;
  if (parts.chat_section.size() > most_chat) {
    return bad_input({.where = where,
                      .what = text("the chat form has ", parts.chat_section.size(), " bytes"),
                      .expected = text("at most ", most_chat),
                      .remedy = text("shorten the system text")});
  }
  return {};
}

}  // namespace

Result<ModelWriter> ModelWriter::create(std::string_view path, const ModelParts& parts, Progress progress) {
  RILL_TRY(check_parts(parts, text(path)));
  RILL_ASSIGN(OutputFile file, OutputFile::create(path));
  ModelWriter writer(std::move(file), progress);
  RILL_TRY(writer.lay_out_tensors(parts.config));
  for (const TensorEntry& entry : writer.tensors_) writer.total_ += entry.bytes;

  std::copy_n(format::kMagic, sizeof(format::kMagic), writer.header_.magic);
  format::put_name(writer.header_.family, parts.family);
  writer.header_.version = format::kVersion;
  writer.header_.section_count =
      3U + (parts.tokenizer_section.empty() ? 0U : 1U) + (parts.chat_section.empty() ? 0U : 1U);

  const std::uint64_t table_end = sizeof(format::FileHeader) + writer.header_.section_count * sizeof(SectionEntry);
  RILL_TRY(writer.pad_to(table_end));  // zeros until complete() knows the checksums
  const std::vector<format::ConfigEntry> config = make_config_section(parts.config);
  RILL_TRY(writer.write_section(Section::kConfig, std::as_bytes(std::span(config))));
  RILL_TRY(writer.write_section(Section::kTensors, std::as_bytes(std::span(writer.tensors_))));
  if (!parts.tokenizer_section.empty()) RILL_TRY(writer.write_section(Section::kTokenizer, parts.tokenizer_section));
  if (!parts.chat_section.empty()) RILL_TRY(writer.write_section(Section::kChat, parts.chat_section));

  // "weights": the tensors were laid out from offset 0, and move to where the section begins.
  RILL_TRY(writer.pad_to(round_up(Size(writer.file_.size()), format::kWeightsAlignment).value));
  const std::uint64_t start = writer.file_.size();
  for (TensorEntry& entry : writer.tensors_) entry.offset += start;
  writer.file_bytes_ = writer.tensors_.back().offset + writer.tensors_.back().bytes;
  SectionEntry weights{};
  format::put_name(weights.name, format::kSections[index_of(Section::kWeights)].name);
  weights.offset = start;
  weights.stored_bytes = weights.raw_bytes = writer.file_bytes_ - start;
  writer.sections_.push_back(weights);
  return writer;
}

Status ModelWriter::lay_out_tensors(const ModelConfig& config) {
  Size end;
  const auto add = [&](const TensorSpec& spec) -> Status {
    TensorEntry entry{};
    const LayerTensorName name = tensor_name(spec.pattern, spec.layer, spec.is_bias);
    format::put_name(entry.name, name.view());
    entry.format = spec.format;
    entry.group = spec.group;
    entry.rows = spec.rows;
    entry.columns = spec.columns;
    entry.bytes = spec.bytes().value;
    const Size offset = round_up(end, format::kAlignment);
    entry.offset = offset.value;
    end = offset + spec.bytes();
    if (end.wrapped) {
      return bad_input({.where = text("tensor ", name),
                        .what = text("the model's size does not fit 64 bits"),
                        .expected = {},
                        .remedy = {}});
    }
    tensors_.push_back(entry);
    return {};
  };
  return for_each_tensor(config, add);
}

Status ModelWriter::write_section(Section section, std::span<const std::byte> raw) {
  const format::SectionRule& rule = format::kSections[index_of(section)];
  std::vector<std::byte> compressed;
  std::span<const std::byte> stored = raw;
  if (rule.encoding == format::Encoding::kZlib) {
    RILL_ASSIGN(compressed, deflated(raw, rule.name));
    stored = compressed;
  }
  RILL_TRY(pad_to(round_up(Size(file_.size()), rule.alignment).value));
  SectionEntry entry{};
  format::put_name(entry.name, rule.name);
  entry.offset = file_.size();
  entry.stored_bytes = stored.size();
  entry.raw_bytes = raw.size();
  entry.encoding = rule.encoding;
  entry.crc32 = crc32(stored);
  sections_.push_back(entry);
  return file_.write(stored);
}

Status ModelWriter::pad_to(std::uint64_t offset) {
  constexpr std::array<std::byte, format::kWeightsAlignment> kZeros{};
  return file_.write(std::span(kZeros).first(static_cast<std::size_t>(offset - file_.size())));
}

Status ModelWriter::append(std::span<const std::byte> bytes) {
  if (tensor_ == tensors_.size() || bytes.size() > tensors_[tensor_].bytes - written_in_tensor_) {
    return failed({.where = text("writing tensor ", tensor_),
                   .what = text(bytes.size(), " bytes are too many"),
                   .expected = {},
                   .remedy = text("report this as a defect of Rill")});
  }
  TensorEntry& entry = tensors_[tensor_];
  if (written_in_tensor_ == 0) {
    constexpr std::array<std::byte, format::kAlignment> kZeros{};
    const auto gap = static_cast<std::size_t>(entry.offset - file_.size());
    weights_crc_ = crc32(std::span(kZeros).first(gap), weights_crc_);
    RILL_TRY(pad_to(entry.offset));
  }
  RILL_TRY(file_.write(bytes));
  entry.crc32 = crc32(bytes, entry.crc32);
  written_in_tensor_ += bytes.size();
  if (written_in_tensor_ == entry.bytes) {
    weights_crc_ = crc32_joined(weights_crc_, entry.crc32, static_cast<std::size_t>(entry.bytes));
    written_in_tensor_ = 0;
    ++tensor_;
  }
  progress_(done_ += bytes.size(), total_);
  return {};
}

Status ModelWriter::complete() {
  if (tensor_ != tensors_.size()) {
    return failed({.where = text("tensor ", format::name_of(tensors_[tensor_].name)),
                   .what = text("it is not complete"),
                   .expected = {},
                   .remedy = text("report this as a defect of Rill")});
  }
  return write_header();
}

Status ModelWriter::rewind() {
  constexpr std::array<std::byte, sizeof(format::FileHeader)> kZeros{};
  RILL_TRY(file_.write_at(0, kZeros));
  for (TensorEntry& entry : tensors_) entry.crc32 = 0;
  tensor_ = 0;
  written_in_tensor_ = 0;
  weights_crc_ = 0;
  done_ = 0;
  return file_.rewind(sections_.back().offset);
}

Status ModelWriter::finish() {
  RILL_TRY(complete());
  return file_.commit();
}

Status ModelWriter::write_header() {
  const auto table = std::as_bytes(std::span(tensors_));
  SectionEntry& tensors_section = sections_[index_of(Section::kTensors)];  // the second of every file
  tensors_section.crc32 = crc32(table);
  sections_.back().crc32 = weights_crc_;
  RILL_TRY(file_.write_at(tensors_section.offset, table));

  const auto section_table = std::as_bytes(std::span(sections_));
  RILL_TRY(file_.write_at(sizeof(header_), section_table));
  header_.file_bytes = file_bytes_;
  header_.table_crc32 = crc32(section_table);
  header_.header_crc32 = crc32(std::as_bytes(std::span(&header_, 1)).first(offsetof(format::FileHeader, header_crc32)));
  return file_.write_at(0, std::as_bytes(std::span(&header_, 1)));
}

}  // namespace rill::quant
