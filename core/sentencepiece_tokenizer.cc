#include "core/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/sentencepiece_proto.h"
#include "core/utf8.h"

namespace rill {
namespace {

/// A piece with score 0 in ModelProto's wire format: pieces { piece: SPELLING score: 0 type: TYPE }.
void append_piece(std::string& proto, std::string_view spelling, char type) {
  std::string piece = "\x0a";
  piece += static_cast<char>(spelling.size());
  piece += spelling;
  piece += std::string("\x15\0\0\0\0\x18", 6);
  piece += type;
  proto += '\x0a';
  proto += static_cast<char>(piece.size());
  proto += piece;
}

/// The library and its protocol buffers keep what they make at first use for the process's life (the table of byte
/// pieces is such a thing). Made inside a scope, that would lie in a heap which may go before the process does. So a
/// small model with a piece of every type is loaded and used outside first.
void warm_up_library() {
  std::string proto;
  append_piece(proto, "<unk>", '\x02');
  append_piece(proto, "<s>", '\x03');
  append_piece(proto, "<user>", '\x04');
  for (int byte = 0; byte < 256; ++byte) {
    std::array<char, 8> spelling{};
    std::snprintf(spelling.data(), spelling.size(), "<0x%02X>", static_cast<unsigned>(byte));
    append_piece(proto, spelling.data(), '\x06');
  }
  append_piece(proto, "\xe2\x96\x81", '\x01');
  append_piece(proto, "b", '\x01');
  proto += "\x12\x05\x18\x02\x98\x02\x01";  // trainer_spec { model_type: BPE byte_fallback: true }
  sentencepiece::SentencePieceProcessor processor;
  std::vector<int> ids;
  if (processor.LoadFromSerializedProto({proto.data(), proto.size()}).ok())
    (void)processor.Encode("b <user> z", &ids).ok();
}

constexpr std::string_view kSpaceSymbol = "\xe2\x96\x81";  // U+2581, which the library writes for a space
constexpr std::size_t kEncodeSpare = 4096;                 // what encoding takes however short the text is

Status bad_model(const Text& what, const Text& expected) {
  return bad_input({.where = text("SentencePiece model"),
                    .what = what,
                    .expected = expected,
                    .remedy = text("give another tokenizer, or make the model file anew with `rill quantize`")});
}

/// Notes what stands before each space inside a piece. Gemma has one such piece, ">" and "</" with a space between.
void note_spaces_inside(std::string_view piece, std::bitset<256>& inside) {
  while (piece.starts_with(kSpaceSymbol)) piece.remove_prefix(kSpaceSymbol.size());
  for (std::size_t at = piece.find(kSpaceSymbol); at != std::string_view::npos;
       at = piece.find(kSpaceSymbol, at + kSpaceSymbol.size())) {
    inside.set(static_cast<std::uint8_t>(piece[at - 1]));
  }
}

/// Calls the library in a heap. An exception other than a full heap is the library's word that it does not take its
/// input.
/// @param full  what a full heap is: while a model loads, a wrong figure in its file
template <typename Work>
Status call_library(FixedHeap& heap, Code full, const Work& work) {
  Status status;
  const auto guarded = [&] {
    try {
      if (!work()) status = bad_model(text("libsentencepiece does not take it"), {});
    } catch (const std::exception& error) {
      status = bad_model(text(error.what()), {});
    }
  };
  if (heap.run_or_abandon(guarded)) return status;
  return {full, Report{.where = text("tokenizer pool"),
                       .what = text("libsentencepiece needs more than ", heap.capacity(), " bytes"),
                       .expected = {},
                       .remedy = text("make the model file anew with this version of `rill quantize`")}};
}

/// libsentencepiece has room for so many pieces that begin at one place of a text, and does not count them.
constexpr std::size_t kMostPrefixes = 64;

/// True if more pieces than that are all one another's beginnings.
bool has_long_prefix_chain(std::vector<std::string_view> pieces) {
  std::sort(pieces.begin(), pieces.end());
  std::vector<std::string_view> chain;  // each the beginning of the next
  for (const std::string_view piece : pieces) {
    while (!chain.empty() && !piece.starts_with(chain.back())) chain.pop_back();
    chain.push_back(piece);
    if (chain.size() > kMostPrefixes) return true;
  }
  return false;
}

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(const TokenizerSection& section, FixedHeap& heap, std::size_t text_bytes,
                         const SentencePieceTraits& traits)
      : Tokenizer(section, heap, text_bytes), traits_(traits) {}
  ~SentencePieceTokenizer() override {
    encode_heap_.reset();
    heap().release(encode_block_.data());
  }
  std::string_view kind() const override { return "sentencepiece"; }

