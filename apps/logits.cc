// rill logits: the logits after every id of a file.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/model_options.h"
#include "apps/progress.h"
#include "apps/text_input.h"
#include "core/checksum.h"
#include "quant/safetensors_writer.h"

namespace rill::apps {
namespace {

struct LogitsArguments {
  ModelArguments model;
  std::string ids;
  std::string output;
};

Status run_logits(const LogitsArguments& arguments) {
  RILL_ASSIGN(const ModelFile model, ModelFile::open(arguments.model.model));
  RILL_ASSIGN(const std::vector<Token> ids, read_ids(arguments.ids, model.config().vocabulary));
  RILL_ASSIGN(
      const EngineOptions options,
      engine_options(arguments.model, model.config(),
                     {.dense_capacity = static_cast<std::uint32_t>(std::min<std::size_t>(ids.size(), UINT32_MAX)),
                      .logits_rows = 8,
                      .reads_text = false}));
  RILL_ASSIGN(Engine engine, start_engine(model, options));
  RILL_ASSIGN(auto file,
              quant::SafetensorsWriter::create(arguments.output, "logits", ids.size(), model.config().vocabulary));
  std::uint32_t checksum = 0;
  Progress progress("logits", "tokens");
  RILL_TRY(engine.session(0).evaluate(ids, [&](std::size_t index, std::span<const float> logits) {
    progress.update(index + 1, ids.size());
    checksum = crc32(std::as_bytes(logits), checksum);
    return file.write_row(logits);
  }));
  RILL_TRY(file.commit());
  progress.wipe();
  if (arguments.model.json) {
    std::cout << nlohmann::ordered_json{{"tokens", ids.size()},
                                        {"vocab", model.config().vocabulary},
                                        {"logits_crc32", checksum}}
                     .dump(2)
              << '\n';
  } else {
    std::cout << arguments.output << ": " << ids.size() << " rows of " << model.config().vocabulary << ", crc32 "
              << checksum << '\n';
  }
  return {};
}

}  // namespace

void add_logits(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<LogitsArguments>();
  CLI::App& command = *app.add_subcommand("logits", "Write the logits after every id, as safetensors");
  add_model_arguments(command, arguments->model);
  command.add_option("--ids", arguments->ids, "A file with ids, separated by white space")->required();
  command.add_option("--out", arguments->output, "The safetensors file to write: tensor `logits`, F32, [n, vocab]")
      ->required();
  command.footer(std::string(kSamplesNothing) +
                 "Example: rill logits smollm2.rill --ids ids.txt --out logits.safetensors --policy dense");
  command.callback([arguments, &action] { action = [arguments] { return run_logits(*arguments); }; });
}

}  // namespace rill::apps
