#include "quant/sentencepiece_model.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "core/sentencepiece_proto.h"
#include "core/sentencepiece_tokenizer.h"
#include "platform/fixed_heap.h"

namespace rill::quant {
namespace {

constexpr std::string_view kSpace = "\xe2\x96\x81";             // U+2581, which SentencePiece writes for a space
constexpr std::string_view kUnknownSurface = " \xe2\x81\x87 ";  // U+2047, its text for a character that it has lost

/// Room to load and to try out a model: Llama-2's takes 14 times its bytes.
std::size_t trial_heap_bytes(std::size_t proto_bytes) {
  constexpr std::size_t kMost = std::size_t{512} << 20U;
  return std::min(kMost, (std::size_t{32} << 20U) + 64 * std::min(proto_bytes, kMost / 64));
}

/// Texts that need the most heap for a byte: one long piece, many short ones, bytes that fall back, words.
std::vector<std::string> trial_texts() {
  std::vector<std::string> texts;
  // A vector that doubles holds most just above a power of two, least just below.
  for (const std::size_t size : {std::size_t{2049}, std::size_t{4097}, std::size_t{6000}}) {
    for (const std::string_view unit :
         {std::string_view("a"), std::string_view(" "), std::string_view("\n"), std::string_view("ab "),
          std::string_view("\x01"), std::string_view("\xe4\xbd\xa0"), std::string_view("\xf0\x9f\x99\x82"),
          std::string_view("The quick brown fox. "), kSpace}) {
      std::string one;
      while (one.size() < size) one += unit;
      texts.push_back(std::move(one));
    }
  }
  return texts;
}

Status not_a_model() {
  return bad_input({.where = text("SentencePiece model"),
                    .what = text("libsentencepiece does not take it"),
                    .expected = text("a serialised ModelProto (tokenizer.model)"),
                    .remedy = text("give the model's tokenizer.model, not a vocabulary in another form")});
}

Status no_memory() {
  return failed({.where = text("SentencePiece model"),
                 .what = text("the system has no memory to load it"),
                 .expected = {},
                 .remedy = text("free some memory, or import it on a larger machine")});
}

std::string bytes_of_piece(const sentencepiece::SentencePieceProcessor& processor, int id) {
  const std::string& piece = processor.IdToPiece(id);
  if (processor.IsByte(id) && piece.size() == 6) {  // "<0x41>"
    return std::string(1, static_cast<char>(std::stoi(piece.substr(3, 2), nullptr, 16)));
  }
  if (processor.IsControl(id) || processor.IsUnknown(id)) return piece;
  std::string bytes;
  for (std::size_t i = 0; i < piece.size();) {
    const bool is_space = std::string_view(piece).substr(i).starts_with(kSpace);
    bytes += is_space ? ' ' : piece[i];
    i += is_space ? kSpace.size() : 1;
  }
  return bytes;
}

/// The model without its self_test_data (field 4), which no tokenizer needs and no .rill file may have.
Result<std::string> without_self_test(std::string_view proto) {
  std::string kept;
  while (!proto.empty()) {
    RILL_ASSIGN(const ProtoField field, take_proto_field(proto));
    if (field.number != 4) kept += field.encoded;
  }
  return kept;
}

/// Loads and encodes on a heap of its own to see how much of it is taken.
Status measure_heap(std::string_view proto, SentencePieceFacts& facts) {
  // Not cleared: what is not used of it is not taken from the system.
  const std::size_t bytes = trial_heap_bytes(proto.size());
  const std::unique_ptr<std::byte[]> block(new (std::nothrow) std::byte[bytes]);
  if (block == nullptr) {
    return failed({.where = text("SentencePiece model"),
                   .what = text("the system does not grant ", bytes, " bytes to try it out"),
                   .expected = {},
                   .remedy = text("free some memory, or import it on a larger machine")});
  }
  FixedHeap heap({block.get(), bytes});
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor;
  {
    const FixedHeap::Scope scope(heap);
    processor = std::make_unique<sentencepiece::SentencePieceProcessor>();
    if (!processor->LoadFromSerializedProto({proto.data(), proto.size()}).ok()) return not_a_model();
  }
  // The peak while loading is above what stays; encoding may use that room again.
  const std::size_t loaded = heap.peak_bytes();
  facts.load_bytes = loaded + loaded / 16 + 65536;
  for (const std::string& one : trial_texts()) {
    FixedHeap::Scope scope(heap);
    const std::size_t before = heap.used_bytes();
    heap.forget_peak();
    std::vector<int> ids;
    if (!processor->Encode({one.data(), one.size()}, &ids).ok()) return not_a_model();
    const std::uint64_t per_byte = (heap.peak_bytes() - before) / one.size() + 1;
    facts.encode_bytes = std::max(facts.encode_bytes, per_byte + per_byte / 2);
  }
  return {};
}

}  // namespace

Result<SentencePieceFacts> examine_sentencepiece(std::string_view proto) {
  RILL_ASSIGN(const SentencePieceTraits traits, check_sentencepiece(proto));
  SentencePieceFacts facts;
  try {
    sentencepiece::SentencePieceProcessor processor;
    if (!processor.LoadFromSerializedProto({proto.data(), proto.size()}).ok()) return not_a_model();
    for (int id = 0; id < processor.GetPieceSize(); ++id) {
      const bool is_written_unknown = processor.IsUnknown(id) && traits.writes_unknown;
      facts.tokens.push_back(is_written_unknown ? std::string(kUnknownSurface) : bytes_of_piece(processor, id));
      if (processor.IsControl(id) || (processor.IsUnknown(id) && !traits.writes_unknown))
        facts.special.push_back(static_cast<Token>(id));
    }
    const auto token_or_none = [](int id) { return id >= 0 ? static_cast<Token>(id) : kNoToken; };
    facts.beginning_of_text = token_or_none(processor.bos_id());
    facts.end_of_text = token_or_none(processor.eos_id());
    std::vector<std::string> pieces;
    if (!processor.Encode("a", &pieces).ok()) return not_a_model();
    facts.adds_dummy_prefix = !pieces.empty() && pieces.front().starts_with(std::string(kSpace));
    RILL_TRY(measure_heap(proto, facts));
  } catch (const std::bad_alloc&) {
    return no_memory();
  } catch (const std::exception&) {
    return not_a_model();
  }
  return facts;
}

Result<SourceTokenizer> sentencepiece_from_proto(std::string proto) {
  RILL_ASSIGN(proto, without_self_test(proto));
  RILL_TRY(check_sentencepiece(proto).status());
  SourceTokenizer tokenizer;
  try {
    sentencepiece::SentencePieceProcessor processor;
    if (!processor.LoadFromSerializedProto({proto.data(), proto.size()}).ok()) return not_a_model();
    tokenizer.kind = SourceTokenizer::Kind::kSentencePiece;
    if (processor.bos_id() >= 0) tokenizer.beginning_of_text = static_cast<Token>(processor.bos_id());
    if (processor.eos_id() >= 0) tokenizer.end_tokens.push_back(static_cast<Token>(processor.eos_id()));
    tokenizer.adds_beginning_of_text = processor.bos_id() >= 0;
  } catch (const std::bad_alloc&) {
    return no_memory();
  } catch (const std::exception&) {
    return not_a_model();
  }
  tokenizer.sentencepiece_proto = std::move(proto);
  return tokenizer;
}

namespace {

/// Protocol buffers' wire format, as far as a ModelProto needs it.
class ProtoMessage {
 public:
  void add_varint(std::uint32_t field, std::uint64_t value) {
    put(field << 3U);
    put(value);
  }
  void add_float(std::uint32_t field, float value) {
    put((field << 3U) | 5U);
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    bytes_.append(bytes, sizeof value);
  }
  void add_bytes(std::uint32_t field, std::string_view value) {
    put((field << 3U) | 2U);
    put(value.size());
    bytes_ += value;
  }
  std::string take() && { return std::move(bytes_); }
  const std::string& bytes() const { return bytes_; }

