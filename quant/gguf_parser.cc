#include "quant/gguf_parser.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "platform/size.h"

namespace rill::quant {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr std::uint64_t kLeastKeyBytes = 8 + 4 + 1;             // length, type, a value of one byte
constexpr std::uint64_t kLeastTensorBytes = 8 + 4 + 8 + 4 + 8;  // length, dimension count, one dimension, type, offset
constexpr std::uint64_t kMaxAlignment = 1U << 20U;

/// Bytes of a value of fixed size; 0 for strings and arrays.
constexpr std::array<std::uint64_t, 13> kTypeBytes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

}  // namespace

bool GgufFile::recognises(std::span<const std::byte> bytes) {
  return bytes.size() >= kMagic.size() && std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0;
}

Result<GgufFile> GgufFile::open(const std::string& path) {
  RILL_ASSIGN(auto mapping, MappedFile::open(path));
  return parse(std::move(mapping));
}

Result<GgufFile> GgufFile::parse(MappedFile mapping) {
  RILL_ASSIGN(auto file, parse(mapping.bytes(), mapping.name()));
  file.mapping_ = std::move(mapping);  // its address does not change, so the views stay good
  return file;
}

Result<GgufFile> GgufFile::parse(std::span<const std::byte> bytes, std::string_view name) {
  GgufFile file;
  file.bytes_ = bytes;
  file.name_ = name;
  RILL_TRY(Parser(file).parse());
  return file;
}

Status GgufFile::Parser::cut_off(const Text& where) const {
  return bad_input({.where = where,
                    .what = text("goes past the file's end"),
                    .expected = text("all of it within the file's ", file_.bytes_.size(), " bytes"),
                    .remedy = text("copy or download the file again, it was cut off or damaged")});
}

Status GgufFile::Parser::bad(const Text& where, const Text& what, const Text& expected) const {
  return bad_input({.where = where,
                    .what = what,
                    .expected = expected,
                    .remedy = text("download the file again or convert the model again")});
}

template <typename Number>
bool GgufFile::Parser::take(Number& number) {
  if (left() < sizeof number) return false;
  std::memcpy(&number, file_.bytes_.data() + at_, sizeof number);
  at_ += sizeof number;
  return true;
}

bool GgufFile::Parser::take_string(std::string_view& string) {
  std::uint64_t length = 0;
  if (!take(length)) return false;
  if (length > left()) {
    at_ -= sizeof length;
    return false;
  }
  string = {reinterpret_cast<const char*>(file_.bytes_.data() + at_), static_cast<std::size_t>(length)};
  at_ += length;
  return true;
}

bool GgufFile::Parser::skip(std::uint64_t count, std::uint64_t bytes_each) {
  const Size bytes = Size(count) * Size(bytes_each);
  if (!fits(bytes, at_, file_.bytes_.size())) return false;
  at_ += bytes.value;
  return true;
}

Status GgufFile::Parser::parse() {
  RILL_TRY(parse_header());
  RILL_TRY(parse_metadata());
  RILL_TRY(parse_alignment());
  RILL_TRY(parse_tensors());
  RILL_TRY(place_tensors());
  return check_overlaps();
}

Status GgufFile::Parser::parse_header() {
  const Text where = text(file_.name_, ", GGUF header");
  if (!recognises(file_.bytes_)) return bad(where, text("the first four bytes are not \"GGUF\""), text("a GGUF file"));
  at_ = kMagic.size();
  if (!take(file_.version_)) return cut_off(where);
  if (file_.version_ != 2 && file_.version_ != 3) {
    const bool swapped = (file_.version_ & 0xffffU) == 0 && file_.version_ != 0;
    return bad(where, swapped ? text("a big-endian file") : text("version ", file_.version_, " at offset 4"),
               text("version 2 or 3, little-endian"));
  }
  if (!take(tensor_count_) || !take(key_count_)) return cut_off(where);
  if (key_count_ > left() / kLeastKeyBytes) {
    return bad(where, text(key_count_, " metadata keys at offset 16"),
               text("at most ", left() / kLeastKeyBytes, " in a file of ", file_.bytes_.size(), " bytes"));
  }
  if (tensor_count_ > left() / kLeastTensorBytes) {
    return bad(where, text(tensor_count_, " tensors at offset 8"),
               text("at most ", left() / kLeastTensorBytes, " in a file of ", file_.bytes_.size(), " bytes"));
  }
  return {};
}

