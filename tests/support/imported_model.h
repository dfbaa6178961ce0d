#pragma once
// Models for tests: imported from ../shared, or the real model that the build made, into a folder that goes with the
// test.

#include <string>
#include <string_view>

#include "core/engine.h"
#include "core/model_file.h"
#include "tests/support/scratch_directory.h"

namespace rill {

/// A source quantised into a scratch folder, and opened.
class ImportedModel {
 public:
  /// Fails the running test if the source cannot be imported. @param chat_form  "none", or a form's name
  explicit ImportedModel(const std::string& source, const std::string& tokenizer = {},
                         std::string_view chat_form = "none", std::uint32_t group = 32, bool is_rotated = false);

  bool ok() const { return file_.ok(); }
  const ModelFile& file() const { return *file_; }
  std::string path() const { return scratch_.file("model.rill"); }

 private:
  ScratchDirectory scratch_;
  Result<ModelFile> file_;
};

/// An engine, or a failed test.
Result<Engine> start(const ModelFile& model, const EngineOptions& options);

/// Logits after each token, [n, V], of a fresh stream.
std::vector<float> logits_of(Engine& engine, std::span<const Token> tokens);

}  // namespace rill
