#include "quant/tokenizer_json.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "platform/mapped_file.h"
#include "quant/byte_level_alphabet.h"
#include "quant/json_document.h"
#include "quant/sentencepiece_merges.h"
#include "quant/sentencepiece_model.h"
#include "quant/tokenizer_writer.h"

namespace rill::quant {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostTokens = 1U << 24U;

// What the Split of Qwen2's and of Llama 3's tokenizer.json says; SmolLM3 has the latter.
constexpr std::string_view kQwen2Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// The member with this name, or null: of an object without it and of what is no object.
const Json& member(const Json& object, const char* name) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(name);
  return found == object.end() ? kNull : *found;
}

bool is(const Json& value, std::string_view text) {
  return value.is_string() && value.get_ref<const std::string&>() == text;
}
bool is_true(const Json& value) { return value.is_boolean() && value.get<bool>(); }

std::optional<Token> token_id(const Json& value) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() >= kMostTokens) return std::nullopt;
  return static_cast<Token>(value.get<std::uint64_t>());
}

// Reads one file; every message begins with `where`.
class Reader {
 public:
  Reader(const Text& where, std::uint32_t vocabulary) : where_(where), most_(vocabulary) {}

  Result<SourceTokenizer> read(const Json& root) {
    const Json& model = member(root, "model");
    falls_back_to_bytes_ = is_true(member(model, "byte_fallback"));
    RILL_TRY(check_model(model));
    if (!falls_back_to_bytes_) {
      RILL_TRY(read_byte_level_parts(root, model));
      RILL_TRY(read_pattern(member(root, "pre_tokenizer")));
    }
    for (const Json& each : member(root, "added_tokens")) {
      if (const auto token = token_id(member(each, "id")); token && *token >= most_) beyond_.insert(*token);
    }
    RILL_TRY(read_vocabulary(member(model, "vocab"), member(root, "added_tokens")));
    RILL_TRY(read_added(member(root, "added_tokens")));
    RILL_TRY(read_merges(member(model, "merges")));
    source_.beginning_of_text = beginning_of(member(root, "post_processor"));
    source_.adds_beginning_of_text = source_.beginning_of_text != kNoToken;
    if (falls_back_to_bytes_) return read_sentencepiece(root, model);
    source_.kind = SourceTokenizer::Kind::kByteLevelBpe;
    return std::move(source_);
  }

 private:
  Status bad(const Text& key, const Text& what, const Text& expected) const {
    return bad_input({.where = text(where_, ", ", key),
                      .what = what,
                      .expected = expected,
                      .remedy = text("convert the model to GGUF with a tool that knows its tokenizer")});
  }

  // What would change text or tokens in a way that Rill has no part for.
  Status check_model(const Json& model) const {
    // Files of the library's first versions (gpt2's own) do not name the type; only BPE has merges.
    const bool is_unnamed = member(model, "type").is_null() && member(model, "merges").is_array();
    if (!is_unnamed && !is(member(model, "type"), "BPE")) {
      return bad(text("model.type"), text("not BPE"), text("\"BPE\""));
    }
    for (const char* const name : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
      const Json& value = member(model, name);
      if (!value.is_null() && !is(value, "")) return bad(text("model.", name), text("it is set"), text("null"));
    }
    if (falls_back_to_bytes_ && is_true(member(model, "ignore_merges"))) {
      return bad(text("model.ignore_merges"), text("true"), text("false beside byte_fallback"));
    }
    return {};
  }

  Status read_byte_level_parts(const Json& root, const Json& model) {
    const Json& unknown = member(model, "unk_token");
    if (!unknown.is_null() && !is(unknown, "")) return bad(text("model.unk_token"), text("it is set"), text("null"));
    source_.whole_words_first = is_true(member(model, "ignore_merges"));
    const Json& normalizer = member(root, "normalizer");
    source_.composes_characters = is(member(normalizer, "type"), "NFC");
    if (normalizer.is_null() || source_.composes_characters) return {};
    return bad(text("normalizer"), text("there is one"), text("null or NFC"));
  }

  Status check_byte_level(const Json& part) const {
    const Json& regex = member(part, "use_regex");
    if (is(member(part, "type"), "ByteLevel") && !is_true(member(part, "add_prefix_space")) &&
        (regex.is_null() || is_true(regex))) {
      return {};
    }
    return bad(text("pre_tokenizer"), text("an unknown arrangement"),
               text("ByteLevel with its own pattern and no space in front, individual Digits before it, "
                    "or as in Qwen2, Llama 3 or Falcon"));
  }

