#include "quant/gguf_tokenizer.h"

#include <algorithm>
#include <map>

#include "quant/byte_level_alphabet.h"
#include "quant/sentencepiece_model.h"
#include "quant/tokenizer_writer.h"

namespace rill::quant {
namespace {

/// What a token is, with the numbers of tokenizer.ggml.token_type.
enum class TokenType : std::int32_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

constexpr std::string_view kTokensKey = "tokenizer.ggml.tokens";
constexpr std::string_view kTypesKey = "tokenizer.ggml.token_type";
constexpr std::string_view kScoresKey = "tokenizer.ggml.scores";
constexpr std::string_view kMergesKey = "tokenizer.ggml.merges";
constexpr std::string_view kPretokenizerKey = "tokenizer.ggml.pre";
constexpr std::string_view kSpaceSymbol = "\xe2\x96\x81";  // U+2581, which SentencePiece writes for a space

Status bad_tokenizer(const Text& where, const Text& what, const Text& expected) {
  return bad_input({.where = where, .what = what, .expected = expected, .remedy = text("convert the model again")});
}

/// True for the models whose own tokenizer brings a text into Unicode's form NFC, which a GGUF file does not say:
/// those of GPT-NeoX's tokenizer (Pythia, MPT, OLMo) and of Qwen's, by their tokenizer.json.
bool composes_characters(std::string_view architecture, std::string_view pretokenizer) {
  for (const std::string_view composing : {"gptneox", "mpt", "olmo", "qwen2", "qwen3"}) {
    if (architecture == composing || pretokenizer == composing) return true;
  }
  return false;
}

/// How a model's text is cut that comes in a file from before tokenizer.ggml.pre was introduced.
std::string_view pretokenizer_of(std::string_view architecture) {
  if (architecture == "qwen2" || architecture == "qwen3") return "qwen2";
  return architecture == "falcon" ? "falcon" : "gpt-2";
}

bool is_llama3s(std::string_view pretokenizer) {
  return pretokenizer == "llama-bpe" || pretokenizer == "llama3" || pretokenizer == "llama-v3";
}

/// True for what converters fill a vocabulary up with to the embedding's rows: "[PAD50300]" for token 50300. Some type
/// it as user-defined, but the models' own tokenizers do not have it, so text must not become it.
bool is_filler(std::string_view spelling, std::size_t token) { return spelling == text("[PAD", token, "]").view(); }

/// The tables of one file on their way into a SourceTokenizer.
class Reader {
 public:
  explicit Reader(const GgufFile& file) : file_(file) {}
  Result<SourceTokenizer> read();

 private:
  Status read_tokens();
  Status read_types();
  Status find_unknown();
  Status read_special_tokens();
  Status read_token_id(std::string_view key, Token& token) const;
  Status read_bpe();
  Status read_bpe_tokens();
  Status read_merges();
  Status read_merge(std::string_view merge, std::size_t rank);
  Status read_pattern();
  Status read_sentencepiece();

