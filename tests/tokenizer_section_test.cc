// A hostile tokenizer section gets a sentence, whatever it says; and no text is cut, or read, where that changes a
// token.

#include "core/tokenizer_section.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/chat_template.h"
#include "tests/support/tokenizer_fixture.h"

namespace rill {
namespace {

/// A protocol-buffer field of bytes, for fields and sizes below 2^14.
std::string proto_bytes(std::uint32_t field, std::string_view bytes) {
  std::string out(1, static_cast<char>(field << 3U | 2U));
  if (bytes.size() >= 0x80) out += static_cast<char>(bytes.size() | 0x80U);
  out += static_cast<char>(bytes.size() >= 0x80 ? bytes.size() >> 7U : bytes.size());
  return out.append(bytes);
}

struct Piece {
  std::string text;
  int type;  // 1 normal, 2 unknown, 3 control, 6 byte
};

/// A SentencePiece model with Llama's normaliser.
std::string small_proto(const std::vector<Piece>& more = {}, bool byte_fallback = true,
                        std::string_view normalizer = {"\x18\x01\x20\x00\x28\x01", 6}) {
  std::vector<Piece> pieces = {{"<unk>", 2}, {"<s>", 3}, {"</s>", 3}};
  for (int byte = 0; byte_fallback && byte < 256; ++byte) {
    const char* const digits = "0123456789ABCDEF";
    pieces.push_back({std::string("<0x") + digits[byte / 16] + digits[byte % 16] + ">", 6});
  }
  for (const char* text : {"\xe2\x96\x81", "a", "b", "ab"}) pieces.push_back({text, 1});
  pieces.insert(pieces.end(), more.begin(), more.end());
  std::string proto;
  for (const Piece& piece : pieces) {
    proto +=
        proto_bytes(1, proto_bytes(1, piece.text) + std::string("\x15\0\0\0\0\x18", 6) + static_cast<char>(piece.type));
  }
  proto += std::string("\x12\x05\x18\x02\x98\x02", 6) + static_cast<char>(byte_fallback ? 1 : 0);  // BPE
  return proto + proto_bytes(3, normalizer);  // by default: dummy prefix, spaces kept and escaped
}

quant::SourceTokenizer small_bpe() {
  quant::SourceTokenizer source;
  source.kind = quant::SourceTokenizer::Kind::kByteLevelBpe;
  for (int byte = 0; byte < 256; ++byte) source.tokens.emplace_back(1, static_cast<char>(byte));
  source.tokens.emplace_back("ab");
  source.tokens.emplace_back("<x>");
  source.merges = {{'a', 'b'}};
  source.special = {257};
  source.pattern = quant::pattern_for_pretokenizer("gpt-2");
  return source;
}

std::vector<std::byte> written(const quant::SourceTokenizer& source, std::uint32_t vocabulary) {
  auto section = quant::write_tokenizer_section(source, vocabulary);
  EXPECT_TRUE(section.ok()) << section.status().message();
  return section.ok() ? *section : std::vector<std::byte>();
}
std::vector<std::byte> small_sentencepiece_section() {
  const auto source = quant::sentencepiece_from_proto(small_proto());
  EXPECT_TRUE(source.ok()) << source.status().message();
  return written(*source, 263);
}

TokenizerHeader& header_of(std::vector<std::byte>& section) {
  return *reinterpret_cast<TokenizerHeader*>(section.data());
}

/// Loads and encodes, in a heap of exactly the promised size.
Status try_out(const std::vector<std::byte>& section, std::size_t text_bytes, std::string_view text,
               SpecialTokens special = SpecialTokens::kText, std::vector<Token>* tokens = nullptr) {
  const auto bytes = Tokenizer::heap_bytes(section, text_bytes);
  RILL_TRY(bytes.status());
  const std::unique_ptr<std::byte[]> block(new std::byte[*bytes]);
  FixedHeap heap(std::span(block.get(), *bytes));
  RILL_ASSIGN(Tokenizer* const tokenizer, Tokenizer::load(section, heap, text_bytes));
  Status status;
  for (int round = 0; round < 2 && (round == 0 || !status.ok()); ++round) {  // what failed once fails alike again
    if (tokens != nullptr) tokens->clear();
    status = tokenizer->encode(text, special, [&](std::span<const Token> run) {
      if (tokens != nullptr) tokens->insert(tokens->end(), run.begin(), run.end());
      return Status();
    });
  }
  tokenizer->~Tokenizer();
  return status;
}

TEST(HostileTokenizer, HeapFiguresThatAreTooLowAreASentence) {
  const auto good = small_sentencepiece_section();
  const std::string text(1024, '\x01');  // falls back to bytes: much memory for each
  ASSERT_TRUE(try_out(good, 1024, text).ok());
  int loads_failed = 0;
  int encodings_failed = 0;
  for (std::uint64_t k = 0; k < 300; ++k) {
    auto section = good;
    header_of(section).load_bytes = k * 512;
    if (const Status tried = try_out(section, 1024, text); !tried.ok()) {
      ++loads_failed;
      EXPECT_EQ(tried.code(), Code::kBadInput) << tried.message();
    }
    section = good;
    header_of(section).encode_bytes = k;
    if (!try_out(section, 1024, text).ok()) ++encodings_failed;
  }
  EXPECT_GT(loads_failed, 0);
  EXPECT_GT(encodings_failed, 0);
}

TEST(HostileTokenizer, AnEncodingThatFilledTheHeapLeavesTheNextOneItsRoom) {
  auto section = small_sentencepiece_section();
  header_of(section).encode_bytes = 8;
  const auto bytes = Tokenizer::heap_bytes(section, 4096);
  ASSERT_TRUE(bytes.ok());
  const std::unique_ptr<std::byte[]> block(new std::byte[*bytes]);
  FixedHeap heap(std::span(block.get(), *bytes));
  const auto tokenizer = Tokenizer::load(section, heap, 4096);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  const auto ignore = [](std::span<const Token>) { return Status(); };
  for (int round = 0; round < 50; ++round) {
    EXPECT_FALSE((*tokenizer)->encode(std::string(4000, '\x01'), SpecialTokens::kText, ignore).ok());
    EXPECT_TRUE((*tokenizer)->encode("ab", SpecialTokens::kText, ignore).ok()) << round;
  }
  (*tokenizer)->~Tokenizer();
}

TEST(HostileTokenizer, CharacterMapsWhichTheLibraryFollowsUncheckedAreRefused) {
  auto source = quant::sentencepiece_from_proto(small_proto());
  ASSERT_TRUE(source.ok());
  const std::string map = std::string("\x10\0\0\0", 4) + std::string(16, '\x7f') + "abc";
  const auto refused = quant::sentencepiece_from_proto(small_proto() + proto_bytes(3, proto_bytes(2, map)));
  EXPECT_EQ(refused.status().code(), Code::kBadInput);
  source->sentencepiece_proto += proto_bytes(3, proto_bytes(2, map));
  EXPECT_EQ(quant::write_tokenizer_section(*source, 263).status().code(), Code::kBadInput);
}

TEST(HostileTokenizer, ProtosCutAnywhereOrFlippedAnywhereAreASentence) {
  const auto good = small_sentencepiece_section();
  std::mt19937 generator(5);
  const auto extent = [](std::vector<std::byte>& s) {
    return header_of(s).tables[static_cast<std::size_t>(TokenizerTable::kProto)];
  };
  for (int round = 0; round < 600; ++round) {
    auto section = good;
    const auto proto = extent(section);
    for (int flips = 0; flips < 2; ++flips)
      section[proto.offset + generator() % proto.bytes] ^= static_cast<std::byte>(1U << generator() % 8);
    (void)try_out(section, 256, "ab <0x41> \xe4\xbd\xa0").ok();
    section = good;
    header_of(section).tables[static_cast<std::size_t>(TokenizerTable::kProto)].bytes = generator() % proto.bytes;
    (void)try_out(section, 256, "ab").ok();
  }
}

TEST(HostileTokenizer, EveryWordOfTheHeaderMayLie) {
  for (const auto& good : {small_sentencepiece_section(), written(small_bpe(), 258)}) {
    for (std::size_t at = 0; at < sizeof(TokenizerHeader); at += 4) {
      for (const std::uint32_t lie : {0U, 1U, 7U, 0x7fffffffU, 0x80000000U, 0xffffffffU}) {
        auto section = good;
        std::memcpy(section.data() + at, &lie, 4);
        const auto bytes = Tokenizer::heap_bytes(section, 256);
        if (bytes.ok() && *bytes > 1U << 28U) continue;  // a large heap is a matter for the budget
        (void)try_out(section, 256, "ab ab").ok();
      }
    }
  }
}

TEST(HostileTokenizer, NoMergeAndNoByteMayMakeASpecialToken) {
  const auto good = written(small_bpe(), 258);
  std::vector<Token> tokens;
  ASSERT_TRUE(try_out(good, 256, "ab", SpecialTokens::kText, &tokens).ok());
  EXPECT_EQ(tokens, std::vector<Token>{256});
  auto section = good;
  const auto merges = header_of(section).tables[static_cast<std::size_t>(TokenizerTable::kMerges)];
  reinterpret_cast<Merge*>(section.data() + merges.offset)->merged = 257;
  EXPECT_EQ(try_out(section, 256, "ab").code(), Code::kBadInput);
  section = good;
  const auto bytes = header_of(section).tables[static_cast<std::size_t>(TokenizerTable::kByteTokens)];
  reinterpret_cast<Token*>(section.data() + bytes.offset)[std::size_t{'a'}] = 257;
  EXPECT_EQ(try_out(section, 256, "ab").code(), Code::kBadInput);
}

TEST(HostileTokenizer, AControlPieceOfOneCharacterWhichTheLibraryFindsInTextIsRefused) {
  EXPECT_EQ(quant::sentencepiece_from_proto(small_proto({{"!", 3}})).status().code(), Code::kBadInput);
}

// Found by fuzzing: text became the unknown token, which counted as a special one.
TEST(HostileTokenizer, TheUnknownPieceIsSpecialOnlyIfNoTextBecomesIt) {
  const auto source = quant::sentencepiece_from_proto(small_proto({}, /*byte_fallback=*/false));
  ASSERT_TRUE(source.ok()) << source.status().message();
  const auto section = written(*source, 7);
  std::vector<Token> tokens;
  ASSERT_TRUE(try_out(section, 256, "a!<unk>b", SpecialTokens::kText, &tokens).ok());
  EXPECT_EQ(tokens, (std::vector<Token>{3, 4, 0, 5})) << "what is side by side is one";
  const auto parsed = TokenizerSection::parse(section);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(std::vector<Token>(parsed->numbers(TokenizerTable::kSpecial).begin(),
                               parsed->numbers(TokenizerTable::kSpecial).end()),
            (std::vector<Token>{1, 2}));
  EXPECT_EQ(parsed->token_bytes(0), " \xe2\x81\x87 ") << "as the library writes it";
}

TEST(HostileTokenizer, WhatTextCanBecomeIsRefusedAmongTheSpecialTokens) {
  const auto source = quant::sentencepiece_from_proto(small_proto({}, /*byte_fallback=*/false));
  ASSERT_TRUE(source.ok()) << source.status().message();
  const auto with_special = [](quant::SourceTokenizer tokenizer, Token token, std::uint32_t vocabulary) {
    tokenizer.special.push_back(token);
    return try_out(written(tokenizer, vocabulary), 256, "ab").code();
  };
  EXPECT_EQ(with_special(*source, 0, 7), Code::kBadInput) << "the unknown piece";
  EXPECT_EQ(with_special(*quant::sentencepiece_from_proto(small_proto()), 0, 263), Code::kOk);
  EXPECT_EQ(with_special(*quant::sentencepiece_from_proto(small_proto()), 262, 263), Code::kBadInput) << "\"ab\"";
  quant::SourceTokenizer bpe = small_bpe();
  bpe.added = {257};
  EXPECT_EQ(quant::write_tokenizer_section(bpe, 258).status().code(), Code::kBadInput)
      << "added tokens are found in any text";
}

/// The library has an array of 64 for what begins at one place of a text, and read behind its end.
TEST(HostileTokenizer, MoreUserDefinedPiecesThatBeginAlikeThanTheLibraryHasRoomForAreRefused) {
  const auto with_chain_of = [](std::size_t length) {
    std::vector<Piece> chain = {{"r", 4}, {"qr", 4}};
    for (std::size_t i = 1; i <= length; ++i) chain.push_back({std::string(i, 'q'), 4});
    return quant::sentencepiece_from_proto(small_proto(chain));
  };
  EXPECT_EQ(with_chain_of(65).status().code(), Code::kBadInput);
  const auto longest = with_chain_of(64);
  ASSERT_TRUE(longest.ok()) << longest.status().message();
  std::vector<Token> tokens;
  ASSERT_TRUE(try_out(written(*longest, 263 + 66), 256, std::string(64, 'q'), SpecialTokens::kText, &tokens).ok());
  EXPECT_EQ(tokens, (std::vector<Token>{259, 263 + 65})) << "a space in front, and the longest";
}

TEST(HostileTokenizer, WholeWordsOutOfOrderOrSpecialAreRefused) {
  quant::SourceTokenizer source = small_bpe();
  source.whole_words_first = true;
  const auto good = written(source, 258);
  EXPECT_TRUE(try_out(good, 256, "ab").ok());
  const auto with_word = [&](std::size_t place, Token token) {
    auto section = good;
    const auto words = header_of(section).tables[static_cast<std::size_t>(TokenizerTable::kWholeWords)];
    EXPECT_EQ(words.bytes, 257 * sizeof(Token)) << "every token but the special one";
    reinterpret_cast<Token*>(section.data() + words.offset)[place] = token;
    return try_out(section, 256, "ab").code();
  };
  EXPECT_EQ(with_word(2, 2), Code::kOk) << "as it was";
  EXPECT_EQ(with_word(2, 1), Code::kBadInput) << "twice the same";
  EXPECT_EQ(with_word(2, 9), Code::kBadInput) << "out of order";
  EXPECT_EQ(with_word(256, 257), Code::kBadInput) << "special";
  EXPECT_EQ(with_word(256, 258), Code::kBadInput) << "not in the vocabulary";
}

/// Each of them took hours, or gigabytes, of a file of a few kilobytes.
TEST(HostileTokenizer, WhatCostsMoreThanItsBytesIsASentence) {
  quant::SourceTokenizer slow = small_bpe();
  slow.pattern = "(?=(?:(?:a|a){25})b)a|[^a]";
  const Status refused = try_out(written(slow, 258), 1024, "hi " + std::string(200, 'a'));
  EXPECT_EQ(refused.code(), Code::kBadInput);
  EXPECT_NE(refused.message().find("while matching"), std::string_view::npos) << refused.message();

  quant::SourceTokenizer twice = small_bpe();
  twice.added = {'a', 'b'};
  auto section = written(twice, 258);
  const auto added = header_of(section).tables[static_cast<std::size_t>(TokenizerTable::kAdded)];
  reinterpret_cast<Token*>(section.data() + added.offset)[1] = 'a';
  EXPECT_EQ(try_out(section, 256, "ab").code(), Code::kBadInput) << "an added token that repeats";

  section = small_sentencepiece_section();
  header_of(section).load_bytes = 1U << 30U;
  EXPECT_EQ(Tokenizer::heap_bytes(section, 256).status().code(), Code::kBadInput);
  section = small_sentencepiece_section();
  header_of(section).encode_bytes = 4096;
  EXPECT_EQ(Tokenizer::heap_bytes(section, 256).status().code(), Code::kBadInput);
  EXPECT_EQ(quant::sentencepiece_from_proto(small_proto({{std::string(300, 'a'), 1}})).status().code(),
            Code::kBadInput);
}

/// libsentencepiece encodes them as it loads, and prints those that fail as they are.
TEST(HostileTokenizer, SamplesToTestALibraryWithAreNoPartOfATokenizer) {
  const std::string samples = proto_bytes(4, proto_bytes(1, proto_bytes(1, "ab") + proto_bytes(2, "\x1b[2J")));
  auto source = quant::sentencepiece_from_proto(small_proto() + samples);
  ASSERT_TRUE(source.ok()) << source.status().message();
  EXPECT_EQ(source->sentencepiece_proto, small_proto());
  source->sentencepiece_proto += samples;
  EXPECT_EQ(quant::write_tokenizer_section(*source, 263).status().code(), Code::kBadInput);
}

TEST(HostileTokenizer, APatternThatLooksBehindAPieceOfTextIsRefused) {
  quant::SourceTokenizer source = small_bpe();
  source.pattern = "(?<=a)b|.";
  EXPECT_EQ(try_out(written(source, 258), 256, "ab").code(), Code::kBadInput);
}

TEST(PublishedPatterns, TakeAnyCharacterRepeatedOverAWholeWindow) {
  for (const char* const name : {"gpt-2", "smollm", "qwen2", "llama-bpe", "falcon"}) {
    quant::SourceTokenizer source = small_bpe();
    source.pattern = quant::pattern_for_pretokenizer(name);
    const auto section = written(source, 258);
    for (const char* const character : {"a", "1", "!", " ", "\n", "\r\n", "\t", "_", "'", "\u00e9", "\u0301", "\u0661",
                                        "\u00b2", "\u2167", "\u3001", "\u4e2d", "\u00a0", "\u200b", "\U0001F600"}) {
      std::string text;
      while (text.size() < 12000) text += character;
      const Status status = try_out(section, 16384, text);
      EXPECT_TRUE(status.ok()) << name << ", " << character << ": " << status.message();
    }
  }
}

TEST(SentencePiece, IsNotCutBehindALiteralSpaceSymbol) {
  if (!std::filesystem::exists(test::shared("tokenizers/llama2/tokenizer.model")))
    GTEST_SKIP() << "../shared is not there";
  const auto section = written(test::source("llama2"), 32000);
  std::string text;
  for (int i = 0; i < 600; ++i) text += "\xe2\x96\x81 ";
  for (int i = 0; i < 40; ++i) text += "word \xe2\x96\x81 ";
  std::vector<Token> whole;
  ASSERT_TRUE(try_out(section, std::size_t{64} * 1024, text, SpecialTokens::kText, &whole).ok());
  std::vector<Token> in_pieces;
  const Status status = try_out(section, 1024, text, SpecialTokens::kText, &in_pieces);
  // Without a safe place to cut, the sentence; never other tokens.
  if (status.ok()) {
    EXPECT_EQ(in_pieces, whole);
  } else {
    EXPECT_EQ(status.code(), Code::kBadInput);
  }
}

/// One piece with a space inside, as Gemma has, made such texts one word: they were refused from 16 KiB on.
TEST(SentencePiece, IsCutAtEverySpaceThatNoPieceReachesAcross) {
  const auto source = quant::sentencepiece_from_proto(
      small_proto({{">", 1}, {"<", 1}, {"/", 1}, {"</", 1}, {"\xe2\x96\x81</", 1}, {">\xe2\x96\x81</", 1}, {"b>", 1}}));
  ASSERT_TRUE(source.ok()) << source.status().message();
  const auto section = written(*source, 263 + 7);
  std::string text;
  for (int i = 0; i < 500; ++i) text += i % 3 == 0 ? "ab> </ b" : "a b> ab";
  std::vector<Token> whole;
  ASSERT_TRUE(try_out(section, std::size_t{64} * 1024, text, SpecialTokens::kText, &whole).ok());
  EXPECT_GE(std::count(whole.begin(), whole.end(), Token{263 + 5}), 100) << "the piece that reaches across";
  for (const std::size_t word_bytes : {16U, 17U, 18U, 19U, 64U, 1024U}) {
    std::vector<Token> in_pieces;
    ASSERT_TRUE(try_out(section, word_bytes, text, SpecialTokens::kText, &in_pieces).ok()) << word_bytes;
    EXPECT_EQ(in_pieces, whole) << word_bytes;
  }
}

/// A space in front of a text is lost where extra spaces are removed and none is added.
TEST(SentencePiece, IsNotCutWhereTheSpaceAtTheCutWouldBeLost) {
  const auto source =
      quant::sentencepiece_from_proto(small_proto({}, /*byte_fallback=*/true, {"\x18\x00\x20\x01\x28\x01", 6}));
  ASSERT_TRUE(source.ok()) << source.status().message();
  const auto section = written(*source, 263);
  std::string text;
  for (int i = 0; i < 200; ++i) text += "a b ";
  std::vector<Token> whole;
  ASSERT_TRUE(try_out(section, 4096, text, SpecialTokens::kText, &whole).ok());
  for (const std::size_t word_bytes : {16U, 17U, 64U}) {
    std::vector<Token> in_pieces;
    const Status status = try_out(section, word_bytes, text, SpecialTokens::kText, &in_pieces);
    EXPECT_TRUE(!status.ok() || in_pieces == whole) << word_bytes;
  }
}

TEST(SpecialTokens, AreAllFoundInATextFullOfThemTheLongestFirst) {
  quant::SourceTokenizer source = small_bpe();
  source.tokens.emplace_back("<x>y");
  source.special.push_back(258);
  const auto section = written(source, 259);
  std::string text;
  std::vector<Token> expected;
  for (int i = 0; i < 50000; ++i) {
    text += i % 2 == 0 ? "<x>" : "<x>y";
    expected.push_back(i % 2 == 0 ? 257U : 258U);
  }
  std::vector<Token> tokens;
  ASSERT_TRUE(try_out(section, 256, text, SpecialTokens::kControl, &tokens).ok());
  EXPECT_EQ(tokens, expected);
}

TEST(ChatSectionText, ShowsAHostileFormNameWithoutItsControlCharacters) {
  const auto parsed = parse_chat_section("form: \x1b[2J\x07\nsystem: x", text("m.rill"));
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.status().message().find('\x1b'), std::string_view::npos);
}

}  // namespace
}  // namespace rill
