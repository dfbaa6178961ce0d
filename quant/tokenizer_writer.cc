#include "quant/tokenizer_writer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <span>

#include "core/tokenizer_section.h"
#include "platform/size.h"
#include "quant/sentencepiece_model.h"

namespace rill::quant {
namespace {

// White space is spelt out: PCRE2's \s counts U+180E as such, which Unicode and the models' own tokenizers do not.
#define RILL_SPACES R"(\t-\r\x20\x{85}\p{Z})"

constexpr char kGpt2Pattern[] = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^)" RILL_SPACES
                                R"(\p{L}\p{N}]+|[)" RILL_SPACES R"(]+(?![^)" RILL_SPACES R"(])|[)" RILL_SPACES R"(]+)";

// The same after every digit was cut off on its own: a run of spaces before a digit ends there as at the text's end.
constexpr char kSingleDigitsPattern[] =
    R"(\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^)" RILL_SPACES R"(\p{L}\p{N}]+|[)" RILL_SPACES
    R"(]+(?![^)" RILL_SPACES R"(\p{N}])|[)" RILL_SPACES R"(]+)";

// Falcon cuts runs of punctuation out first, so that what stands before one ends there as at the text's end, and
// numbers into threes from their front. That it also cuts before and behind every run of digits needs no pattern: it
// does so where a byte's character is a digit, and its merges were learnt from such pieces, so none joins a digit to
// another.
// What is punctuation is PCRE2's word. The tokenizers library asks tables of about Unicode 8, so that some hundred
// marks of rare scripts, most of them encoded later (U+2E43, U+061D), are cut from the space before them here and not
// there.
#define RILL_PUNCTUATION R"(\p{P}$+<=>^`|~)"
constexpr char kFalconPattern[] =
    "[" RILL_PUNCTUATION R"(]+| ?\p{L}+| ?[0-9]{1,3}| ?[^\P{N}0-9]+| ?[^)" RILL_SPACES RILL_PUNCTUATION
    R"(\p{L}\p{N}]+|[)" RILL_SPACES R"(]+(?![^)" RILL_SPACES RILL_PUNCTUATION R"(])|[)" RILL_SPACES R"(]+)";

#undef RILL_PUNCTUATION

// Qwen2 and Llama 3 differ only in how many digits make a piece. What is no letter, digit or line break goes with the
// letters behind it; line breaks go with the punctuation or white space before them.
#define RILL_MODERN_PATTERN(digits)                                                                                  \
  R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" digits R"(| ?[^)" RILL_SPACES                          \
  R"(\p{L}\p{N}]+[\r\n]*|[)" RILL_SPACES R"(]*[\r\n]+|[)" RILL_SPACES R"(]+(?![^)" RILL_SPACES R"(])|[)" RILL_SPACES \
  R"(]+)"
constexpr char kQwen2Pattern[] = RILL_MODERN_PATTERN(R"(\p{N})");
constexpr char kLlama3Pattern[] = RILL_MODERN_PATTERN(R"(\p{N}{1,3})");

#undef RILL_MODERN_PATTERN
#undef RILL_SPACES

Status bad_vocabulary(const Text& where, const Text& what, const Text& expected) {
  return bad_input(
      {.where = where, .what = what, .expected = expected, .remedy = text("check the source's tokenizer")});
}

/// The tables of a section, gathered one by one.
class SectionBytes {
 public:
  SectionBytes() : bytes_(round_up(sizeof(TokenizerHeader), std::size_t{8})) {}

  TokenizerHeader header{};

  void add(TokenizerTable table, std::span<const std::byte> content) {
    header.tables[static_cast<std::size_t>(table)] = {.offset = bytes_.size(), .bytes = content.size()};
    bytes_.insert(bytes_.end(), content.begin(), content.end());
    bytes_.resize(round_up(bytes_.size(), std::size_t{8}));
  }
  template <typename T>
  void add(TokenizerTable table, const std::vector<T>& content) {
    add(table, std::as_bytes(std::span(content)));
  }
  void add(TokenizerTable table, std::string_view content) { add(table, std::as_bytes(std::span(content))); }

