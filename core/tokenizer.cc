#include "core/tokenizer.h"

#include <algorithm>
#include <array>
#include <new>

#include "core/byte_level_bpe.h"
#include "core/sentencepiece_tokenizer.h"
#include "core/unicode_composer.h"
#include "core/utf8.h"

namespace rill {
namespace {

/// @param code  kBadInput while a tokenizer loads: its file's figures are too low then
Status heap_full(Code code, const FixedHeap& heap, std::string_view doing) {
  return {code, Report{.where = text("tokenizer pool"),
                       .what = text(doing, " needs more than its ", heap.capacity(), " bytes"),
                       .expected = {},
                       .remedy = text("make the model file anew with this version of `rill quantize`")}};
}

bool composes(const TokenizerSection& section) { return (section.header().flags & kComposesCharacters) != 0; }

/// The buffer that text goes through.
std::size_t window_bytes(const TokenizerSection& section, std::size_t text_bytes) {
  const std::size_t least = std::max(text_bytes, std::size_t{16});
  return composes(section) && least <= PTRDIFF_MAX ? least + UnicodeComposer::kLeastRoom : least;
}

/// Memory of a fixed heap for the length of a call.
class HeapBuffer {
 public:
  HeapBuffer(FixedHeap& heap, std::size_t bytes)
      : heap_(heap), data_(static_cast<char*>(heap.allocate(bytes))), size_(bytes) {}
  HeapBuffer(const HeapBuffer&) = delete;
  HeapBuffer& operator=(const HeapBuffer&) = delete;
  ~HeapBuffer() { heap_.release(data_); }

  bool ok() const { return data_ != nullptr; }
  std::span<char> span() const { return {data_, size_}; }

 private:
  FixedHeap& heap_;
  char* data_;
  std::size_t size_;
};

}  // namespace

Tokenizer::Tokenizer(const TokenizerSection& section, FixedHeap& heap, std::size_t text_bytes)
    : section_(section), heap_(&heap), text_bytes_(text_bytes) {}

Result<std::size_t> Tokenizer::heap_bytes(std::span<const std::byte> bytes, std::size_t text_bytes) {
  RILL_ASSIGN(const TokenizerSection section, TokenizerSection::parse(bytes));
  const bool is_bpe = section.header().kind == TokenizerKind::kByteLevelBpe;
  const Size need =
      is_bpe ? byte_level_bpe_bytes(window_bytes(section, text_bytes)) : sentencepiece_bytes(section, text_bytes);
  const Size total = need + Size(window_bytes(section, text_bytes)) + Size(4096);  // and what rounding takes
  if (total.wrapped || total.value > PTRDIFF_MAX) {
    return bad_usage({.where = text("tokenizer"),
                      .what = text("a text of ", text_bytes, " bytes"),
                      .expected = text("a shorter one"),
                      .remedy = {}});
  }
  return static_cast<std::size_t>(total.value);
}

Result<Tokenizer*> Tokenizer::load(std::span<const std::byte> bytes, FixedHeap& heap, std::size_t text_bytes) {
  RILL_ASSIGN(const TokenizerSection section, TokenizerSection::parse(bytes));
  try {
    return section.header().kind == TokenizerKind::kByteLevelBpe ? load_byte_level_bpe(section, heap, text_bytes)
                                                                 : load_sentencepiece(section, heap, text_bytes);
  } catch (const std::bad_alloc&) {
    return heap_full(Code::kBadInput, heap, "loading");
  }
}

/// Text between two special tokens on its way through a buffer of fixed size.
class Tokenizer::Fragment {
 public:
  Fragment(Tokenizer& tokenizer, std::span<char> buffer, TokenSink sink)
      : tokenizer_(tokenizer), buffer_(buffer), sink_(sink) {}

  /// Adds text; what cannot change any more is encoded when the buffer is full.
  Status add(std::string_view text) { return composes(tokenizer_.section_) ? compose(text) : append(text); }

  /// Encodes what is left. The next text begins anew.
  Status finish() {
    if (composes(tokenizer_.section_)) {
      RILL_TRY(make_room());
      held_ += composer_.finish(buffer_.subspan(held_));
    }
    while (held_ > 0) RILL_TRY(encode(/*is_last=*/true));
    is_first_ = true;
    return {};
  }

 private:
  Status append(std::string_view text) {
    while (true) {
      held_ += move_as_utf8(text, buffer_.subspan(held_));
      if (text.empty()) return {};
      RILL_TRY(encode(/*is_last=*/false));
    }
  }

  Status compose(std::string_view text) {
    std::array<char, 512> valid;
    while (!text.empty()) {
      std::string_view piece(valid.data(), move_as_utf8(text, valid));
      while (!piece.empty()) {
        RILL_TRY(make_room());
        held_ += composer_.add(piece, buffer_.subspan(held_));
      }
    }
    return {};
  }

  Status make_room() {
    if (buffer_.size() - held_ >= UnicodeComposer::kLeastRoom) return {};
    return encode(/*is_last=*/false);
  }

