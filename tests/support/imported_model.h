#pragma once
// Models for tests: imported from ../shared, or the real model that the build made, into a folder that goes with the
// test.

#include <string>
#include <string_view>

#include "core/engine.h"
#include "core/model_file.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/shared_data.h"

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

/// stories260K of ../shared, with Llama-2's chat form. First RILL_NEED_SHARED("models/stories260K").
struct TalkingStories : ImportedModel {
  TalkingStories()
      : ImportedModel(shared_path("models/stories260K/stories260K.bin"), shared_path("models/stories260K/tok512.model"),
                      "llama2") {}
};

/// An engine, or a failed test.
Result<Engine> start(const ModelFile& model, const EngineOptions& options);

/// Logits after each token, [n, V], of a fresh stream.
std::vector<float> logits_of(Engine& engine, std::span<const Token> tokens);

}  // namespace rill
