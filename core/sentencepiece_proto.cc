#include "core/sentencepiece_proto.h"

#include <bit>
#include <cstddef>
#include <cstring>

namespace rill {
namespace {

enum WireType : std::uint64_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

Status bad_proto(const Text& where, const Text& what) {
  return bad_input({.where = text("SentencePiece model, ", where),
                    .what = what,
                    .expected = text("a serialised ModelProto"),
                    .remedy = text("give the tokenizer.model that belongs to the model")});
}

Status cut_off(std::string_view rest) {
  return bad_proto(text(rest.size(), " bytes before the end of a message"),
                   text("a field that is cut off or too long"));
}

// False if the text ends first or the number has more than 64 bits.
bool take_varint(std::string_view& rest, std::uint64_t& value) {
  value = 0;
  for (std::size_t i = 0; i < rest.size() && i < 10; ++i) {
    const std::uint64_t byte = static_cast<std::uint8_t>(rest[i]);
    if (i == 9 && byte > 1) return false;
    value |= (byte & 0x7fU) << (7 * i);
    if (byte < 0x80) {
      rest.remove_prefix(i + 1);
      return true;
    }
  }
  return false;
}

template <typename Number>
bool take_fixed(std::string_view& rest, std::uint64_t& value) {
  if (rest.size() < sizeof(Number)) return false;
  Number number;
  std::memcpy(&number, rest.data(), sizeof(Number));
  value = number;
  rest.remove_prefix(sizeof(Number));
  return true;
}

// Calls visit(field) for each field of a message; it returns a Status.
template <typename Visit>
Status for_each_field(std::string_view message, const Visit& visit) {
  while (!message.empty()) {
    RILL_ASSIGN(const ProtoField field, take_proto_field(message));
    RILL_TRY(visit(field));
  }
  return {};
}

Status expect(const ProtoField& field, std::uint64_t wire_type, std::string_view name) {
  if (field.wire_type == wire_type) return {};
  return bad_proto(text("field ", name), text("wire type ", field.wire_type, " instead of ", wire_type));
}

Status read_flag(const ProtoField& field, std::string_view name, bool& flag) {
  flag = field.value != 0;
  return expect(field, kVarint, name);
}

Status read_piece(std::string_view message, SentencePiece& piece) {
  return for_each_field(message, [&](const ProtoField& field) -> Status {
    switch (field.number) {
      case 1:
        if (field.bytes.size() > kMostPieceBytes) {
          return bad_proto(text("field piece"), text(field.bytes.size(), " bytes, more than ", kMostPieceBytes));
        }
        piece.text = field.bytes;
        return expect(field, kBytes, "piece");
      case 2:
        piece.score = std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
        return expect(field, kFixed32, "score");
      case 3:
        if (field.value < 1 || field.value > 6) return bad_proto(text("field type"), text("type ", field.value));
        piece.type = static_cast<SentencePiece::Type>(field.value);
        return expect(field, kVarint, "type");
      default:
        return {};
    }
  });
}

Status read_trainer(std::string_view message, SentencePieceSettings& settings) {
  return for_each_field(message, [&](const ProtoField& field) -> Status {
    switch (field.number) {
      case 3:
        settings.model_type = field.value;
        return expect(field, kVarint, "model_type");
      case 24:
        return read_flag(field, "treat_whitespace_as_suffix", settings.space_as_suffix);
      case 35:
        return read_flag(field, "byte_fallback", settings.byte_fallback);
      default:
        return {};
    }
  });
}

Status read_normalizer(std::string_view message, SentencePieceSettings& settings) {
  return for_each_field(message, [&](const ProtoField& field) -> Status {
    switch (field.number) {
      case 2:
        settings.has_rules = settings.has_rules || !field.bytes.empty();
        return expect(field, kBytes, "precompiled_charsmap");
      case 3:
        return read_flag(field, "add_dummy_prefix", settings.adds_space);
      case 4:
        return read_flag(field, "remove_extra_whitespaces", settings.removes_spaces);
      case 5:
        return read_flag(field, "escape_whitespaces", settings.escapes_spaces);
      default:
        return {};
    }
  });
}

}  // namespace

Result<ProtoField> take_proto_field(std::string_view& rest) {
  const std::string_view whole = rest;
  std::uint64_t tag = 0;
  if (!take_varint(rest, tag) || tag > 0xffffffffU || tag < 8) return cut_off(whole);
  ProtoField field{.number = tag >> 3U, .wire_type = tag & 7U, .value = 0, .bytes = {}, .encoded = {}};
  bool whole_field = false;
  if (field.wire_type == kVarint) whole_field = take_varint(rest, field.value);
  if (field.wire_type == kFixed64) whole_field = take_fixed<std::uint64_t>(rest, field.value);
  if (field.wire_type == kFixed32) whole_field = take_fixed<std::uint32_t>(rest, field.value);
  if (field.wire_type == kBytes) {
    std::uint64_t size = 0;
    whole_field = take_varint(rest, size) && size <= rest.size();
    if (whole_field) {
      field.bytes = rest.substr(0, static_cast<std::size_t>(size));
      rest.remove_prefix(field.bytes.size());
    }
  }
  if (!whole_field) return cut_off(whole);
  field.encoded = whole.substr(0, whole.size() - rest.size());
  return field;
}

Result<SentencePieceSettings> read_sentencepiece_proto(std::string_view proto,
                                                       FunctionRef<Status(std::uint32_t, const SentencePiece&)> visit) {
  SentencePieceSettings settings;
  const auto read = [&](const ProtoField& field) -> Status {
    if (field.number >= 1 && field.number <= 5) RILL_TRY(expect(field, kBytes, "of ModelProto"));
    switch (field.number) {
      case 1: {
        SentencePiece piece;
        RILL_TRY(read_piece(field.bytes, piece));
        return visit(settings.pieces++, piece);
      }
      case 2:
        return read_trainer(field.bytes, settings);
      case 3:
        return read_normalizer(field.bytes, settings);
      case 4:  // libsentencepiece would encode whatever samples are there as it loads, and print those that fail
        if (field.bytes.empty()) return {};
        return bad_proto(text("field self_test_data"), text("samples to test the library with"));
      case 5: {  // the denormaliser: only its rules matter
        SentencePieceSettings reverse;
        RILL_TRY(read_normalizer(field.bytes, reverse));
        settings.has_rules = settings.has_rules || reverse.has_rules;
        return {};
      }
      default:
        return {};
    }
  };
  RILL_TRY(for_each_field(proto, read));
  return settings;
}

}  // namespace rill
