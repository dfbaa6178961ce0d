#include "core/byte_level_bpe.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <utility>

namespace rill {
namespace {

/// A token in a word that is being merged; a list, so that a merge is O(1).
struct Symbol {
  Token token;  ///< kNoToken once it was merged into its left neighbour
  std::uint32_t previous;
  std::uint32_t next;
};
constexpr std::uint32_t kNone = 0xffffffffU;

/// A pair that could be merged, as of when it was found.
struct Candidate {
  std::uint32_t rank;
  std::uint32_t left;   ///< the symbol's place in the word
  std::uint32_t merge;  ///< index into the table of merges
};
/// For a heap whose top is the lowest rank, the leftmost of equals.
bool merges_later(const Candidate& a, const Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
}

constexpr std::size_t kWordBytes =
    sizeof(Symbol) + 3 * sizeof(Candidate);        // a word has n - 1 pairs; each merge makes two
constexpr std::size_t kPatternBytes = 256 * 1024;  // the compiled pattern and PCRE2's frames, at the limits set below
// Steps of one match: every pattern that `rill quantize` writes takes a few for each character; a hostile one, which
// takes more, is refused before anybody has waited for it.
constexpr std::uint32_t kMatchSteps = 20'000;
constexpr std::uint32_t kMatchStepsPerByte = 8;
constexpr std::uint32_t kFramesKib = 128;

class ByteLevelBpe final : public Tokenizer {
 public:
  ByteLevelBpe(const TokenizerSection& section, FixedHeap& heap, std::size_t text_bytes)
      : Tokenizer(section, heap, text_bytes) {}
  ~ByteLevelBpe() override {
    pcre2_match_data_free(match_data_);
    pcre2_match_context_free(match_context_);
    pcre2_code_free(code_);
    pcre2_general_context_free(general_);
  }
  std::string_view kind() const override { return "byte-level bpe"; }
  bool leaves_out(char byte) const override;

  Status compile();

 protected:
  Result<std::size_t> encode_window(std::string_view window, bool is_first, bool is_last, TokenSink sink) override;

 private:
  Status encode_word(std::string_view word, TokenSink sink);
  std::uint32_t find_merge(Token left, Token right) const;
  Token find_whole_word(std::string_view word) const;

  pcre2_general_context* general_ = nullptr;
  pcre2_match_context* match_context_ = nullptr;
  pcre2_match_data* match_data_ = nullptr;
  pcre2_code* code_ = nullptr;
};

Status ByteLevelBpe::compile() {
  general_ = pcre2_general_context_create(
      [](std::size_t bytes, void* heap) { return static_cast<FixedHeap*>(heap)->allocate(bytes); },
      [](void* memory, void* heap) { static_cast<FixedHeap*>(heap)->release(memory); }, &heap());
  if (general_ == nullptr) throw std::bad_alloc();
  pcre2_compile_context* const compile_context = pcre2_compile_context_create(general_);
  if (compile_context == nullptr) throw std::bad_alloc();
  const std::string_view pattern = section().characters(TokenizerTable::kPattern);
  int error = 0;
  PCRE2_SIZE at = 0;
  code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                        PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &at, compile_context);
  pcre2_compile_context_free(compile_context);
  if (code_ == nullptr) {
    std::array<char, 160> reason{};
    pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(reason.data()), reason.size());
    return bad_input({.where = text("tokenizer section, pattern at offset ", at),
                      .what = text(reason.data()),
                      .expected = text("a PCRE2 pattern"),
                      .remedy = text("make the model file anew with `rill quantize`")});
  }
  std::uint32_t looks_behind = 0;
  pcre2_pattern_info(code_, PCRE2_INFO_MAXLOOKBEHIND, &looks_behind);
  if (looks_behind > 0) {  // text comes in pieces, and what lies before a piece is gone
    return bad_input({.where = text("tokenizer section, pattern"),
                      .what = text("looks ", looks_behind, " characters behind"),
                      .expected = text("a pattern that looks forward only"),
                      .remedy = text("make the model file anew with `rill quantize`")});
  }
  match_context_ = pcre2_match_context_create(general_);
  match_data_ = pcre2_match_data_create_from_pattern(code_, general_);
  if (match_context_ == nullptr || match_data_ == nullptr) throw std::bad_alloc();
  pcre2_set_heap_limit(match_context_, kFramesKib);
  return {};
}

