#pragma once
// Tokenizers for tests: built from the shared vocabularies as an importer would, in a heap of exactly the promised
// size.

#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/tokenizer.h"
#include "platform/fixed_heap.h"
#include "quant/sentencepiece_model.h"
#include "quant/tokenizer_writer.h"

namespace rill::test {

inline std::filesystem::path shared(std::string_view name) { return std::filesystem::path(RILL_SHARED_DIR) / name; }

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A vocabulary of ../shared as an importer would give it; kind kNone if it is not there. "gpt-2:qwen2" is GPT-2's with
/// the pre-tokenizer that GGUF files call qwen2.
quant::SourceTokenizer source(std::string_view name);

/// Longer than any word of the goldens but the megabyte.
inline constexpr std::size_t kGoldenWordBytes = 20 * 1024;

/// A tokenizer, its section and its heap, kept together.
class LoadedTokenizer {
 public:
  /// text_bytes: the longest word, as for Tokenizer::heap_bytes().
  LoadedTokenizer(std::vector<std::byte> section, std::size_t text_bytes = kGoldenWordBytes)
      : section_(std::move(section)) {
    const auto bytes = Tokenizer::heap_bytes(section_, text_bytes);
    EXPECT_TRUE(bytes.ok()) << bytes.status().message();
    if (!bytes.ok()) return;
    block_.reset(new std::byte[*bytes]);  // not cleared: a large heap's pages stay untouched
    heap_ = std::make_unique<FixedHeap>(std::span(block_.get(), *bytes));
    const auto loaded = Tokenizer::load(section_, *heap_, text_bytes);
    EXPECT_TRUE(loaded.ok()) << loaded.status().message();
    if (loaded.ok()) tokenizer_ = *loaded;
  }
  static std::uint32_t vocabulary_size(const quant::SourceTokenizer& vocabulary) {
    if (vocabulary.kind == quant::SourceTokenizer::Kind::kByteLevelBpe) {
      return static_cast<std::uint32_t>(vocabulary.tokens.size());
    }
    const auto facts = quant::examine_sentencepiece(vocabulary.sentencepiece_proto);
    return facts.ok() ? static_cast<std::uint32_t>(facts->tokens.size()) : 0;
  }
  static LoadedTokenizer from(const quant::SourceTokenizer& vocabulary, std::size_t text_bytes = kGoldenWordBytes) {
    auto section = quant::write_tokenizer_section(vocabulary, vocabulary_size(vocabulary));
    EXPECT_TRUE(section.ok()) << section.status().message();
    return LoadedTokenizer(section.ok() ? *std::move(section) : std::vector<std::byte>(), text_bytes);
  }

  LoadedTokenizer(LoadedTokenizer&& other) noexcept
      : section_(std::move(other.section_)),
        block_(std::move(other.block_)),
        heap_(std::move(other.heap_)),
        tokenizer_(std::exchange(other.tokenizer_, nullptr)) {}
  LoadedTokenizer& operator=(LoadedTokenizer&&) = delete;
  ~LoadedTokenizer() {
    if (tokenizer_ != nullptr) tokenizer_->~Tokenizer();
  }

  explicit operator bool() const { return tokenizer_ != nullptr; }
  Tokenizer* operator->() const { return tokenizer_; }
  FixedHeap& heap() const { return *heap_; }
  std::span<const std::byte> section() const { return section_; }

  /// All tokens of a text; a failure is a test failure.
  std::vector<Token> tokens(std::string_view text, SpecialTokens special = SpecialTokens::kText) const {
    const TextPart part{text, special};
    return tokens_of_parts({&part, 1});
  }
  std::vector<Token> tokens_of_parts(std::span<const TextPart> parts) const {
    std::vector<Token> all;
    const Status status = tokenizer_->encode(parts, [&](std::span<const Token> run) {
      all.insert(all.end(), run.begin(), run.end());
      return Status();
    });
    EXPECT_TRUE(status.ok()) << status.message();
    return all;
  }
  /// The text of tokens, special ones left out.
  std::string text_of(std::span<const Token> tokens) const {
    Utf8Stream stream(tokenizer_->strips_first_space());
    std::string text;
    std::vector<char> out;
    for (const Token token : tokens) {
      const std::string_view bytes = tokenizer_->bytes_of(token);
      out.resize(bytes.size() * 3 + 12);
      text += stream.add(bytes, out);
    }
    out.resize(12);
    text += stream.finish(out);
    return text;
  }

 private:
  std::vector<std::byte> section_;
  std::unique_ptr<std::byte[]> block_;
  std::unique_ptr<FixedHeap> heap_;
  Tokenizer* tokenizer_ = nullptr;
};

}  // namespace rill::test

/// Loads a vocabulary of ../shared into `loaded`, or skips the test.
#define RILL_LOAD_OR_SKIP(loaded, name)                                              \
  const ::rill::quant::SourceTokenizer loaded##_source = ::rill::test::source(name); \
  if (loaded##_source.kind == ::rill::quant::SourceTokenizer::Kind::kNone) {         \
    GTEST_SKIP() << "../shared is not there: it holds the vocabulary " << (name);    \
  }                                                                                  \
  const auto loaded = ::rill::test::LoadedTokenizer::from(loaded##_source);          \
  ASSERT_TRUE(loaded)