  std::vector<std::byte> finish() && {
    std::memcpy(bytes_.data(), &header, sizeof header);
    return std::move(bytes_);
  }

 private:
  std::vector<std::byte> bytes_;
};

std::vector<Token> sorted(std::vector<Token> ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

/// Tables and fields that both kinds have.
/// @param tokens  what each id stands for
Status add_common(SectionBytes& section, const SourceTokenizer& source, const std::vector<std::string>& tokens,
                  std::uint32_t vocabulary) {
  if (tokens.size() > vocabulary) {
    return bad_vocabulary(text("tokenizer"), text(tokens.size(), " tokens"),
                          text("at most the model's vocabulary of ", vocabulary));
  }
  for (const auto* ids : {&source.special, &source.added, &source.end_tokens}) {
    for (const Token id : *ids) {
      if (id >= tokens.size())
        return bad_vocabulary(text("tokenizer, special token"), text("id ", id), text("below ", tokens.size()));
    }
  }
  std::vector<std::uint32_t> offsets(vocabulary + std::size_t{1});
  std::string bytes;
  for (std::size_t id = 0; id < vocabulary; ++id) {
    if (id < tokens.size()) bytes += tokens[id];
    if (bytes.size() > UINT32_MAX) return bad_vocabulary(text("tokenizer"), text("more than 4 GB of tokens"), {});
    offsets[id + 1] = static_cast<std::uint32_t>(bytes.size());
  }
  section.header.vocabulary = vocabulary;
  section.header.beginning_of_text = source.beginning_of_text;
  if (source.adds_beginning_of_text) section.header.flags |= kAddsBeginningOfText;
  if (source.composes_characters) section.header.flags |= kComposesCharacters;
  section.add(TokenizerTable::kTokenOffsets, offsets);
  section.add(TokenizerTable::kTokenBytes, std::string_view(bytes));
  section.add(TokenizerTable::kSpecial, sorted(source.special));
  section.add(TokenizerTable::kAdded, sorted(source.added));
  section.add(TokenizerTable::kEnds, sorted(source.end_tokens));
  return {};
}

Result<std::vector<std::byte>> write_bpe(const SourceTokenizer& source, std::uint32_t vocabulary) {
  SectionBytes section;
  section.header.kind = TokenizerKind::kByteLevelBpe;
  RILL_TRY(add_common(section, source, source.tokens, vocabulary));

  std::map<std::string_view, Token> ids;
  const std::vector<Token> special = sorted(source.special);
  for (Token id = 0; id < source.tokens.size(); ++id) {
    if (!std::binary_search(special.begin(), special.end(), id)) ids.try_emplace(source.tokens[id], id);
  }
  std::vector<std::uint32_t> byte_tokens(256, kNoToken);
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    if (const auto found = ids.find(std::string_view(&c, 1)); found != ids.end()) byte_tokens[byte] = found->second;
  }
  std::vector<Merge> merges;
  for (std::size_t rank = 0; rank < source.merges.size(); ++rank) {
    const auto [left, right] = source.merges[rank];
    if (left >= source.tokens.size() || right >= source.tokens.size()) {
      return bad_vocabulary(text("tokenizer, merge ", rank), text("ids ", left, " and ", right),
                            text("below ", source.tokens.size()));
    }
    const auto merged = ids.find(source.tokens[left] + source.tokens[right]);
    if (merged == ids.end()) {
      return bad_vocabulary(text("tokenizer, merge ", rank),
                            text("no token for ", source.tokens[left], source.tokens[right]), {});
    }
    merges.push_back(
        {.left = left, .right = right, .rank = static_cast<std::uint32_t>(rank), .merged = merged->second});
  }
  // Of two merges of one pair the first counts, as in a dictionary that keeps what it has.
  std::stable_sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) { return a.key() < b.key(); });
  merges.erase(
      std::unique(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) { return a.key() == b.key(); }),
      merges.end());
  section.add(TokenizerTable::kMerges, merges);
  section.add(TokenizerTable::kByteTokens, byte_tokens);
  section.add(TokenizerTable::kPattern, std::string_view(source.pattern));
  if (source.whole_words_first) {
    const std::vector<Token> added = sorted(source.added);  // they are found in a text before everything else
    std::vector<Token> words;
    for (const auto& [bytes, id] : ids) {  // in the order of their bytes
      if (!bytes.empty() && !std::binary_search(added.begin(), added.end(), id)) words.push_back(id);
    }
    section.add(TokenizerTable::kWholeWords, words);
  }
  return std::move(section).finish();
}

