#include "quant/tokenizer_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>

#include "platform/mapped_file.h"
#include "quant/byte_level_alphabet.h"
#include "quant/tokenizer_writer.h"

namespace rill::quant {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostTokens = 1U << 24U;

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
  explicit Reader(const Text& where) : where_(where) {}

  Result<SourceTokenizer> read(const Json& root) {
    source_.kind = SourceTokenizer::Kind::kByteLevelBpe;
    const Json& model = member(root, "model");
    RILL_TRY(check_parts(root, model));
    RILL_TRY(read_pattern(member(root, "pre_tokenizer")));
    RILL_TRY(read_vocabulary(member(model, "vocab"), member(root, "added_tokens")));
    RILL_TRY(read_added(member(root, "added_tokens")));
    RILL_TRY(read_merges(member(model, "merges")));
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
  Status check_parts(const Json& root, const Json& model) const {
    if (!is(member(model, "type"), "BPE")) return bad(text("model.type"), text("not BPE"), text("\"BPE\""));
    for (const char* const name : {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"}) {
      const Json& value = member(model, name);
      if (!value.is_null() && !is(value, "")) return bad(text("model.", name), text("it is set"), text("null"));
    }
    for (const char* const name : {"byte_fallback", "ignore_merges"}) {
      if (is_true(member(model, name))) return bad(text("model.", name), text("true"), text("false"));
    }
    if (!member(root, "normalizer").is_null()) return bad(text("normalizer"), text("there is one"), text("null"));
    return {};
  }

  Status check_byte_level(const Json& part) const {
    const Json& regex = member(part, "use_regex");
    if (is(member(part, "type"), "ByteLevel") && !is_true(member(part, "add_prefix_space")) &&
        (regex.is_null() || is_true(regex))) {
      return {};
    }
    return bad(text("pre_tokenizer"), text("an unknown arrangement"),
               text("ByteLevel with its own pattern and no space in front, or individual Digits before it"));
  }

  Status read_pattern(const Json& pre) {
    if (!is(member(pre, "type"), "Sequence")) {
      source_.pattern = pattern_for_pretokenizer("gpt-2");
      return check_byte_level(pre);
    }
    const Json& parts = member(pre, "pretokenizers");
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
      if (const auto token = token_id(id); token) count = std::max<std::size_t>(count, *token + std::size_t{1});
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
      if (!token || taken_[*token]) return bad(text("model.vocab"), text("a bad or repeated id"), text("ids 0 and up"));
      taken_[*token] = true;
      ids_.emplace(item.key(), *token);
      // Special tokens stand in the vocabulary as they are; they get their spelling below.
      source_.tokens[*token] = bytes_of_byte_level_token(item.key()).value_or(item.key());
    }
    return {};
  }

  Status read_added(const Json& added) {
    if (!added.is_null() && !added.is_array()) return bad(text("added_tokens"), text("no list"), text("a list"));
    for (const Json& each : added) {
      const auto token = token_id(member(each, "id"));
      const Json& content = member(each, "content");
      if (!token || !content.is_string())
        return bad(text("added_tokens"), text("one without id or content"), text("both"));
      for (const char* const name : {"single_word", "lstrip", "rstrip"}) {
        if (is_true(member(each, name)))
          return bad(text("added_tokens, id ", *token, ", ", name), text("true"), text("false"));
      }
      source_.tokens[*token] = content.get<std::string>();
      taken_[*token] = true;
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

  Text where_;
  SourceTokenizer source_;
  std::unordered_map<std::string, Token> ids_;
  std::vector<bool> taken_;
};

}  // namespace

Result<SourceTokenizer> parse_tokenizer_json(std::string_view json, const Text& where) {
  const Json root = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) {
    return bad_input({.where = where,
                      .what = text("its ", json.size(), " bytes are no JSON object"),
                      .expected = text("a tokenizer.json of Hugging Face's tokenizers"),
                      .remedy = text("copy the file again")});
  }
  return Reader(where).read(root);
}

Result<SourceTokenizer> read_tokenizer_json(const std::string& path) {
  RILL_ASSIGN(const MappedFile file, MappedFile::open(path));
  const std::span<const std::byte> bytes = file.bytes();
  return parse_tokenizer_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, text(path));
}

}  // namespace rill::quant
