// rill generate: a raw continuation, without a chat form.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/model_options.h"
#include "apps/sandbox_option.h"
#include "apps/shown_text.h"
#include "apps/text_input.h"

namespace rill::apps {
namespace {

struct GenerateArguments {
  ModelArguments model;
  std::string prompt;
  std::string ids;
  std::uint64_t tokens = 128;
  bool special = false;
  bool sandbox = false;
};

Status run_generate(const GenerateArguments& arguments) {
  RILL_TRY(prepare_sandbox(arguments.sandbox, {}));
  RILL_ASSIGN(const ModelFile model, ModelFile::open(arguments.model.model));
  std::vector<Token> prompt;
  if (!arguments.ids.empty()) {
    RILL_ASSIGN(prompt, read_ids(arguments.ids, model.config().vocabulary));
  } else {
    RILL_ASSIGN(prompt,
                TextTokenizer::encode_with(model, arguments.prompt,
                                           arguments.special ? SpecialTokens::kControl : SpecialTokens::kText, true));
  }
  if (prompt.empty()) {
    return bad_usage({.where = text("-p"),
                      .what = text("an empty prompt"),
                      .expected = text("at least one token"),
                      .remedy = text("give some text, or --ids FILE")});
  }
  constexpr std::uint64_t kMost = 1U << 24U;  // each of the two, so that their sum does not wrap
  const auto capacity = static_cast<std::uint32_t>(std::min<std::uint64_t>(prompt.size(), kMost) +
                                                   std::min<std::uint64_t>(arguments.tokens, kMost));
  RILL_ASSIGN(const EngineOptions options,
              engine_options(arguments.model, model.config(), {.dense_capacity = capacity}));
  RILL_ASSIGN(Engine engine, start_engine(model, options));
  Session& session = engine.session(0);
  session.set_sampling(sampling_options(arguments.model, model.config()));
  const ShownText shown(stdout);
  RILL_TRY(close_sandbox(arguments.sandbox, {.memory = true}));

  const Tokenizer* const tokenizer = engine.tokenizer();
  Utf8Stream characters;
  std::vector<char> buffer(4096);
  std::string generated;
  std::vector<Token> tokens;
  const auto show = [&](std::string_view part) {
    if (arguments.model.json) {
      generated += part;
    } else {
      shown.write(part);
      std::fflush(stdout);
    }
  };
  Token token = kNoToken;
  for (std::uint64_t made = 0; made < arguments.tokens && std::ferror(stdout) == 0; ++made) {
    RILL_ASSIGN(const std::span<const float> logits,
                token == kNoToken ? session.prefill(prompt) : session.advance(token));
    token = session.sample(logits);
    if (tokenizer != nullptr && tokenizer->ends_text(token)) break;
    if (arguments.model.json) tokens.push_back(token);
    if (tokenizer != nullptr) show(characters.add(tokenizer->bytes_of(token).substr(0, 1024), buffer));
  }
  show(characters.finish(buffer));
  if (arguments.model.json) {
    std::cout << without_controls(nlohmann::ordered_json{{"text", generated}, {"tokens", tokens}}.dump()) << '\n';
  } else {
    std::fputc('\n', stdout);
  }
  return {};
}

}  // namespace

void add_generate(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<GenerateArguments>();
  CLI::App& command = *app.add_subcommand("generate", "Continue a text as it is, without a chat form");
  add_model_arguments(command, arguments->model);
  add_draft_argument(command, arguments->model);
  add_sandbox_argument(command, arguments->sandbox);
  auto* prompt = command.add_option("-p,--prompt", arguments->prompt, "The text to continue");
  command.add_option("--ids", arguments->ids, "A file with the prompt's ids instead")->excludes(prompt);
  command.add_option("-n", arguments->tokens, "Most tokens to make")->capture_default_str();
  command.add_flag("--special", arguments->special, "Special tokens spelt out in the prompt count as such");
  command.footer("Example: rill generate stories260K.rill -p \"Once upon a time\" -n 100 --temp 0");
  command.callback([arguments, &action] { action = [arguments] { return run_generate(*arguments); }; });
}

}  // namespace rill::apps