Result<std::vector<std::byte>> write_sentencepiece(const SourceTokenizer& source, std::uint32_t vocabulary) {
  std::string proto = source.sentencepiece_proto;
  RILL_ASSIGN(SentencePieceFacts facts, examine_sentencepiece(proto));
  if (facts.tokens.size() > vocabulary) {
    return bad_vocabulary(text("tokenizer"), text(facts.tokens.size(), " pieces"),
                          text("at most the model's vocabulary of ", vocabulary));
  }
  if (facts.tokens.size() < vocabulary) {
    proto += more_pieces(facts.tokens.size(), vocabulary);
    RILL_ASSIGN(facts, examine_sentencepiece(proto));
  }
  SectionBytes section;
  section.header.kind = TokenizerKind::kSentencePiece;
  section.header.load_bytes = facts.load_bytes;
  section.header.encode_bytes = facts.encode_bytes;
  if (facts.adds_dummy_prefix) section.header.flags |= kStripsFirstSpace;
  SourceTokenizer complete = source;
  complete.special.insert(complete.special.end(), facts.special.begin(), facts.special.end());
  RILL_TRY(add_common(section, complete, facts.tokens, vocabulary));
  section.add(TokenizerTable::kProto, std::string_view(proto));
  return std::move(section).finish();
}

}  // namespace

Result<std::vector<std::byte>> write_tokenizer_section(const SourceTokenizer& source, std::uint32_t vocabulary) {
  if (source.kind == SourceTokenizer::Kind::kNone) return std::vector<std::byte>();
  RILL_ASSIGN(std::vector<std::byte> section, source.kind == SourceTokenizer::Kind::kByteLevelBpe
                                                  ? write_bpe(source, vocabulary)
                                                  : write_sentencepiece(source, vocabulary));
  RILL_TRY(TokenizerSection::parse(section).status());  // what would be refused when it is loaded is not written
  return section;
}

bool is_end_spelling(std::string_view spelling) {
  constexpr std::string_view kEnds[] = {"<|im_end|>",      "<|endoftext|>", "</s>",         "<|eot_id|>",
                                        "<|end_of_text|>", "<|eom_id|>",    "<end_of_turn>"};
  return std::ranges::find(kEnds, spelling) != std::end(kEnds);
}

const char* pattern_for_pretokenizer(std::string_view name) {
  struct Known {
    std::string_view name;
    const char* pattern;
  };
  constexpr std::array<Known, 12> kKnown = {{{"default", kGpt2Pattern},
                                             {"gpt-2", kGpt2Pattern},
                                             {"smollm", kSingleDigitsPattern},
                                             {"mpt", kGpt2Pattern},
                                             {"olmo", kGpt2Pattern},
                                             {"qwen2", kQwen2Pattern},
                                             {"deepseek-r1-qwen", kQwen2Pattern},
                                             {"llama-bpe", kLlama3Pattern},
                                             {"llama3", kLlama3Pattern},
                                             {"llama-v3", kLlama3Pattern},
                                             {"smaug-bpe", kLlama3Pattern},
                                             {"falcon", kFalconPattern}}};
  const auto* const found =
      std::find_if(kKnown.begin(), kKnown.end(), [&](const Known& known) { return known.name == name; });
  return found == kKnown.end() ? nullptr : found->pattern;
}

}  // namespace rill::quant
