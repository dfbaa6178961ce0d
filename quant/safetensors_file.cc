#include "quant/safetensors_file.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "platform/half.h"
#include "platform/size.h"
#include "quant/json_document.h"

namespace rill::quant {
namespace {

using nlohmann::json;

constexpr SafetensorsType kTypes[] = {
    {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2},
    {"BF16", 2}, {"I32", 4}, {"U32", 4}, {"F32", 4},     {"I64", 8},     {"U64", 8}, {"F64", 8},
};
constexpr std::uint64_t kLengthBytes = 8;
constexpr std::size_t kMostDimensions = 8;
constexpr int kHeaderDepth = 3;  // the header, a tensor, its shape
constexpr std::string_view kMetadata = "__metadata__";

Status bad_file(const Text& where, const Text& what, const Text& expected) {
  return bad_input(
      {.where = where, .what = what, .expected = expected, .remedy = text("copy or download the file again")});
}

const SafetensorsType* find_type(std::string_view name) {
  const auto* const found = std::ranges::find(kTypes, name, &SafetensorsType::name);
  return found == std::end(kTypes) ? nullptr : found;
}

/// An array of non-negative integers under a key.
Result<std::vector<std::uint64_t>> read_integers(const json& entry, const char* key, const Text& where) {
  const auto found = entry.find(key);
  if (found == entry.end() || !found->is_array() || found->size() > kMostDimensions ||
      !std::ranges::all_of(*found, [](const json& number) { return number.is_number_unsigned(); })) {
    return bad_file(where, found == entry.end() ? text("no ", key) : text(key, " of another kind"),
                    text("an array of at most ", kMostDimensions, " non-negative integers below 2^64"));
  }
  return found->get<std::vector<std::uint64_t>>();
}

/// One line of the header.
/// @param data  where the data lie: offset from the file's start, and bytes
Result<SafetensorsTensor> read_tensor(const std::string& name, const json& entry, std::uint64_t data_offset,
                                      std::uint64_t data_bytes, std::string_view file) {
  const Text where = text(file, ", tensor ", legible(name));
  if (!entry.is_object()) return bad_file(where, text("a JSON ", entry.type_name()), text("an object"));
  const auto type = entry.find("dtype");
  if (type == entry.end() || !type->is_string()) return bad_file(where, text("no dtype"), text("the name of a type"));
  SafetensorsTensor tensor{.name = name, .type = find_type(type->get_ref<const std::string&>()), .shape = {}};
  if (tensor.type == nullptr) {
    return bad_file(where, text("the dtype \"", legible(type->get_ref<const std::string&>()), "\" is not known"),
                    text("F32, F16, BF16 or another of the format's whole-byte types"));
  }
  RILL_ASSIGN(tensor.shape, read_integers(entry, "shape", where));
  RILL_ASSIGN(const std::vector<std::uint64_t> range, read_integers(entry, "data_offsets", where));
  if (range.size() != 2 || range[0] > range[1] || range[1] > data_bytes) {
    return range.size() != 2 ? bad_file(where, text(range.size(), " data_offsets"), text("two: begin and end"))
                             : bad_file(where, text("data_offsets ", range[0], " to ", range[1]),
                                        text("begin <= end <= ", data_bytes, ", the bytes of data in the file"));
  }
  Size elements = 1;
  for (const std::uint64_t extent : tensor.shape) elements = elements * Size(extent);
  const Size needed = elements * Size(tensor.type->bytes);
  tensor.elements = elements.value;
  tensor.offset = data_offset + range[0];  // cannot wrap: both lie in the file
  tensor.bytes = range[1] - range[0];
  if (needed.wrapped || needed.value != tensor.bytes) {
    return bad_file(text(where, " at offset ", tensor.offset), text(tensor.bytes, " bytes"),
                    needed.wrapped ? text("a shape whose size fits 64 bits")
                                   : text(needed.value, " for ", tensor.elements, " elements of ", tensor.type->name));
  }
  return tensor;
}

/// Elements as they are stored, one by one: their place may have any alignment.
template <typename Stored, typename Convert>
void convert(std::span<const std::byte> from, std::span<float> out, Convert&& to_float) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, from.data() + i * sizeof stored, sizeof stored);
    out[i] = to_float(stored);
  }
}

}  // namespace

Result<SafetensorsFile> SafetensorsFile::open(const std::string& path) {
  SafetensorsFile file;
  RILL_ASSIGN(file.mapping_, MappedFile::open(path));
  file.bytes_ = file.mapping_.bytes();
  file.name_ = path;
  RILL_TRY(file.read_header());
  return file;
}