Result<std::size_t> ByteLevelBpe::encode_window(std::string_view window, bool /*is_first*/, bool is_last,
                                                TokenSink sink) {
  // Where more text follows, a match that looked at the window's end is no match yet: PCRE2 says "partial" then.
  const std::uint32_t options = PCRE2_NO_UTF_CHECK | (is_last ? 0U : PCRE2_PARTIAL_HARD);
  const std::uint64_t limit = kMatchSteps + std::uint64_t{kMatchStepsPerByte} * window.size();
  pcre2_set_match_limit(match_context_, static_cast<std::uint32_t>(std::min<std::uint64_t>(limit, UINT32_MAX)));
  std::size_t at = 0;
  while (at < window.size()) {
    const int found = pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(window.data()), window.size(), at, options,
                                  match_data_, match_context_);
    if (found == PCRE2_ERROR_PARTIAL) break;
    if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
      if (found == PCRE2_ERROR_NOMEMORY || found == PCRE2_ERROR_HEAPLIMIT) throw std::bad_alloc();
      return bad_input({.where = text("tokenizer section, pattern"),
                        .what = text("PCRE2 error ", found, " while matching"),
                        .expected = {},
                        .remedy = text("make the model file anew with `rill quantize`")});
    }
    // What lies before a match, or behind the last one, is a word of its own.
    std::size_t begin = window.size();
    std::size_t end = window.size();
    if (found >= 0) {
      const PCRE2_SIZE* const place = pcre2_get_ovector_pointer(match_data_);
      begin = place[0];
      end = place[1];
    } else if (!is_last) {
      break;
    }
    if (begin > at) RILL_TRY(encode_word(window.substr(at, begin - at), sink));
    if (end > begin) RILL_TRY(encode_word(window.substr(begin, end - begin), sink));
    if (end <= at) {  // an empty match would be found for ever
      return bad_input({.where = text("tokenizer section, pattern"),
                        .what = text("matches the empty text"),
                        .expected = {},
                        .remedy = {}});
    }
    at = end;
  }
  return at;
}

std::uint32_t ByteLevelBpe::find_merge(Token left, Token right) const {
  const auto merges = section().merges();
  const std::uint64_t key = (std::uint64_t{left} << 32U) | right;
  const auto found = std::lower_bound(merges.begin(), merges.end(), key,
                                      [](const Merge& merge, std::uint64_t wanted) { return merge.key() < wanted; });
  return found != merges.end() && found->key() == key ? static_cast<std::uint32_t>(found - merges.begin()) : kNone;
}

/// kNoToken if there is none.
Token ByteLevelBpe::find_whole_word(std::string_view word) const {
  const auto words = section().numbers(TokenizerTable::kWholeWords);
  const auto found = std::lower_bound(words.begin(), words.end(), word, [&](Token token, std::string_view wanted) {
    return section().token_bytes(token) < wanted;
  });
  return found != words.end() && section().token_bytes(*found) == word ? *found : kNoToken;
}

/// Beyond ASCII one answer for all: such bytes may be of a character that was composed or took the place of others.
bool ByteLevelBpe::leaves_out(char byte) const {
  const auto is_lacking = [](std::uint32_t token) { return token == kNoToken; };
  const auto byte_tokens = section().numbers(TokenizerTable::kByteTokens);
  const auto value = static_cast<std::uint8_t>(byte);
  return value < 0x80 ? is_lacking(byte_tokens[value]) : std::ranges::any_of(byte_tokens.subspan(0x80), is_lacking);
}