 private:
  void put(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7U) bytes_ += static_cast<char>(value | 0x80U);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

}  // namespace

std::string more_pieces(std::size_t first, std::size_t end, const std::map<Token, AddedToken>& added) {
  ProtoMessage pieces;
  for (std::size_t id = first; id < end; ++id) {
    ProtoMessage piece;
    const auto token = added.find(static_cast<Token>(id));
    const bool is_added = token != added.end();
    piece.add_bytes(1, is_added ? token->second.spelling : std::string(text("<no token ", id, ">").view()));
    const PieceType type = is_added && token->second.is_special ? PieceType::kControl : PieceType::kUnused;
    piece.add_varint(3, static_cast<std::uint64_t>(type));
    pieces.add_bytes(1, piece.bytes());
  }
  return std::move(pieces).take();
}

// Field numbers from sentencepiece_model.proto: ModelProto has pieces 1 (piece 1, score 2, type 3), trainer_spec 2
// (model_type 3, byte_fallback 35), normalizer_spec 3 (name 1, add_dummy_prefix 3, remove_extra_whitespaces 4,
// escape_whitespaces 5).
std::string build_sentencepiece_proto(std::span<const std::string_view> tokens, std::span<const float> scores,
                                      std::span<const std::int32_t> types) {
  ProtoMessage model;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    ProtoMessage piece;
    piece.add_bytes(1, tokens[i]);
    piece.add_float(2, i < scores.size() ? scores[i] : 0.0F);
    piece.add_varint(3, static_cast<std::uint64_t>(i < types.size() ? types[i] : 1));
    model.add_bytes(1, piece.bytes());
  }
  constexpr std::uint64_t kBpe = 2;
  ProtoMessage trainer;
  trainer.add_varint(3, kBpe);
  trainer.add_varint(35, 1);
  model.add_bytes(2, trainer.bytes());
  ProtoMessage normalizer;
  normalizer.add_bytes(1, "identity");
  normalizer.add_varint(3, 1);
  normalizer.add_varint(4, 0);
  normalizer.add_varint(5, 1);
  model.add_bytes(3, normalizer.bytes());
  return std::move(model).take();
}

}  // namespace rill::quant