  const GgufFile& file_;
  SourceTokenizer out_;
  std::vector<std::string_view> spellings_;   ///< [vocabulary], views of the file
  std::vector<TokenType> types_;              ///< [vocabulary]
  std::map<std::string_view, Token> normal_;  ///< byte-level BPE's own tokens, by their spelling
};

Result<SourceTokenizer> Reader::read() {
  constexpr std::string_view kKey = "tokenizer.ggml.model";
  RILL_ASSIGN(const auto model, file_.find_string(kKey));
  if (!model || *model == "none" || *model == "no_vocab") return SourceTokenizer();
  if (*model != "gpt2" && *model != "llama") {
    return bad_tokenizer(file_.where(kKey), text("tokenizer ", printable(*model), " is not known"),
                         text("gpt2 or llama"));
  }
  RILL_TRY(read_tokens());
  RILL_TRY(read_types());
  if (*model == "llama") RILL_TRY(find_unknown());
  RILL_TRY(*model == "gpt2" ? read_bpe() : read_sentencepiece());
  RILL_TRY(read_special_tokens());
  return std::move(out_);
}

Status Reader::read_tokens() {
  RILL_ASSIGN(const auto tokens, file_.find_strings(kTokensKey));
  if (!tokens || tokens->size() == 0)
    return bad_tokenizer(file_.where(kTokensKey), text("no tokens"), text("a vocabulary"));
  if (tokens->size() >= kNoToken) {
    return bad_tokenizer(file_.where(kTokensKey), text(tokens->size(), " tokens"), text("fewer than ", kNoToken));
  }
  spellings_.assign(tokens->begin(), tokens->end());
  return {};
}

Status Reader::read_types() {
  RILL_ASSIGN(const auto types, file_.find_integers(kTypesKey));
  types_.assign(spellings_.size(), TokenType::kNormal);
  if (!types) return {};
  if (types->size() != spellings_.size()) {
    return bad_tokenizer(file_.where(kTypesKey), text(types->size(), " types"),
                         text(spellings_.size(), ", one for each token"));
  }
  for (std::size_t i = 0; i < types->size(); ++i) {
    const std::int32_t type = (*types)[i];
    if (type < static_cast<std::int32_t>(TokenType::kNormal) || type > static_cast<std::int32_t>(TokenType::kByte)) {
      return bad_tokenizer(file_.where(kTypesKey), text("token ", i, " has type ", type), text("1 to 6"));
    }
    types_[i] = static_cast<TokenType>(type);
    if (types_[i] == TokenType::kControl) out_.special.push_back(static_cast<Token>(i));
    if (types_[i] == TokenType::kUserDefined && is_filler(spellings_[i], i)) types_[i] = TokenType::kUnused;
    if (types_[i] == TokenType::kUserDefined) out_.added.push_back(static_cast<Token>(i));
  }
  return {};
}

/// llama.cpp's converter types as control all that tokenizer_config.json calls special, the unknown piece too, without
/// which no SentencePiece model is one.
Status Reader::find_unknown() {
  if (std::ranges::find(types_, TokenType::kUnknown) != types_.end()) return {};
  Token unknown = kNoToken;
  RILL_TRY(read_token_id("tokenizer.ggml.unknown_token_id", unknown));
  if (unknown == kNoToken) {
    const auto spelt = std::ranges::find(spellings_, std::string_view("<unk>"));
    if (spelt == spellings_.end()) return {};
    unknown = static_cast<Token>(spelt - spellings_.begin());
  }
  types_[unknown] = TokenType::kUnknown;
  std::erase(out_.special, unknown);
  std::erase(out_.added, unknown);
  return {};
}

Status Reader::read_token_id(std::string_view key, Token& token) const {
  RILL_ASSIGN(const auto id, file_.find_u64(key));
  if (!id) return {};
  if (*id >= spellings_.size()) {
    return bad_tokenizer(file_.where(key), text("token ", *id), text("an id below ", spellings_.size()));
  }
  token = static_cast<Token>(*id);
  return {};
}

Status Reader::read_special_tokens() {
  RILL_TRY(read_token_id("tokenizer.ggml.bos_token_id", out_.beginning_of_text));
  RILL_ASSIGN(const auto adds, file_.find_bool("tokenizer.ggml.add_bos_token"));
  RILL_ASSIGN(const auto pretokenizer, file_.find_string(kPretokenizerKey));
  // Files that do not say follow their tokenizer's custom: SentencePiece's and Llama 3's begin with it, GPT-2's do not.
  const bool custom = out_.kind == SourceTokenizer::Kind::kSentencePiece || is_llama3s(pretokenizer.value_or(""));
  out_.adds_beginning_of_text = out_.beginning_of_text != kNoToken && adds.value_or(custom);

  for (const std::string_view key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    Token token = kNoToken;
    RILL_TRY(read_token_id(key, token));
    if (token != kNoToken) out_.end_tokens.push_back(token);
  }
  // Chat tokens that were added to a SentencePiece vocabulary are seldom control tokens.
  const bool takes_added = out_.kind == SourceTokenizer::Kind::kSentencePiece;
  for (std::size_t i = 0; i < types_.size(); ++i) {
    const bool may_end = types_[i] == TokenType::kControl || (takes_added && types_[i] == TokenType::kUserDefined);
    if (may_end && is_end_spelling(spellings_[i])) out_.end_tokens.push_back(static_cast<Token>(i));
  }
  std::ranges::sort(out_.end_tokens);
  out_.end_tokens.erase(std::unique(out_.end_tokens.begin(), out_.end_tokens.end()), out_.end_tokens.end());
  return {};
}

Status Reader::read_bpe() {
  out_.kind = SourceTokenizer::Kind::kByteLevelBpe;
  RILL_TRY(read_bpe_tokens());
  RILL_TRY(read_merges());
  return read_pattern();
}

Status Reader::read_bpe_tokens() {
  out_.tokens.reserve(spellings_.size());
  for (std::size_t i = 0; i < spellings_.size(); ++i) {
    const auto token = static_cast<Token>(i);
    std::optional<std::string> bytes;
    if (types_[i] == TokenType::kNormal) {
      bytes = bytes_of_byte_level_token(spellings_[i]);
      if (!bytes) {  // no merge makes it: older converters left the type of added tokens at normal
        out_.added.push_back(token);
      } else if (!normal_.emplace(spellings_[i], token).second) {
        return bad_tokenizer(file_.where(kTokensKey),
                             text("tokens ", normal_.at(spellings_[i]), " and ", token, " are the same"),
                             text("every token once"));
      }
    }
    out_.tokens.push_back(bytes ? std::move(*bytes) : std::string(spellings_[i]));
  }
  std::ranges::sort(out_.added);
  return {};
}

Status Reader::read_merges() {
  RILL_ASSIGN(const auto merges, file_.find_strings(kMergesKey));
  if (!merges) return bad_tokenizer(file_.where(kMergesKey), text("missing"), text("the merges of a byte-level BPE"));
  out_.merges.reserve(merges->size());
  std::size_t rank = 0;
  for (const std::string_view merge : *merges) RILL_TRY(read_merge(merge, rank++));
  return {};
}

Status Reader::read_merge(std::string_view merge, std::size_t rank) {
  const std::size_t space = merge.find(' ');  // the alphabet has none, so there is one
  if (space != std::string_view::npos) {
    const std::string_view first = merge.substr(0, space);
    const std::string_view second = merge.substr(space + 1);
    const auto left = normal_.find(first);
    const auto right = normal_.find(second);
    if (left != normal_.end() && right != normal_.end() && normal_.contains(std::string(first).append(second))) {
      out_.merges.emplace_back(left->second, right->second);
      return {};
    }
  }
  return bad_tokenizer(text(file_.where(kMergesKey), ", merge ", rank), text("\"", printable(merge), "\""),
                       text("two normal tokens, with a space between, that join to a third"));
}

Status Reader::read_pattern() {
  RILL_ASSIGN(const auto name, file_.find_string(kPretokenizerKey));
  RILL_ASSIGN(const auto architecture, file_.find_string("general.architecture"));
  if (!name && architecture == "llama") {  // Llama 3's own, or another's: a wrong pattern is not noticed
    return bad_tokenizer(file_.where(kPretokenizerKey), text("missing: the file is older than the key"),
                         text("the name of the pattern that cuts text into words"));
  }
  const char* pattern = pattern_for_pretokenizer(name.value_or(pretokenizer_of(architecture.value_or(""))));
  if (pattern == nullptr) {
    return bad_input({.where = file_.where(kPretokenizerKey),
                      .what = text("pre-tokenizer ", printable(*name), " is not known"),
                      .expected = text("one whose pattern Rill has"),
                      .remedy = text("import the model's Hugging Face directory, which spells its pattern out")});
  }
  out_.pattern = pattern;
  out_.whole_words_first = is_llama3s(name.value_or("")) || name == "smaug-bpe";
  out_.composes_characters = composes_characters(architecture.value_or(""), name.value_or(""));
  return {};
}

Status Reader::read_sentencepiece() {
  out_.kind = SourceTokenizer::Kind::kSentencePiece;
  RILL_ASSIGN(const auto prefixed, file_.find_bool("tokenizer.ggml.add_space_prefix"));
  RILL_ASSIGN(const auto found, file_.find_floats(kScoresKey));
  if (!found || found->size() != spellings_.size()) {
    return bad_tokenizer(file_.where(kScoresKey), found ? text(found->size(), " scores") : text("missing"),
                         text(spellings_.size(), ", one for each token"));
  }
  std::vector<float> scores(spellings_.size());
  std::vector<std::int32_t> types(spellings_.size());
  for (std::size_t i = 0; i < spellings_.size(); ++i) {
    scores[i] = (*found)[i];
    types[i] = static_cast<std::int32_t>(types_[i]);
  }
  if (prefixed.value_or(true)) {
    // Added tokens are cut out of a text first, and what is between begins with a space of its own.
    for (const Token token : out_.added) types[token] = static_cast<std::int32_t>(PieceType::kUnused);
    out_.sentencepiece_proto = build_sentencepiece_proto(spellings_, scores, types);
    return {};
  }
  // SentencePiece finds them itself, in a text whose spaces are U+2581 by then; converters write theirs as spaces.
  std::vector<std::string> written(out_.added.size());
  std::vector<std::string_view> pieces = spellings_;
  for (std::size_t i = 0; i < written.size(); ++i) {
    for (const char c : spellings_[out_.added[i]]) written[i].append(c == ' ' ? kSpaceSymbol : std::string_view(&c, 1));
    pieces[out_.added[i]] = written[i];
  }
  out_.added.clear();
  out_.sentencepiece_proto = build_sentencepiece_proto(pieces, scores, types);
  out_.sentencepiece_proto.append(kNoDummyPrefix);
  return {};
}

}  // namespace

Result<SourceTokenizer> read_gguf_tokenizer(const GgufFile& file) { return Reader(file).read(); }

}  // namespace rill::quant