  Status load(std::size_t text_bytes) {
    const Size need = Size(kEncodeSpare) + Size(section().header().encode_bytes) * Size(text_bytes);
    if (need.wrapped || need.value > PTRDIFF_MAX) throw std::bad_alloc();
    const auto bytes = static_cast<std::size_t>(need.value);
    auto* const block = static_cast<std::byte*>(heap().allocate(bytes));
    if (block == nullptr) throw std::bad_alloc();
    encode_block_ = {block, bytes};
    encode_heap_.emplace(encode_block_);
    const std::string_view proto = section().characters(TokenizerTable::kProto);
    return call_library(heap(), Code::kBadInput, [&] {
      processor_.emplace();
      return processor_->LoadFromSerializedProto({proto.data(), proto.size()}).ok();
    });
  }
  /// Forgets a library object that may be half made: what it holds goes with the heap.
  void abandon() { new (&processor_) std::optional<sentencepiece::SentencePieceProcessor>(); }

 protected:
  Result<std::size_t> encode_window(std::string_view window, bool is_first, bool is_last, TokenSink sink) override {
    const std::size_t end = is_last ? window.size() : last_cut(window);
    if (end == 0) return std::size_t{0};
    std::string_view piece = window.substr(0, end);
    // A later piece begins with the space that it was cut at, which the library puts in front of any text by itself.
    if (!is_first && strips_first_space() && piece.front() == ' ') piece.remove_prefix(1);
    // In raw memory: after an abandoned call the ids must not be destroyed, for what they point to is gone.
    alignas(std::vector<int>) std::byte place[sizeof(std::vector<int>)];
    auto* const ids = new (place) std::vector<int>;
    const Status encoded = call_library(*encode_heap_, Code::kFailed, [&] {
      return processor_->Encode({piece.data(), piece.size()}, ids).ok();
    });
    if (!encoded.ok()) {
      encode_heap_.emplace(encode_block_);  // a new heap, whatever the call left in the old one
      return encoded;
    }
    // Out of the scope: whoever takes the tokens may allocate where it likes.
    static_assert(sizeof(int) == sizeof(Token));
    const Status taken = sink({reinterpret_cast<const Token*>(ids->data()), ids->size()});
    ids->~vector();
    RILL_TRY(taken);
    return end;
  }

 private:
  /// The last place where no piece can reach across: before a space that follows another character, which is not the
  /// symbol for a space itself, nor what a piece has before a space. Not at the window's very end, since a space alone
  /// must stay with what follows.
  std::size_t last_cut(std::string_view window) const {
    if (!traits_.cuts_at_spaces || window.size() < 3) return 0;
    for (std::size_t i = window.size() - 1; i-- > 1;) {
      const auto before = static_cast<std::uint8_t>(window[i - 1]);
      if (window[i] != ' ' || before == ' ' || traits_.inside[before]) continue;
      if (!window.substr(0, i).ends_with(kSpaceSymbol)) return i;
    }
    return 0;
  }

  SentencePieceTraits traits_;
  std::span<std::byte> encode_block_;
  std::optional<FixedHeap> encode_heap_;
  std::optional<sentencepiece::SentencePieceProcessor> processor_;
};

}  // namespace