Status GgufFile::Parser::parse_metadata() {
  for (std::uint64_t i = 0; i < key_count_; ++i) {
    Value value;
    value.key_offset = at_;
    std::string_view key;
    if (!take_string(key)) return cut_off(text(file_.name_, ", metadata key ", i, " at offset ", at_));
    RILL_TRY(parse_value(key, value));
    if (!file_.values_.emplace(key, value).second) {
      return bad(text(file_.name_, ", key ", printable(key), " at offset ", value.key_offset),
                 text("the key is there twice"), text("every key once"));
    }
  }
  return {};
}

Status GgufFile::Parser::parse_value(std::string_view key, Value& value) {
  const Text where = text(file_.name_, ", key ", printable(key), " at offset ", value.key_offset);
  std::uint32_t type = 0;
  if (!take(type)) return cut_off(where);
  if (type >= kTypeBytes.size()) {
    return bad(where, text("value type ", type), text("a type from 0 to ", kTypeBytes.size() - 1));
  }
  value.type = static_cast<GgufType>(type);
  if (value.type == GgufType::kArray) return parse_array(key, value);
  if (value.type == GgufType::kString) {
    std::string_view string;
    if (!take_string(string)) return cut_off(where);
    value.count = string.size();
    value.offset = at_ - string.size();
  } else {
    value.offset = at_;
    if (!skip(1, kTypeBytes[type])) return cut_off(where);
  }
  value.end = at_;
  return {};
}

Status GgufFile::Parser::parse_array(std::string_view key, Value& value) {
  const Text where = text(file_.name_, ", key ", printable(key), " at offset ", value.key_offset);
  std::uint32_t element = 0;
  if (!take(element) || !take(value.count)) return cut_off(where);
  if (element >= kTypeBytes.size()) {
    return bad(where, text("an array of type ", element), text("a type from 0 to ", kTypeBytes.size() - 1));
  }
  value.element = static_cast<GgufType>(element);
  if (value.element == GgufType::kArray) {  // no key has them, and their depth would be the file's choice
    return bad(where, text("an array of arrays"), text("an array of numbers or strings"));
  }
  value.offset = at_;
  if (value.element == GgufType::kString) {
    for (std::uint64_t i = 0; i < value.count; ++i) {  // ends at the file's end, whatever the count says
      std::string_view string;
      if (!take_string(string)) return cut_off(text(where, ", string ", i, " of ", value.count));
    }
  } else if (!skip(value.count, kTypeBytes[element])) {
    return cut_off(text(where, ", an array of ", value.count));
  }
  value.end = at_;
  return {};
}

Status GgufFile::Parser::parse_alignment() {
  constexpr std::string_view kKey = "general.alignment";
  RILL_ASSIGN(const auto alignment, file_.find_u64(kKey));
  if (!alignment) return {};
  if (!std::has_single_bit(*alignment) || *alignment < 8 || *alignment > kMaxAlignment) {
    return bad(file_.where(kKey), text(*alignment), text("a power of two from 8 to ", kMaxAlignment));
  }
  alignment_ = *alignment;
  return {};
}

Status GgufFile::Parser::parse_tensors() {
  if (tensor_count_ > left() / kLeastTensorBytes) {  // again, now that the metadata is behind
    return cut_off(text(file_.name_, ", descriptions of ", tensor_count_, " tensors at offset ", at_));
  }
  file_.tensors_.reserve(static_cast<std::size_t>(tensor_count_));
  for (std::uint64_t i = 0; i < tensor_count_; ++i) RILL_TRY(parse_tensor(i));
  return {};
}