  Status encode(bool is_last) {
    const std::string_view window(buffer_.data(), held_);
    RILL_ASSIGN(const std::size_t consumed, tokenizer_.encode_window(window, is_first_, is_last, sink_));
    if (consumed == 0) {
      return bad_input({.where = text("text"),
                        .what = text("a word longer than ", tokenizer_.text_bytes_, " bytes"),
                        .expected = text("a space or line break before that"),
                        .remedy = text("put spaces between the words")});
    }
    is_first_ = false;
    held_ -= consumed;
    std::copy_n(window.data() + consumed, held_, buffer_.data());
    return {};
  }

  Tokenizer& tokenizer_;
  std::span<char> buffer_;
  TokenSink sink_;
  UnicodeComposer composer_;
  std::size_t held_ = 0;
  bool is_first_ = true;
};

Status Tokenizer::encode(std::span<const TextPart> parts, TokenSink sink) { return encode_behind("", parts, sink); }

/// libsentencepiece puts its space in front of any text: in front of a line's end, then, whose tokens are left out.
Status Tokenizer::encode_further(std::span<const TextPart> parts, TokenSink sink) {
  bool stands_alone = strips_first_space();
  for (Token token = 0; stands_alone && token < vocabulary(); ++token) {
    const std::string_view bytes = section_.token_bytes(token);
    stands_alone = bytes.size() <= 1 || bytes.find('\n') == std::string_view::npos;
  }
  if (!stands_alone) return encode(parts, sink);
  std::size_t left_out = 0;
  RILL_TRY(encode("\n", SpecialTokens::kText, [&](std::span<const Token> run) -> Status {
    left_out += run.size();
    return {};
  }));
  return encode_behind("\n", parts, [&](std::span<const Token> run) -> Status {
    const std::size_t leave = std::min(left_out, run.size());
    left_out -= leave;
    return leave < run.size() ? sink(run.subspan(leave)) : Status();
  });
}

/// @param before  text in front of the parts
Status Tokenizer::encode_behind(std::string_view before, std::span<const TextPart> parts, TokenSink sink) {
  const HeapBuffer buffer(*heap_, window_bytes(section_, text_bytes_));
  if (!buffer.ok()) return heap_full(Code::kFailed, *heap_, "encoding");
  Fragment fragment(*this, buffer.span(), sink);
  try {
    RILL_TRY(fragment.add(before));
    for (const TextPart& part : parts) {
      for (std::string_view rest = part.text; !rest.empty();) {
        const Match match = find_spelling(rest, part.special);
        RILL_TRY(fragment.add(rest.substr(0, match.begin)));
        if (match.token != kNoToken) {
          RILL_TRY(fragment.finish());
          RILL_TRY(sink({&match.token, 1}));
        }
        rest.remove_prefix(match.end);
      }
    }
    return fragment.finish();
  } catch (const std::bad_alloc&) {
    return heap_full(Code::kFailed, *heap_, "encoding");
  }
}

/// The first place where a special or added token is spelt out, the longest if several begin there; else the text's
/// end.
Tokenizer::Match Tokenizer::find_spelling(std::string_view text, SpecialTokens special) const {
  const std::span<const Token> lists[] = {
      section_.numbers(TokenizerTable::kAdded),
      special == SpecialTokens::kControl ? section_.numbers(TokenizerTable::kSpecial) : std::span<const Token>()};
  std::array<bool, 256> begins{};  // most places are passed by at a glance
  for (const auto& list : lists) {
    for (const Token token : list) {
      const std::string_view spelling = section_.token_bytes(token);
      if (!spelling.empty()) begins[static_cast<std::uint8_t>(spelling.front())] = true;
    }
  }
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (!begins[static_cast<std::uint8_t>(text[at])]) continue;
    Match longest{.begin = at, .end = at, .token = kNoToken};
    for (const auto& list : lists) {
      for (const Token token : list) {
        const std::string_view spelling = section_.token_bytes(token);
        if (at + spelling.size() > longest.end && text.substr(at).starts_with(spelling)) {
          longest.end = at + spelling.size();
          longest.token = token;
        }
      }
    }
    if (longest.token != kNoToken) return longest;
  }
  return {.begin = text.size(), .end = text.size(), .token = kNoToken};
}

std::string_view Tokenizer::bytes_of(Token token) const {
  if (token >= vocabulary() || !special_spelling(token).empty()) return {};
  return section_.token_bytes(token);
}

std::string_view Tokenizer::special_spelling(Token token) const {
  const auto special = section_.numbers(TokenizerTable::kSpecial);
  return std::binary_search(special.begin(), special.end(), token) ? section_.token_bytes(token) : std::string_view();
}

Token Tokenizer::find_special(std::string_view spelling) const {
  for (const Token token : section_.numbers(TokenizerTable::kSpecial)) {
    if (section_.token_bytes(token) == spelling) return token;
  }
  return kNoToken;
}

bool Tokenizer::strips_first_space() const { return (section_.header().flags & kStripsFirstSpace) != 0; }
bool Tokenizer::adds_beginning_of_text() const {
  return (section_.header().flags & kAddsBeginningOfText) != 0 && beginning_of_text() != kNoToken;
}

bool Tokenizer::ends_text(Token token) const {
  const auto ends = section_.numbers(TokenizerTable::kEnds);
  return std::binary_search(ends.begin(), ends.end(), token);
}

}  // namespace rill