Result<SentencePieceTraits> check_sentencepiece(std::string_view proto, std::span<const Token> special) {
  const auto is_text = [](Token id) {
    return bad_model(text("piece ", id, ", which text can become, among the special tokens"),
                     text("control pieces there, with which nobody can forge a turn"));
  };
  SentencePieceTraits traits;
  Token special_unknown = kNoToken;
  bool knows_space = false;
  std::vector<std::string_view> user_defined;
  RILL_ASSIGN(const SentencePieceSettings settings,
              read_sentencepiece_proto(proto, [&](std::uint32_t id, const SentencePiece& piece) -> Status {
                const bool is_control =
                    piece.type == SentencePiece::Type::kControl || piece.type == SentencePiece::Type::kUnknown;
                if (is_control && !piece.text.empty() && first_character(piece.text).bytes == piece.text.size()) {
                  return bad_model(text("control piece ", id, " is a single character, which would be found in text"),
                                   text("a longer spelling"));
                }
                if (std::binary_search(special.begin(), special.end(), id)) {
                  if (!is_control) return is_text(id);
                  if (piece.type == SentencePiece::Type::kUnknown) special_unknown = id;
                }
                if (piece.type == SentencePiece::Type::kUserDefined) user_defined.push_back(piece.text);
                if (!is_control) note_spaces_inside(piece.text, traits.inside);
                const bool is_text_piece =
                    piece.type == SentencePiece::Type::kNormal || piece.type == SentencePiece::Type::kUserDefined;
                knows_space = knows_space || (is_text_piece && piece.text == kSpaceSymbol);
                return {};
              }));
  if (has_long_prefix_chain(std::move(user_defined))) {
    return bad_model(text("more than ", kMostPrefixes, " user-defined pieces that begin alike"),
                     text("so many at most, each the beginning of the next"));
  }
  constexpr std::uint64_t kBpe = 2;
  if (settings.model_type != kBpe) return bad_model(text("model type ", settings.model_type), text("2, BPE"));
  if (settings.has_rules)
    return bad_model(text("a normaliser with a character map"), text("one that leaves characters as they are"));
  if (settings.space_as_suffix || !settings.escapes_spaces) {
    return bad_model(text("spaces behind words, or not written as U+2581"), text("Llama's way of writing spaces"));
  }
  if (!settings.byte_fallback && special_unknown != kNoToken) return is_text(special_unknown);
  traits.pieces = settings.pieces;
  traits.writes_unknown = !settings.byte_fallback;
  // Unknown characters side by side become one token, so a space must not be one of them; nor may it be taken away from
  // the front of a text, unless it is put there anew.
  traits.cuts_at_spaces = (knows_space || settings.byte_fallback) && (settings.adds_space || !settings.removes_spaces);
  return traits;
}

Size sentencepiece_bytes(const TokenizerSection& section, std::size_t text_bytes) {
  return Size(section.header().load_bytes) + Size(section.header().encode_bytes) * Size(text_bytes) +
         Size(kEncodeSpare) + Size(sizeof(SentencePieceTokenizer));
}

Result<Tokenizer*> load_sentencepiece(const TokenizerSection& section, FixedHeap& heap, std::size_t text_bytes) {
  RILL_ASSIGN(const SentencePieceTraits traits, check_sentencepiece(section.characters(TokenizerTable::kProto),
                                                                    section.numbers(TokenizerTable::kSpecial)));
  if (traits.pieces != section.header().vocabulary) {
    return bad_model(text(traits.pieces, " pieces"), text("the vocabulary's ", section.header().vocabulary));
  }
  try {
    [[maybe_unused]] static const bool is_warm = (warm_up_library(), true);
  } catch (const std::bad_alloc&) {  // outside the heap: no fault of the file's
    return failed({.where = text("libsentencepiece"),
                   .what = text("the system has no memory for its start"),
                   .expected = {},
                   .remedy = text("free some memory")});
  }
  void* const memory = heap.allocate(sizeof(SentencePieceTokenizer));
  if (memory == nullptr) throw std::bad_alloc();
  auto* const tokenizer = new (memory) SentencePieceTokenizer(section, heap, text_bytes, traits);
  Status status;
  try {
    status = tokenizer->load(text_bytes);
  } catch (const std::bad_alloc&) {
    tokenizer->~SentencePieceTokenizer();
    throw;
  }
  if (status.ok()) return tokenizer;
  tokenizer->abandon();
  tokenizer->~SentencePieceTokenizer();
  return status;
}

}  // namespace rill
