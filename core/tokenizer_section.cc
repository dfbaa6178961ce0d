#include "core/tokenizer_section.h"

#include <algorithm>
#include <functional>

#include "platform/size.h"

namespace rill {
namespace {

constexpr std::array<std::string_view, static_cast<std::size_t>(TokenizerTable::kCount)> kTableNames = {
    "token offsets", "token bytes", "special tokens", "added tokens",        "end tokens",
    "merges",        "byte tokens", "pattern",        "proto or whole words"};
// What libsentencepiece takes: about 14 bytes for one of a model, and 300 for one of a text.
constexpr std::uint64_t kMostLoadBytes = 4ULL << 20U;
constexpr std::uint64_t kMostLoadBytesPerByte = 68;
constexpr std::uint64_t kMostEncodeBytes = 1024;
constexpr std::size_t kMostListed = 65536;  // each is looked for at every character of a text

Status bad_table(TokenizerTable table, const Text& what, const Text& expected) {
  return bad_input({.where = text("tokenizer section, ", kTableNames[static_cast<std::size_t>(table)]),
                    .what = what,
                    .expected = expected,
                    .remedy = text("make the model file anew with `rill quantize`")});
}

}  // namespace

Result<TokenizerSection> TokenizerSection::parse(std::span<const std::byte> bytes) {
  TokenizerSection section;
  section.bytes_ = bytes;
  if (bytes.size() < sizeof(TokenizerHeader) || reinterpret_cast<std::uintptr_t>(bytes.data()) % 8 != 0) {
    return bad_input({.where = text("tokenizer section"),
                      .what = text(bytes.size(), " bytes"),
                      .expected = text("at least ", sizeof(TokenizerHeader), ", 8-aligned"),
                      .remedy = text("make the model file anew with `rill quantize`")});
  }
  RILL_TRY(section.check());
  return section;
}

std::span<const std::byte> TokenizerSection::table(TokenizerTable table) const {
  const auto& extent = header().tables[static_cast<std::size_t>(table)];
  return bytes_.subspan(static_cast<std::size_t>(extent.offset), static_cast<std::size_t>(extent.bytes));
}

std::span<const std::uint32_t> TokenizerSection::numbers(TokenizerTable which) const {
  const auto bytes = table(which);
  return {reinterpret_cast<const std::uint32_t*>(bytes.data()), bytes.size() / sizeof(std::uint32_t)};
}

std::span<const Merge> TokenizerSection::merges() const {
  const auto bytes = table(TokenizerTable::kMerges);
  return {reinterpret_cast<const Merge*>(bytes.data()), bytes.size() / sizeof(Merge)};
}

std::string_view TokenizerSection::characters(TokenizerTable which) const {
  const auto bytes = table(which);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string_view TokenizerSection::token_bytes(Token token) const {
  const auto offsets = numbers(TokenizerTable::kTokenOffsets);
  return characters(TokenizerTable::kTokenBytes).substr(offsets[token], offsets[token + 1] - offsets[token]);
}

Status TokenizerSection::check() const {
  using Table = TokenizerTable;
  const TokenizerHeader& h = header();
  for (std::size_t i = 0; i < kTableNames.size(); ++i) {
    const auto& extent = h.tables[i];
    if (extent.offset % 8 != 0 || !fits(Size(extent.bytes), extent.offset, bytes_.size())) {
      return bad_table(static_cast<Table>(i), text(extent.bytes, " bytes at offset ", extent.offset),
                       text("an 8-aligned extent in a section of ", bytes_.size(), " bytes"));
    }
  }
  const bool is_bpe = h.kind == TokenizerKind::kByteLevelBpe;
  if (!is_bpe && h.kind != TokenizerKind::kSentencePiece) {
    return bad_table(Table::kProto, text("tokenizer kind ", static_cast<std::uint32_t>(h.kind)), text("1 or 2"));
  }
  if (h.vocabulary == 0 || (h.beginning_of_text >= h.vocabulary && h.beginning_of_text != kNoToken)) {
    return bad_table(Table::kTokenOffsets,
                     text("vocabulary ", h.vocabulary, ", beginning of text ", h.beginning_of_text),
                     text("a token below the vocabulary"));
  }
  const auto offsets = numbers(Table::kTokenOffsets);
  if (table(Table::kTokenOffsets).size() != (std::uint64_t{h.vocabulary} + 1) * 4 || offsets.front() != 0 ||
      offsets.back() != table(Table::kTokenBytes).size() || !std::is_sorted(offsets.begin(), offsets.end())) {
    return bad_table(Table::kTokenOffsets, text(offsets.size(), " offsets"),
                     text(h.vocabulary + 1ULL, ", ascending from 0 to the size of the token bytes"));
  }
  for (const Table list : {Table::kSpecial, Table::kAdded, Table::kEnds}) {
    const auto ids = numbers(list);
    if (table(list).size() % 4 != 0 ||
        std::any_of(ids.begin(), ids.end(), [&](Token id) { return id >= h.vocabulary; }) ||
        std::adjacent_find(ids.begin(), ids.end(), std::greater_equal<>()) != ids.end() || ids.size() > kMostListed) {
      return bad_table(list, text(table(list).size(), " bytes"),
                       text("at most ", kMostListed, " strictly ascending ids below ", h.vocabulary));
    }
  }
  // Plain text may never become a special token: whoever says it could forge a turn.
  const auto special = numbers(Table::kSpecial);
  const auto is_special = [&](Token id) { return std::binary_search(special.begin(), special.end(), id); };
  const auto added = numbers(Table::kAdded);
  if (const auto found = std::find_if(added.begin(), added.end(), is_special); found != added.end()) {
    return bad_table(Table::kAdded, text("the special token ", *found), text("tokens that text may have"));
  }
  if (!is_bpe) {
    const std::uint64_t most_load_bytes = kMostLoadBytes + kMostLoadBytesPerByte * table(Table::kProto).size();
    if (h.load_bytes > most_load_bytes || h.encode_bytes > kMostEncodeBytes) {
      return bad_table(Table::kProto,
                       text("a need of ", h.load_bytes, " bytes and ", h.encode_bytes, " a byte of text"),
                       text("at most ", most_load_bytes, " and ", kMostEncodeBytes));
    }
    return {};
  }
  const auto byte_tokens = numbers(Table::kByteTokens);
  if (byte_tokens.size() != 256 || table(Table::kByteTokens).size() % 4 != 0 ||
      std::any_of(byte_tokens.begin(), byte_tokens.end(),
                  [&](Token id) { return id != kNoToken && (id >= h.vocabulary || is_special(id)); })) {
    return bad_table(Table::kByteTokens, text(byte_tokens.size(), " entries"),
                     text("256 ids below ", h.vocabulary, ", none special"));
  }
  std::uint64_t previous = 0;
  bool is_first = true;
  for (const Merge& merge : merges()) {
    if (merge.left >= h.vocabulary || merge.right >= h.vocabulary || merge.merged >= h.vocabulary ||
        is_special(merge.merged) || (!is_first && merge.key() <= previous)) {
      return bad_table(Table::kMerges, text("merge of ", merge.left, " and ", merge.right, " into ", merge.merged),
                       text("ids below ", h.vocabulary, ", none made special, pairs strictly ascending"));
    }
    previous = merge.key();
    is_first = false;
  }
  const auto is_out_of_order = [&](Token a, Token b) { return token_bytes(a) >= token_bytes(b); };
  const auto words = numbers(Table::kWholeWords);
  if (table(Table::kWholeWords).size() % 4 != 0 ||
      std::any_of(words.begin(), words.end(), [&](Token id) { return id >= h.vocabulary || is_special(id); }) ||
      std::adjacent_find(words.begin(), words.end(), is_out_of_order) != words.end()) {
    return bad_table(Table::kWholeWords, text(table(Table::kWholeWords).size(), " bytes"),
                     text("ids below ", h.vocabulary, ", none special, strictly ascending by their bytes"));
  }
  if (table(Table::kMerges).size() % sizeof(Merge) != 0) {
    return bad_table(Table::kMerges, text(table(Table::kMerges).size(), " bytes"), text("a multiple of 16"));
  }
  return {};
}

}  // namespace rill
