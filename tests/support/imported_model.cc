#include "tests/support/imported_model.h"

#include <span>

#include "quant/chat_section.h"
#include "quant/quantizer.h"
#include "quant/source_model.h"
#include "quant/tokenizer_writer.h"

namespace rill {
namespace {

Status import(const std::string& source_path, const std::string& tokenizer, std::string_view chat_form,
              std::uint32_t group, bool is_rotated, const std::string& output) {
  RILL_ASSIGN(const auto source, quant::open_source_model(source_path, tokenizer));
  RILL_ASSIGN(const auto tokens, quant::write_tokenizer_section(source->tokenizer(), source->config().vocabulary));
  RILL_ASSIGN(const auto chat, quant::write_chat_section({}, {}, {.form = chat_form}));
  return quant::quantize(*source, output,
                         {.group = group,
                          .is_rotated = is_rotated,
                          .tokenizer_section = tokens,
                          .chat_section = std::as_bytes(std::span(chat.section))})
      .status();
}

}  // namespace

ImportedModel::ImportedModel(const std::string& source, const std::string& tokenizer, std::string_view chat_form,
                             std::uint32_t group, bool is_rotated)
    : file_(failed({.where = {}, .what = text("not imported"), .expected = {}, .remedy = {}})) {
  const Status status = import(source, tokenizer, chat_form, group, is_rotated, path());
  EXPECT_TRUE(status.ok()) << status.message();
  if (status.ok()) file_ = ModelFile::open(path());
  EXPECT_TRUE(file_.ok()) << file_.status().message();
}

Result<Engine> start(const ModelFile& model, const EngineOptions& options) {
  Result<Engine> engine = Engine::start(model, options);
  EXPECT_TRUE(engine.ok()) << engine.status().message();
  return engine;
}

std::vector<float> logits_of(Engine& engine, std::span<const Token> tokens) {
  std::vector<float> all;
  Session& session = engine.session(0);
  session.reset();
  const Status status = session.evaluate(tokens, [&](std::size_t, std::span<const float> row) {
    all.insert(all.end(), row.begin(), row.end());
    return Status();
  });
  EXPECT_TRUE(status.ok()) << status.message();
  return all;
}

}  // namespace rill
