#pragma once
// Texts and ids that commands read, and a tokenizer for a text of any length.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/memory_plan.h"
#include "core/model_file.h"
#include "core/tokenizer.h"
#include "platform/fixed_heap.h"
#include "platform/status.h"

namespace rill::apps {

/// A whole file as text. kBadInput if it cannot be read.
Result<std::string> read_text(const std::string& path);
/// Integers separated by white space. kBadInput names the first that is no id below the vocabulary, and its line,
/// or says that a file has none.
Result<std::vector<Token>> read_ids(const std::string& path, std::uint32_t vocabulary);
Result<std::vector<Token>> parse_ids(std::string_view text, std::uint32_t vocabulary, const Text& where);

/// All of a text's tokens, after the beginning-of-text token where the model adds one and `begin` asks for it.
Result<std::vector<Token>> encode_all(Tokenizer& tokenizer, std::string_view text, SpecialTokens special, bool begin);

/// A tokenizer with a heap of its own, sized for a text: for commands that run no model while they encode.
class TextTokenizer {
 public:
  /// kUsage if the model has no tokenizer. @param model  borrowed
  static Result<TextTokenizer> load(const ModelFile& model, std::size_t text_bytes);

  TextTokenizer(TextTokenizer&&) noexcept = default;
  TextTokenizer& operator=(TextTokenizer&&) = delete;
  ~TextTokenizer();

  Tokenizer& operator*() const { return *tokenizer_; }
  Tokenizer* operator->() const { return tokenizer_; }
  Result<std::vector<Token>> encode(std::string_view text, SpecialTokens special, bool begin) const {
    return encode_all(*tokenizer_, text, special, begin);
  }

  /// The same of a text that is there whole, with as little memory as it takes.
  static Result<std::vector<Token>> encode_with(const ModelFile& model, std::string_view text, SpecialTokens special,
                                                bool begin);

 private:
  TextTokenizer() = default;

  PageBlock block_;
  std::unique_ptr<FixedHeap> heap_;
  Tokenizer* tokenizer_ = nullptr;
};

}  // namespace rill::apps
