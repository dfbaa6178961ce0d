#pragma once
// Text to tokens and back, behind one interface: SentencePiece (through libsentencepiece) and byte-level BPE. A
// tokenizer draws every byte it needs from one fixed heap.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/model_config.h"
#include "core/tokenizer_section.h"
#include "platform/fixed_heap.h"
#include "platform/function_ref.h"
#include "platform/status.h"

namespace rill {

/// Whether special tokens spelt out in a text count as such. kText is for what users type: nobody can forge a turn.
enum class SpecialTokens : bool { kText, kControl };

/// A stretch of text, and how special tokens spelt out in it count. A spelling never reaches from one part into the
/// next.
struct TextPart {
  std::string_view text;
  SpecialTokens special = SpecialTokens::kText;
};

/// Takes a run of tokens; borrowed for the call. An error ends the encoding and is handed through.
using TokenSink = FunctionRef<Status(std::span<const Token>)>;

/// The text that a fixed heap is sized for unless the caller asks for more: longer text is fed piece by piece, cut
/// where no token can cross; only a single word longer than this is refused.
inline constexpr std::size_t kTextPieceBytes = 16 * 1024;

/// One vocabulary. Read-only after load(), but encode() uses the heap: one caller at a time.
class Tokenizer {
 public:
  /// Bytes of heap that load() and encode() need.
  /// @param section     the "tokenizer" section; hostile bytes give kBadInput.
  /// @param text_bytes  the longest piece of text between two places where it may be cut.
  static Result<std::size_t> heap_bytes(std::span<const std::byte> section, std::size_t text_bytes = kTextPieceBytes);

  /// Checks the section and builds what encoding needs.
  /// @param section     borrowed for the tokenizer's life; 8-aligned.
  /// @param heap        borrowed likewise; the object itself lives in it, and is destroyed by its owner.
  /// @param text_bytes  what the heap was sized for.
  /// kBadInput names what is wrong with the section; kFailed says that the heap is too small.
  static Result<Tokenizer*> load(std::span<const std::byte> section, FixedHeap& heap,
                                 std::size_t text_bytes = kTextPieceBytes);

  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;
  virtual ~Tokenizer() = default;

  /// Encodes parts that form one text (a word may reach from one into the next), UTF-8 of any length; what is not UTF-8
  /// counts as U+FFFD, one per maximal part as Unicode recommends. No beginning-of-text token is added. The same tokens
  /// as the model's own tokenizer gives.
  /// @param sink  is called with runs of tokens, in order; from outside the heap's scope.
  /// kBadInput if one word is longer than the heap was sized for; tokens before it have been handed out then.
  /// Cost: O(n log n) in a word's bytes, O(n) in words; no allocation outside the heap, which is as before afterwards.
  Status encode(std::span<const TextPart> parts, TokenSink sink);
  /// The same for parts with which a text goes on that was encoded before them: no space is put in front of them. No
  /// token reaches over the place.
  Status encode_further(std::span<const TextPart> parts, TokenSink sink);
  Status encode(std::string_view text, SpecialTokens special, TokenSink sink) {
    const TextPart part = {.text = text, .special = special};
    return encode({&part, 1}, sink);
  }

  /// The bytes a token stands for, empty for control tokens and ids out of range; may be a part of a UTF-8 character.
  std::string_view bytes_of(Token token) const;
  /// A control token's spelling ("<|im_end|>"); empty for others.
  std::string_view special_spelling(Token token) const;
  /// The token with this exact spelling among the special ones, or kNoToken.
  Token find_special(std::string_view spelling) const;
  /// True if a decoded text begins with a space that was not in the original (SentencePiece's dummy prefix).
  bool strips_first_space() const;
  virtual std::string_view kind() const = 0;  ///< "sentencepiece" or "byte-level bpe"
  /// True if a text may lose this byte: the vocabulary has no token for it, nor any in its place.
  virtual bool leaves_out(char /*byte*/) const { return false; }

  std::uint32_t vocabulary() const { return section_.header().vocabulary; }
  Token beginning_of_text() const { return section_.header().beginning_of_text; }  ///< or kNoToken
  bool adds_beginning_of_text() const;                                             ///< put in front of every stream
  /// True for the tokens that end a reply.
  bool ends_text(Token token) const;

 protected:
  Tokenizer(const TokenizerSection& section, FixedHeap& heap, std::size_t text_bytes);

  /// Encodes the front of a text that has no special tokens left in it.
  /// @param window    valid UTF-8, not empty
  /// @param is_first  the window begins the text
  /// @param is_last   the text ends with the window
  /// @returns bytes consumed: all if is_last, else up to where no later byte can change a token; 0 if there is no such
  ///          place. May throw std::bad_alloc when the heap is full.
  virtual Result<std::size_t> encode_window(std::string_view window, bool is_first, bool is_last, TokenSink sink) = 0;

  FixedHeap& heap() { return *heap_; }
  const TokenizerSection& section() const { return section_; }

 private:
  struct Match {
    std::size_t begin = 0;
    std::size_t end = 0;
    Token token = kNoToken;
  };
  Match find_spelling(std::string_view text, SpecialTokens special) const;
  class Fragment;
  Status encode_behind(std::string_view before, std::span<const TextPart> parts, TokenSink sink);

  TokenizerSection section_;
  FixedHeap* heap_;
  std::size_t text_bytes_;
};

/// Puts decoded tokens together again without ever giving out a part of a character.
class Utf8Stream {
 public:
  /// @param strip_first_space  tokenizer.strips_first_space() at the start of a text, else false.
  explicit Utf8Stream(bool strip_first_space = false) : strip_first_space_(strip_first_space) {}
  /// Adds a token's bytes and returns all whole characters that are now there; borrowed until the next call. Bytes that
  /// can never become a character come out as U+FFFD. At most bytes.size() * 3 + 12 bytes come out.
  /// @param out  room for that many bytes, borrowed.
  std::string_view add(std::string_view bytes, std::span<char> out);
  /// What is left at the end of a text: U+FFFD if a character was never finished.
  std::string_view finish(std::span<char> out);

 private:
  char pending_[4] = {};
  std::uint8_t pending_size_ = 0;
  bool strip_first_space_;
};

}  // namespace rill