  static bool is_falcons(const Json& parts) {
    return parts.is_array() && parts.size() == 4 && is(member(parts[0], "type"), "Punctuation") &&
           is(member(parts[0], "behavior"), "Contiguous") && is(member(parts[2], "type"), "Digits") &&
           !is_true(member(parts[2], "individual_digits")) && is(member(parts[3], "type"), "Split") &&
           is(member(member(parts[3], "pattern"), "Regex"), "[0-9][0-9][0-9]") &&
           is(member(parts[3], "behavior"), "Isolated") && !is_true(member(parts[3], "invert"));
  }

  /// The name of a pattern that a Split brings with it, before a ByteLevel that splits no further; nullptr: not known.
  /// The patterns leave nothing of a text out, so that what they find is the same as what is between (OLMo 2's way).
  static const char* known_split(const Json& parts) {
    if (!parts.is_array() || parts.size() != 2 || !is(member(parts[0], "type"), "Split") ||
        !(is_true(member(parts[0], "invert")) ? is(member(parts[0], "behavior"), "Removed")
                                              : is(member(parts[0], "behavior"), "Isolated")) ||
        !is(member(parts[1], "type"), "ByteLevel") || is_true(member(parts[1], "add_prefix_space"))) {
      return nullptr;
    }
    const Json& splits_again = member(parts[1], "use_regex");
    if (!splits_again.is_boolean() || splits_again.get<bool>()) return nullptr;
    const Json& regex = member(member(parts[0], "pattern"), "Regex");
    if (is(regex, kQwen2Regex)) return "qwen2";
    return is(regex, kLlama3Regex) ? "llama-bpe" : nullptr;
  }

  Status read_pattern(const Json& pre) {
    if (!is(member(pre, "type"), "Sequence")) {
      source_.pattern = pattern_for_pretokenizer("gpt-2");
      return check_byte_level(pre);
    }
    const Json& parts = member(pre, "pretokenizers");
    if (is_falcons(parts)) {
      source_.pattern = pattern_for_pretokenizer("falcon");
      return check_byte_level(parts[1]);
    }
    if (const char* const name = known_split(parts); name != nullptr) {
      source_.pattern = pattern_for_pretokenizer(name);
      return {};
    }
    if (!parts.is_array() || parts.size() != 2 || !is(member(parts[0], "type"), "Digits") ||
        !is_true(member(parts[0], "individual_digits"))) {
      return check_byte_level(pre);  // which it is not: the same sentence
    }
    source_.pattern = pattern_for_pretokenizer("smollm");
    return check_byte_level(parts[1]);
  }

  // Ids must be 0 .. n - 1 over both lists.
  Status read_vocabulary(const Json& vocab, const Json& added) {
    if (!vocab.is_object()) return bad(text("model.vocab"), text("no object"), text("tokens and their ids"));
    std::size_t count = 0;
    const auto note = [&](const Json& id) {
      if (const auto token = token_id(id); token && !beyond_.contains(*token))
        count = std::max<std::size_t>(count, *token + std::size_t{1});
    };
    for (const auto& item : vocab.items()) note(item.value());
    if (added.is_array()) {
      for (const Json& each : added) note(member(each, "id"));
    }
    const std::size_t most = vocab.size() + (added.is_array() ? added.size() : 0);
    if (count > most) {
      return bad(text("model.vocab"), text("ids up to ", count - 1, " for ", most, " tokens"),
                 text("ids without gaps"));
    }
    source_.tokens.resize(count);
    taken_.resize(count);
    for (const auto& item : vocab.items()) {
      const auto token = token_id(item.value());
      if (token && beyond_.contains(*token)) continue;
      if (!token || taken_[*token]) return bad(text("model.vocab"), text("a bad or repeated id"), text("ids 0 and up"));
      taken_[*token] = true;
      ids_.emplace(item.key(), *token);
      // Special tokens stand in the vocabulary as they are; they get their spelling below.
      source_.tokens[*token] =
          falls_back_to_bytes_ ? item.key() : bytes_of_byte_level_token(item.key()).value_or(item.key());
    }
    return {};
  }

