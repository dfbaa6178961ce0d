#pragma once
// A SentencePiece model's bytes (protocol-buffer message ModelProto, from sentencepiece_model.proto), read without
// libsentencepiece: to know what it will do with them before it gets them, and to refuse what it would not check
// itself.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "platform/function_ref.h"
#include "platform/status.h"

namespace rill {

/// The model's fields that Rill depends on, with the message's own defaults.
struct SentencePieceSettings {
  std::uint32_t pieces = 0;
  std::uint64_t model_type = 1;  ///< 1 unigram, 2 BPE, 3 word, 4 character
  bool byte_fallback = false;
  bool space_as_suffix = false;  ///< treat_whitespace_as_suffix
  bool has_rules = false;        ///< normaliser or denormaliser with a character map
  bool adds_space = true;        ///< add_dummy_prefix: in front of a text
  bool removes_spaces = true;    ///< remove_extra_whitespaces: around a text, and of several side by side all but one
  bool escapes_spaces = true;    ///< writes them as U+2581
};

/// Of a piece: the library looks for the longest at every character of a text.
inline constexpr std::size_t kMostPieceBytes = 256;

/// One piece of the vocabulary; its id is its place.
struct SentencePiece {
  enum class Type : std::uint32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
  std::string_view text;
  float score = 0.0F;
  Type type = Type::kNormal;
};

/// Reads a model and calls `visit` for each of its pieces in order; an error that it returns ends the reading.
/// @param proto  stricter than protocol buffers: groups, numbers of more than 64 bits and known fields of another wire
/// type
///               are refused, so that nothing can mean one thing here and another to libsentencepiece.
/// kBadInput names the offset at fault.
Result<SentencePieceSettings> read_sentencepiece_proto(std::string_view proto,
                                                       FunctionRef<Status(std::uint32_t, const SentencePiece&)> visit);

/// One field of a message, for those who rewrite one.
struct ProtoField {
  std::uint64_t number;
  std::uint64_t wire_type;
  std::uint64_t value;       ///< wire types 0 (varint), 1 and 5 (fixed): the bits
  std::string_view bytes;    ///< wire type 2
  std::string_view encoded;  ///< the whole field with its tag
};
/// Takes the first field off a message. @param rest  not empty. kBadInput names the distance from the message's end.
Result<ProtoField> take_proto_field(std::string_view& rest);

}  // namespace rill
