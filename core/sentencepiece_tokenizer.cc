#include "core/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

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

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(const TokenizerSection& section, FixedHeap& heap, std::size_t text_bytes)
      : Tokenizer(section, heap, text_bytes) {}
  std::string_view kind() const override { return "sentencepiece"; }

  /// Inside the heap's scope.
  Status load() {
    const std::string_view proto = section().characters(TokenizerTable::kProto);
    const auto status = processor_.LoadFromSerializedProto({proto.data(), proto.size()});
    if (!status.ok() || static_cast<std::uint32_t>(processor_.GetPieceSize()) != vocabulary()) {
      return bad_input(
          {.where = text("tokenizer section, proto"),
           .what = status.ok() ? text(processor_.GetPieceSize(), " pieces") : text("not a SentencePiece model"),
           .expected = text("a SentencePiece model of ", vocabulary(), " pieces"),
           .remedy = text("make the model file anew with `rill quantize`")});
    }
    return {};
  }

 protected:
  Result<std::size_t> encode_window(std::string_view window, bool is_first, bool is_last, TokenSink sink) override {
    const std::size_t end = is_last ? window.size() : last_cut(window);
    if (end == 0) return std::size_t{0};
    std::string_view piece = window.substr(0, end);
    // A later piece begins with the space that it was cut at, which the library puts in front of any text by itself.
    if (!is_first && strips_first_space() && piece.front() == ' ') piece.remove_prefix(1);
    std::vector<int> ids;
    {
      const FixedHeap::Scope scope(heap());
      if (const auto status = processor_.Encode({piece.data(), piece.size()}, &ids); !status.ok()) {
        return failed({.where = text("tokenizer"),
                       .what = text("SentencePiece could not encode the text"),
                       .expected = {},
                       .remedy = {}});
      }
    }
    // Out of the scope: whoever takes the tokens may allocate where it likes.
    static_assert(sizeof(int) == sizeof(Token));
    RILL_TRY(sink({reinterpret_cast<const Token*>(ids.data()), ids.size()}));
    return end;
  }

 private:
  /// The last place where no piece can reach across: before a space that follows another character. Not at the window's
  /// very end, since a space alone must stay with what follows.
  std::size_t last_cut(std::string_view window) const {
    if ((section().header().flags & kCutsAtSpaces) == 0) return 0;
    for (std::size_t i = window.size() - 1; i-- > 1;) {
      if (window[i] == ' ' && window[i - 1] != ' ') return i;
    }
    return 0;
  }

  sentencepiece::SentencePieceProcessor processor_;
};

}  // namespace

Size sentencepiece_bytes(const TokenizerSection& section, std::size_t text_bytes) {
  return Size(section.header().load_bytes) + Size(section.header().encode_bytes) * Size(text_bytes) +
         Size(sizeof(SentencePieceTokenizer));
}

Result<Tokenizer*> load_sentencepiece(const TokenizerSection& section, FixedHeap& heap, std::size_t text_bytes) {
  [[maybe_unused]] static const bool is_warm = (warm_up_library(), true);
  void* const memory = heap.allocate(sizeof(SentencePieceTokenizer));
  if (memory == nullptr) throw std::bad_alloc();
  SentencePieceTokenizer* tokenizer = nullptr;
  Status status;
  try {
    const FixedHeap::Scope scope(heap);
    tokenizer = new (memory) SentencePieceTokenizer(section, heap, text_bytes);
    status = tokenizer->load();
  } catch (const std::bad_alloc&) {
    if (tokenizer != nullptr) tokenizer->~SentencePieceTokenizer();
    heap.release(memory);
    throw;
  } catch (const std::exception& error) {
    status = bad_input({.where = text("tokenizer section, proto"),
                        .what = text(error.what()),
                        .expected = text("a SentencePiece model"),
                        .remedy = {}});
  }
  if (!status.ok()) {
    if (tokenizer != nullptr) tokenizer->~SentencePieceTokenizer();
    heap.release(memory);
    return status;
  }
  return tokenizer;
}

}  // namespace rill