  Status read_added(const Json& added) {
    if (!added.is_null() && !added.is_array()) return bad(text("added_tokens"), text("no list"), text("a list"));
    for (const Json& each : added) {
      const auto token = token_id(member(each, "id"));
      const Json& content = member(each, "content");
      if (token && beyond_.contains(*token)) continue;
      if (!token || !content.is_string())
        return bad(text("added_tokens"), text("one without id or content"), text("both"));
      for (const char* const name : {"single_word", "lstrip", "rstrip"}) {
        if (is_true(member(each, name)))
          return bad(text("added_tokens, id ", *token, ", ", name), text("true"), text("false"));
      }
      source_.tokens[*token] = content.get<std::string>();
      taken_[*token] = true;
      if (falls_back_to_bytes_ && is_true(member(each, "normalized")) && !is_true(member(each, "special")))
        return bad(text("added_tokens, id ", *token, ", normalized"), text("true"), text("false"));
      (is_true(member(each, "special")) ? source_.special : source_.added).push_back(*token);
    }
    const auto gap = std::find(taken_.begin(), taken_.end(), false);
    if (gap == taken_.end()) return {};
    return bad(text("model.vocab"), text("no token has the id ", gap - taken_.begin()), text("ids without gaps"));
  }

  // "left right", or a list of the two.
  Status read_merges(const Json& merges) {
    if (!merges.is_array()) return bad(text("model.merges"), text("no list"), text("a list of pairs"));
    for (const Json& merge : merges) {
      std::string left;
      std::string right;
      if (merge.is_string()) {
        const std::string& both = merge.get_ref<const std::string&>();
        const std::size_t space = both.find(' ');
        left = both.substr(0, space);
        right = space == std::string::npos ? "" : both.substr(space + 1);
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        left = merge[0].get<std::string>();
        right = merge[1].get<std::string>();
      }
      const auto left_id = ids_.find(left);
      const auto right_id = ids_.find(right);
      if (left_id == ids_.end() || right_id == ids_.end()) {
        return bad(text("model.merges, element ", source_.merges.size()), text("not a pair of tokens"),
                   text("two tokens of model.vocab"));
      }
      source_.merges.emplace_back(left_id->second, right_id->second);
    }
    return {};
  }

  // True where a space is put in front of each text and spaces are written as U+2581, false for the latter alone.
  // (Metaspace instead leaves the first space out where the text has one already, which SentencePiece does not.)
  Result<bool> read_space_in_front(const Json& root) const {
    const Json& pre = member(root, "pre_tokenizer");
    // Gemma's cuts at spaces, of which the normalizer has left none.
    const bool cuts_nothing = is(member(pre, "type"), "Split") && is(member(member(pre, "pattern"), "String"), " ") &&
                              is(member(pre, "behavior"), "MergedWithPrevious") && !is_true(member(pre, "invert"));
    if (!pre.is_null() && !cuts_nothing) {
      return bad(text("pre_tokenizer"), text("there is one"),
                 text("null: Llama-2's spaces are put in by normalizers, Prepend and Replace"));
    }
    const auto is_replace = [](const Json& part) {
      return is(member(part, "type"), "Replace") && is(member(member(part, "pattern"), "String"), " ") &&
             is(member(part, "content"), kSpaceSymbol);
    };
    const Json& normalizer = member(root, "normalizer");
    const Json& parts = member(normalizer, "normalizers");
    if (is_replace(normalizer)) return false;
    if (is(member(normalizer, "type"), "Sequence") && parts.is_array() && parts.size() == 2 &&
        is(member(parts[0], "type"), "Prepend") && is(member(parts[0], "prepend"), kSpaceSymbol) &&
        is_replace(parts[1])) {
      return true;
    }
    return bad(text("normalizer"), text("an unknown arrangement"),
               text("Prepend of U+2581 and Replace of spaces by it, or Replace alone"));
  }

  // SentencePiece finds them where the spaces of a text have become U+2581 already, the tokenizers library where they
  // have not: the same only for runs of that sign, which merges make of spaces as well.
  Status check_spaces_in_added() const {
    std::set<std::string> made;
    for (const auto& [left, right] : source_.merges) made.insert(source_.tokens[left] + source_.tokens[right]);
    for (const Token token : source_.added) {
      const std::string& content = source_.tokens[token];
      const bool has_space = content.find(' ') != std::string::npos;
      if (has_space || (content.find(kSpaceSymbol) != std::string::npos && !made.contains(content))) {
        return bad(text("added_tokens, id ", token), text("there is a space in it"), text("none"));
      }
    }
    return {};
  }