/// Merges the pair of lowest rank, the leftmost of equals, until none is left. Source: Sennrich et al.,
/// arXiv 1508.07909, algorithm 1; the queue makes it O(n log n) for a word of n bytes.
Status ByteLevelBpe::encode_word(std::string_view word, TokenSink sink) {
  if (const Token whole = find_whole_word(word); whole != kNoToken) return sink({&whole, 1});
  struct Release {
    FixedHeap* heap;
    void operator()(void* memory) const { heap->release(memory); }
  };
  const std::unique_ptr<void, Release> memory(heap().allocate(word.size() * kWordBytes), Release{&heap()});
  if (memory == nullptr) throw std::bad_alloc();
  auto* const symbols = static_cast<Symbol*>(memory.get());
  auto* const queue = reinterpret_cast<Candidate*>(symbols + word.size());
  const auto byte_tokens = section().numbers(TokenizerTable::kByteTokens);
  const auto merges = section().merges();

  std::uint32_t count = 0;
  for (const char c : word) {  // a byte that the vocabulary lacks is left out, as in the models' own tokenizers
    const Token token = byte_tokens[static_cast<std::uint8_t>(c)];
    if (token != kNoToken) symbols[count] = {token, count - 1, count + 1}, ++count;
  }
  if (count == 0) return {};
  symbols[0].previous = kNone;
  symbols[count - 1].next = kNone;

  std::size_t queued = 0;
  const auto enqueue = [&](std::uint32_t left) {
    const std::uint32_t right = left == kNone ? kNone : symbols[left].next;
    if (right == kNone) return;
    const std::uint32_t merge = find_merge(symbols[left].token, symbols[right].token);
    if (merge == kNone) return;
    queue[queued++] = {.rank = merges[merge].rank, .left = left, .merge = merge};
    std::push_heap(queue, queue + queued, merges_later);
  };
  for (std::uint32_t i = 0; i + 1 < count; ++i) enqueue(i);
  while (queued > 0) {
    const Candidate best = queue[0];
    std::pop_heap(queue, queue + queued--, merges_later);
    Symbol& left = symbols[best.left];
    const Merge& merge = merges[best.merge];
    if (left.token != merge.left || left.next == kNone || symbols[left.next].token != merge.right)
      continue;  // out of date
    Symbol& right = symbols[left.next];
    left.token = merge.merged;
    left.next = right.next;
    right.token = kNoToken;
    if (left.next != kNone) symbols[left.next].previous = best.left;
    enqueue(left.previous);
    enqueue(best.left);
  }

  // The symbols' own memory becomes the list of tokens: writing never overtakes reading.
  auto* const tokens = static_cast<Token*>(memory.get());
  std::size_t written = 0;
  for (std::uint32_t i = 0; i != kNone;) {
    const Symbol symbol = symbols[i];
    tokens[written++] = symbol.token;
    i = symbol.next;
  }
  return sink({tokens, written});
}

}  // namespace

Size byte_level_bpe_bytes(std::size_t text_bytes) {
  return Size(text_bytes) * Size(kWordBytes) + Size(kPatternBytes) + Size(sizeof(ByteLevelBpe));
}

Result<Tokenizer*> load_byte_level_bpe(const TokenizerSection& section, FixedHeap& heap, std::size_t text_bytes) {
  void* const memory = heap.allocate(sizeof(ByteLevelBpe));
  if (memory == nullptr) throw std::bad_alloc();
  auto* const tokenizer = new (memory) ByteLevelBpe(section, heap, text_bytes);
  try {
    if (const Status status = tokenizer->compile(); !status.ok()) {
      tokenizer->~ByteLevelBpe();
      heap.release(memory);
      return status;
    }
  } catch (...) {
    tokenizer->~ByteLevelBpe();
    heap.release(memory);
    throw;
  }
  return tokenizer;
}

}  // namespace rill
