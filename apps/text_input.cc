#include "apps/text_input.h"

#include <algorithm>
#include <charconv>

#include "platform/mapped_file.h"

namespace rill::apps {
namespace {
constexpr std::string_view kWhiteSpace = " \t\r\n\v\f";
constexpr std::size_t kLongestWord = std::size_t{1} << 21U;
}  // namespace

Result<std::string> read_text(const std::string& path) {
  RILL_ASSIGN(const MappedFile file, MappedFile::open(path));
  const auto bytes = file.bytes();
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Result<std::vector<Token>> parse_ids(std::string_view all, std::uint32_t vocabulary, const Text& where) {
  std::vector<Token> ids;
  const char* const begin = all.data();
  const char* const end = begin + all.size();
  const char* p = begin;
  while (true) {
    while (p != end && kWhiteSpace.find(*p) != std::string_view::npos) ++p;
    if (p == end) return ids;
    Token id = 0;
    const auto parsed = std::from_chars(p, end, id);
    const bool ends_well = parsed.ptr == end || kWhiteSpace.find(*parsed.ptr) != std::string_view::npos;
    if (parsed.ec != std::errc() || !ends_well || id >= vocabulary) {
      const char* word_end = std::find_if(p, end, [](char c) { return kWhiteSpace.find(c) != std::string_view::npos; });
      return bad_input(
          {.where = text(where, ", line ", std::count(begin, p, '\n') + 1),
           .what = text("\"", std::string_view(p, static_cast<std::size_t>(std::min<std::ptrdiff_t>(word_end - p, 40))),
                        "\""),
           .expected = text("ids below ", vocabulary, ", separated by white space"),
           .remedy = {}});
    }
    ids.push_back(id);
    p = parsed.ptr;
  }
}

Result<std::vector<Token>> read_ids(const std::string& path, std::uint32_t vocabulary) {
  RILL_ASSIGN(const std::string all, read_text(path));
  RILL_ASSIGN(std::vector<Token> ids, parse_ids(all, vocabulary, text(path)));
  if (ids.empty()) {
    return bad_input({.where = text(path),
                      .what = text("no ids"),
                      .expected = text("at least one"),
                      .remedy = text("write token ids into it, as `rill tokenize` prints them")});
  }
  return ids;
}

Result<TextTokenizer> TextTokenizer::load(const ModelFile& model, std::size_t text_bytes) {
  if (model.tokenizer_section().empty()) {
    return bad_usage(
        {.where = text(model.name()),
         .what = text("the model has no tokenizer"),
         .expected = {},
         .remedy = text("import it with one: `rill quantize --tokenizer FILE`; what takes --ids does without")});
  }
  TextTokenizer tokenizer;
  const std::size_t piece = std::max(text_bytes * 3, kTextPieceBytes);  // bytes that are no UTF-8 grow to three each
  RILL_ASSIGN(const std::size_t bytes, Tokenizer::heap_bytes(model.tokenizer_section(), piece));
  RILL_ASSIGN(tokenizer.block_, PageBlock::take(bytes));
  tokenizer.heap_ = std::make_unique<FixedHeap>(tokenizer.block_.bytes());
  RILL_ASSIGN(tokenizer.tokenizer_, Tokenizer::load(model.tokenizer_section(), *tokenizer.heap_, piece));
  return tokenizer;
}

TextTokenizer::~TextTokenizer() {
  if (heap_ != nullptr && tokenizer_ != nullptr) tokenizer_->~Tokenizer();
}

Result<std::vector<Token>> encode_all(Tokenizer& tokenizer, std::string_view text, SpecialTokens special, bool begin) {
  std::vector<Token> tokens;
  if (begin && tokenizer.adds_beginning_of_text()) tokens.push_back(tokenizer.beginning_of_text());
  RILL_TRY(tokenizer.encode(text, special, [&](std::span<const Token> run) -> Status {
    tokens.insert(tokens.end(), run.begin(), run.end());
    return {};
  }));
  return tokens;
}

// A text is cut between its words, so that its size takes no memory but for the ids. A longer word than fits is tried
// anew with all the memory that it takes.
Result<std::vector<Token>> TextTokenizer::encode_with(const ModelFile& model, std::string_view text,
                                                      SpecialTokens special, bool begin) {
  {
    RILL_ASSIGN(const TextTokenizer tokenizer, load(model, 0));
    Result<std::vector<Token>> tokens = tokenizer.encode(text, special, begin);
    if (tokens.ok() || text.size() <= kTextPieceBytes) return tokens;
  }
  RILL_ASSIGN(const TextTokenizer tokenizer, load(model, std::min(text.size(), kLongestWord)));
  return tokenizer.encode(text, special, begin);
}

}  // namespace rill::apps
