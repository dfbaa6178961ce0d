#include "quant/gguf_file.h"

namespace rill::quant {
namespace {

constexpr std::array<std::string_view, 13> kTypeNames = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                         "bool", "string", "array", "u64", "i64", "f64"};

std::string_view type_name(GgufType type) { return kTypeNames[static_cast<std::size_t>(type)]; }

}  // namespace

FixedText<80> printable(std::string_view name) {
  FixedText<80> out;
  for (const char c : name.substr(0, 81)) {  // one more than fits, so that the cut shows
    const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    const char shown = control ? '?' : c;
    out.append({&shown, 1});
  }
  return out;
}

const GgufFile::Value* GgufFile::find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

Text GgufFile::where(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return text(name_, ", key ", printable(key));
  return text(name_, ", key ", printable(key), " at offset ", value->key_offset);
}

Text GgufFile::where(const GgufTensor& tensor) const {
  return text(name_, ", tensor ", printable(tensor.name), " at offset ", tensor.described_at);
}

Status GgufFile::wrong_type(std::string_view key, const Value& value, std::string_view expected) const {
  const bool is_array = value.type == GgufType::kArray;
  return bad_input({.where = where(key),
                    .what = text(is_array ? "an array of " : "", type_name(is_array ? value.element : value.type)),
                    .expected = text(expected),
                    .remedy = text("convert the model again")});
}

template <typename Number>
Number GgufFile::load(const Value& value) const {
  Number number;
  std::memcpy(&number, bytes_.data() + value.offset, sizeof number);
  return number;
}

template <typename Number>
GgufNumbers<Number> GgufFile::numbers(const Value& value) const {
  return {bytes_.data() + value.offset, static_cast<std::size_t>(value.count)};
}

Result<std::optional<std::uint64_t>> GgufFile::find_u64(std::string_view key) const {
  using Found = std::optional<std::uint64_t>;
  const Value* value = find(key);
  if (value == nullptr) return Found();
  std::int64_t number = 0;
  switch (value->type) {
    case GgufType::kU8:
      return Found(load<std::uint8_t>(*value));
    case GgufType::kU16:
      return Found(load<std::uint16_t>(*value));
    case GgufType::kU32:
      return Found(load<std::uint32_t>(*value));
    case GgufType::kU64:
      return Found(load<std::uint64_t>(*value));
    case GgufType::kI8:
      number = load<std::int8_t>(*value);  // NOLINT(bugprone-signed-char-misuse): a number, not a character
      break;
    case GgufType::kI16:
      number = load<std::int16_t>(*value);
      break;
    case GgufType::kI32:
      number = load<std::int32_t>(*value);
      break;
    case GgufType::kI64:
      number = load<std::int64_t>(*value);
      break;
    default:
      return wrong_type(key, *value, "an integer");
  }
  if (number < 0) {
    return bad_input({.where = where(key),
                      .what = text(number),
                      .expected = text("an integer that is not negative"),
                      .remedy = text("convert the model again")});
  }
  return Found(static_cast<std::uint64_t>(number));
}

Result<std::optional<double>> GgufFile::find_f64(std::string_view key) const {
  using Found = std::optional<double>;
  const Value* value = find(key);
  if (value == nullptr) return Found();
  if (value->type == GgufType::kF32) return Found(load<float>(*value));
  if (value->type == GgufType::kF64) return Found(load<double>(*value));
  return wrong_type(key, *value, "f32 or f64");
}

Result<std::optional<bool>> GgufFile::find_bool(std::string_view key) const {
  using Found = std::optional<bool>;
  const Value* value = find(key);
  if (value == nullptr) return Found();
  if (value->type != GgufType::kBool) return wrong_type(key, *value, "bool");
  const auto byte = load<std::uint8_t>(*value);
  if (byte > 1) {
    return bad_input({.where = where(key),
                      .what = text("a bool of value ", byte),
                      .expected = text("0 or 1"),
                      .remedy = text("convert the model again")});
  }
  return Found(byte == 1);
}

Result<std::optional<std::string_view>> GgufFile::find_string(std::string_view key) const {
  using Found = std::optional<std::string_view>;
  const Value* value = find(key);
  if (value == nullptr) return Found();
  if (value->type != GgufType::kString) return wrong_type(key, *value, "string");
  return Found(std::in_place, reinterpret_cast<const char*>(bytes_.data() + value->offset),
               static_cast<std::size_t>(value->count));
}

Result<std::optional<GgufStrings>> GgufFile::find_strings(std::string_view key) const {
  using Found = std::optional<GgufStrings>;
  const Value* value = find(key);
  if (value == nullptr) return Found();
  if (value->type != GgufType::kArray || value->element != GgufType::kString) {
    return wrong_type(key, *value, "an array of string");
  }
  return Found(std::in_place, bytes_.data() + value->offset, bytes_.data() + value->end,
               static_cast<std::size_t>(value->count));
}

Result<std::optional<GgufNumbers<float>>> GgufFile::find_floats(std::string_view key) const {
  using Found = std::optional<GgufNumbers<float>>;
  const Value* value = find(key);
  if (value == nullptr) return Found();
  if (value->type != GgufType::kArray || value->element != GgufType::kF32) {
    return wrong_type(key, *value, "an array of f32");
  }
  return Found(numbers<float>(*value));
}

Result<std::optional<GgufNumbers<std::int32_t>>> GgufFile::find_integers(std::string_view key) const {
  using Found = std::optional<GgufNumbers<std::int32_t>>;
  const Value* value = find(key);
  if (value == nullptr) return Found();
  if (value->type != GgufType::kArray || (value->element != GgufType::kI32 && value->element != GgufType::kU32)) {
    return wrong_type(key, *value, "an array of i32");
  }
  return Found(numbers<std::int32_t>(*value));
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace rill::quant