Result<SafetensorsFile> SafetensorsFile::parse(std::span<const std::byte> bytes, std::string_view name) {
  SafetensorsFile file;
  file.bytes_ = bytes;
  file.name_ = name;
  RILL_TRY(file.read_header());
  return file;
}

Status SafetensorsFile::read_header() {
  std::uint64_t length = 0;
  if (bytes_.size() < kLengthBytes) {
    return bad_file(text(name_), text(bytes_.size(), " bytes"), text("a safetensors file: at least ", kLengthBytes));
  }
  std::memcpy(&length, bytes_.data(), sizeof length);
  if (length > kMostHeaderBytes || !fits(length, kLengthBytes, bytes_.size())) {
    return bad_file(text(name_, ", header length at offset 0"), text(length),
                    text("at most ", std::min<std::uint64_t>(kMostHeaderBytes, bytes_.size() - kLengthBytes)));
  }
  const Text where = text(name_, ", header at offset ", kLengthBytes);
  const std::string_view header(reinterpret_cast<const char*>(bytes_.data()) + kLengthBytes,
                                static_cast<std::size_t>(length));
  if (!header.starts_with('{')) return bad_file(where, text("does not begin with a brace"), text("a JSON object"));
  RILL_ASSIGN(const json document, parse_json(header, where, {.bytes = kMostHeaderBytes, .depth = kHeaderDepth}));

  data_offset_ = kLengthBytes + length;
  for (const auto& [name, entry] : document.items()) {
    if (name == kMetadata) continue;  // free text
    RILL_ASSIGN(SafetensorsTensor tensor, read_tensor(name, entry, data_offset_, bytes_.size() - data_offset_, name_));
    tensors_.push_back(std::move(tensor));
  }
  std::ranges::sort(tensors_, {}, [](const SafetensorsTensor& t) { return std::pair(t.offset, t.bytes); });
  by_name_.resize(tensors_.size());
  std::iota(by_name_.begin(), by_name_.end(), std::size_t{0});
  std::ranges::sort(by_name_, {}, [&](std::size_t i) -> const std::string& { return tensors_[i].name; });
  return check_gaps();
}

/// The data are covered exactly once: what overlaps or is left out was cut, or made to hide something.
Status SafetensorsFile::check_gaps() const {
  std::uint64_t covered = data_offset_;
  for (const SafetensorsTensor& tensor : tensors_) {
    if (tensor.offset != covered) {
      return bad_file(where(tensor),
                      text(tensor.offset < covered ? "overlaps the tensor before it" : "leaves a gap before it"),
                      text("its data at offset ", covered));
    }
    covered += tensor.bytes;
  }
  if (covered != bytes_.size()) {
    return bad_file(text(name_, ", offset ", covered), text(bytes_.size() - covered, " bytes belong to no tensor"),
                    text("the file's end"));
  }
  return {};
}

const SafetensorsTensor* SafetensorsFile::find(std::string_view name) const {
  const auto found =
      std::ranges::lower_bound(by_name_, name, {}, [&](std::size_t i) -> std::string_view { return tensors_[i].name; });
  return found != by_name_.end() && tensors_[*found].name == name ? &tensors_[*found] : nullptr;
}

bool SafetensorsFile::is_real(const SafetensorsType& type) {
  return type.name == "F32" || type.name == "F16" || type.name == "BF16" || type.name == "F64";
}

Status SafetensorsFile::read_floats(const SafetensorsTensor& tensor, std::uint64_t first, std::span<float> out) const {
  if (!fits(out.size(), first, tensor.elements)) {
    return failed({.where = where(tensor),
                   .what = text("elements ", first, " and the next ", out.size()),
                   .expected = text("some of its ", tensor.elements),
                   .remedy = {}});
  }
  const std::string_view type = tensor.type->name;
  const std::span<const std::byte> from = bytes(tensor).subspan(static_cast<std::size_t>(first * tensor.type->bytes));
  if (type == "F32") {
    if (!out.empty()) std::memcpy(out.data(), from.data(), out.size_bytes());
  } else if (type == "F16") {
    convert<std::uint16_t>(from, out, half_to_float);
  } else if (type == "BF16") {
    convert<std::uint16_t>(from, out, bfloat_to_float);
  } else if (type == "F64") {
    convert<double>(from, out, [](double value) { return static_cast<float>(value); });
  } else {
    return bad_file(where(tensor), text("elements of ", type), text("F32, F16, BF16 or F64"));
  }
  return {};
}

Text SafetensorsFile::where(const SafetensorsTensor& tensor) const {
  return text(name_, ", tensor ", legible(tensor.name), " at offset ", tensor.offset);
}

}  // namespace rill::quant