Status GgufFile::Parser::parse_tensor(std::uint64_t index) {
  GgufTensor tensor;
  tensor.described_at = at_;
  if (!take_string(tensor.name)) return cut_off(text(file_.name_, ", tensor ", index, " at offset ", at_));
  const Text where = file_.where(tensor);
  if (!file_.tensor_index_.emplace(tensor.name, static_cast<std::size_t>(index)).second) {
    return bad(where, text("a tensor of this name is there twice"), text("every name once"));
  }
  RILL_TRY(parse_dimensions(tensor));
  std::uint32_t type = 0;
  if (!take(type) || !take(tensor.offset)) return cut_off(where);
  RILL_ASSIGN(tensor.format, find_block_format(type, where));
  const BlockFormat& format = *tensor.format;
  if (tensor.dimensions[0] % format.elements != 0) {
    return bad(where, text("rows of ", tensor.dimensions[0], " elements"),
               text("a multiple of ", format.elements, " for type ", format.name));
  }
  Size bytes = Size(tensor.dimensions[0] / format.elements) * Size(format.bytes);
  for (const std::uint64_t d : {tensor.dimensions[1], tensor.dimensions[2], tensor.dimensions[3]}) bytes = bytes * d;
  if (bytes.wrapped || bytes.value > file_.bytes_.size()) {
    const auto& d = tensor.dimensions;
    return bad(where, text("[", d[0], ", ", d[1], ", ", d[2], ", ", d[3], "] of type ", format.name),
               text("no more bytes than the file's ", file_.bytes_.size()));
  }
  tensor.bytes = bytes.value;
  file_.tensors_.push_back(tensor);
  return {};
}

Status GgufFile::Parser::parse_dimensions(GgufTensor& tensor) {
  if (!take(tensor.dimension_count)) return cut_off(file_.where(tensor));
  if (tensor.dimension_count < 1 || tensor.dimension_count > tensor.dimensions.size()) {
    return bad(file_.where(tensor), text(tensor.dimension_count, " dimensions"), text("1 to 4"));
  }
  for (std::uint32_t i = 0; i < tensor.dimension_count; ++i) {
    if (!take(tensor.dimensions[i])) return cut_off(file_.where(tensor));
    if (tensor.dimensions[i] == 0) {
      return bad(file_.where(tensor), text("dimension ", i, " is 0"), text("at least 1"));
    }
  }
  return {};
}

Status GgufFile::Parser::place_tensors() {
  const Size data = round_up(Size(at_), alignment_);  // file sizes are below 2^63: does not wrap
  for (GgufTensor& tensor : file_.tensors_) {
    const std::uint64_t relative = tensor.offset;
    if (relative % alignment_ != 0) {
      return bad(file_.where(tensor), text("data offset ", relative), text("a multiple of ", alignment_));
    }
    const Size offset = data + Size(relative);
    if (offset.wrapped || !fits(tensor.bytes, offset.value, file_.bytes_.size())) {
      return cut_off(text(file_.where(tensor), ", ", tensor.bytes, " bytes at data offset ", relative));
    }
    tensor.offset = offset.value;
  }
  return {};
}

Status GgufFile::Parser::check_overlaps() const {
  std::vector<const GgufTensor*> order;
  order.reserve(file_.tensors_.size());
  for (const GgufTensor& tensor : file_.tensors_) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
  for (std::size_t i = 1; i < order.size(); ++i) {
    if (order[i]->offset - order[i - 1]->offset < order[i - 1]->bytes) {
      return bad(file_.where(*order[i]), text("its data overlaps that of ", printable(order[i - 1]->name)),
                 text("tensors apart from each other"));
    }
  }
  return {};
}

}  // namespace rill::quant
