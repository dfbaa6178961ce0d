#pragma once
// Text to tokens and back, behind one interface: SentencePiece (through libsentencepiece) and byte-level BPE. A
// tokenizer draws every byte it needs from one fixed heap.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/model_config.h"
#include "platform/fixed_heap.h"
#include "platform/function_ref.h"
#include "platform/status.h"

namespace rill {

/// Whether special tokens spelt out in a text count as such. kText is for what users type: nobody can forge a turn.
enum class SpecialTokens : bool { kText, kControl };

/// Takes a run of tokens; borrowed for the call. An error ends the encoding and is handed through.
using TokenSink = FunctionRef<Status(std::span<const Token>)>;

/// The text that a fixed heap is sized for unless the caller asks for more: longer text is fed piece by piece, cut
/// where no token can cross; only a single word longer than this is refused.
inline constexpr std::size_t kTextPieceBytes = 16 * 1024;

/// One vocabulary. Read-only after load(), but encode() uses the heap: one caller at a time.
class Tokenizer {
 public:
  /// Bytes of heap that load() and encode() need.
  /// @param section     the "tokenizer" section, checked or not; hostile bytes give kBadInput.
  /// @param text_bytes  the longest piece of text between two places where it may be cut.
  static Result<std::size_t> heap_bytes(std::span<const std::byte> section, std::size_t text_bytes = kTextPieceBytes);

  /// Checks the section and builds what encoding needs.
  /// @param section  borrowed for the tokenizer's life.
  /// @param heap     borrowed likewise; the object itself lives in it. nullptr never; kBadInput names what is wrong
  /// with
  ///                 the section by offset; kFailed if the heap is too small.
  static Result<Tokenizer*> load(std::span<const std::byte> section, FixedHeap& heap);

  virtual ~Tokenizer() = default;

  /// Encodes UTF-8 text of any length; what is not UTF-8 counts as U+FFFD, one per maximal part as Unicode recommends.
  /// No beginning-of-text token is added. The same tokens as the model's own tokenizer.
  /// @param sink  is called with runs of at most 4,096 tokens, in order.
  /// kBadInput if one word is longer than the heap was sized for; tokens before it have been handed out then.
  /// Cost: O(n log n) in a word's bytes, O(n) in words; no allocation outside the heap, which is as before afterwards.
  virtual Status encode(std::string_view text, SpecialTokens special, TokenSink sink) = 0;

  /// The bytes a token stands for, empty for control tokens; may be a part of a UTF-8 character. Borrowed.
  /// The very first token of a text loses the space that SentencePiece puts in front: see strips_first_space().
  virtual std::string_view bytes_of(Token token) const = 0;
  /// A control token's spelling ("<|im_end|>"); empty for others.
  virtual std::string_view special_spelling(Token token) const = 0;
  /// The token with this exact spelling among the special ones, or kNoToken.
  virtual Token find_special(std::string_view spelling) const = 0;
  /// True if a decoded text begins with a space that was not in the original (SentencePiece's dummy prefix).
  virtual bool strips_first_space() const = 0;
  virtual std::string_view kind() const = 0;  ///< "sentencepiece" or "byte-level bpe"

  std::uint32_t vocabulary() const { return vocabulary_; }
  Token beginning_of_text() const { return beginning_of_text_; }           ///< or kNoToken
  bool adds_beginning_of_text() const { return adds_beginning_of_text_; }  ///< put in front of every stream
  /// True for the tokens that end a reply.
  bool ends_text(Token token) const;

 protected:
  std::uint32_t vocabulary_ = 0;
  Token beginning_of_text_ = kNoToken;
  bool adds_beginning_of_text_ = false;
  std::span<const Token> end_tokens_;
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