  // What each token is to SentencePiece.
  Result<std::vector<std::int32_t>> piece_types(const Json& unknown, PieceType added) const {
    std::vector<std::int32_t> types(source_.tokens.size(), static_cast<std::int32_t>(PieceType::kNormal));
    const auto mark = [&](Token token, PieceType type) { types[token] = static_cast<std::int32_t>(type); };
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      constexpr std::string_view kDigits = "0123456789ABCDEF";
      const std::string spelling = {'<', '0', 'x', kDigits[byte / 16], kDigits[byte % 16], '>'};
      const auto found = ids_.find(spelling);
      if (found == ids_.end()) return bad(text("model.vocab"), text("no token ", spelling), text("one for every byte"));
      mark(found->second, PieceType::kByte);
    }
    for (const Token token : source_.special) mark(token, PieceType::kControl);
    for (const Token token : source_.added) mark(token, added);
    const auto found = unknown.is_string() ? ids_.find(unknown.get<std::string>()) : ids_.end();
    if (found == ids_.end()) return bad(text("model.unk_token"), text("no token"), text("a token of model.vocab"));
    mark(found->second, PieceType::kUnknown);
    return types;
  }

  // The special token that is put in front of every text; kNoToken if there is none.
  Token beginning_of(const Json& post_processor) const {
    if (is(member(post_processor, "type"), "Sequence")) {
      const Json& parts = member(post_processor, "processors");
      const auto found = std::find_if(parts.begin(), parts.end(),
                                      [](const Json& part) { return is(member(part, "type"), "TemplateProcessing"); });
      return parts.is_array() && found != parts.end() ? beginning_of(*found) : kNoToken;
    }
    const Json& single = member(post_processor, "single");
    if (!is(member(post_processor, "type"), "TemplateProcessing") || !single.is_array() || single.empty()) {
      return kNoToken;
    }
    const Json& id = member(member(single[0], "SpecialToken"), "id");
    const auto found =
        std::ranges::find_if(source_.special, [&](Token token) { return is(id, source_.tokens[token]); });
    return found != source_.special.end() ? *found : kNoToken;
  }

  Result<SourceTokenizer> read_sentencepiece(const Json& root, const Json& model) {
    RILL_ASSIGN(const bool space_in_front, read_space_in_front(root));
    // Cut out of a text before SentencePiece sees it, where each piece of it gets a space in front, and it must not
    // make them of other tokens. Else SentencePiece finds them, as in Gemma's own model, which has thousands.
    const PieceType added = space_in_front ? PieceType::kUnused : PieceType::kUserDefined;
    if (!space_in_front) RILL_TRY(check_spaces_in_added());
    RILL_ASSIGN(const std::vector<std::int32_t> types, piece_types(member(model, "unk_token"), added));
    RILL_ASSIGN(
        std::string proto,
        sentencepiece_from_merges(
            {.pieces = source_.tokens, .types = types, .pairs = source_.merges, .space_in_front = space_in_front},
            where_));
    RILL_ASSIGN(SourceTokenizer tokenizer, sentencepiece_from_proto(std::move(proto)));
    if (space_in_front) tokenizer.added = std::move(source_.added);
    tokenizer.adds_beginning_of_text = source_.adds_beginning_of_text;
    if (tokenizer.adds_beginning_of_text) tokenizer.beginning_of_text = source_.beginning_of_text;
    return tokenizer;
  }

  static constexpr std::string_view kSpaceSymbol = "\xe2\x96\x81";  // U+2581

  Text where_;
  std::uint32_t most_;      // ids of the model are below
  std::set<Token> beyond_;  // added tokens that are not
  bool falls_back_to_bytes_ = false;
  SourceTokenizer source_;
  std::map<std::string, Token> ids_;
  std::vector<bool> taken_;
};

}  // namespace

Result<SourceTokenizer> parse_tokenizer_json(std::string_view json, const Text& where, std::uint32_t vocabulary) {
  constexpr std::size_t kMostBytes = std::size_t{128} << 20U;  // a vocabulary of 256 thousand tokens takes a quarter
  RILL_ASSIGN(const Json root, parse_json(json, where, {.bytes = kMostBytes}));
  if (!root.is_object()) {
    return bad_input({.where = where,
                      .what = text("its ", json.size(), " bytes are no JSON object"),
                      .expected = text("a tokenizer.json of Hugging Face's tokenizers"),
                      .remedy = text("copy the file again")});
  }
  return Reader(where, vocabulary).read(root);
}

Result<SourceTokenizer> read_tokenizer_json(const std::string& path, std::uint32_t vocabulary) {
  RILL_ASSIGN(const MappedFile file, MappedFile::open(path));
  const std::span<const std::byte> bytes = file.bytes();
  return parse_tokenizer_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, text(path), vocabulary);
}

}  // namespace rill::quant
