// A command line, an argument a line: what CLI11 and Rill's options make of it. Nothing is run: a command may write
// files where it is told to.

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/model_options.h"
#include "tests/fuzz/small_models.h"
#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest = rill::fuzz::text_of(data, size);
  std::vector<std::string> words;
  while (!rest.empty() && words.size() < 64) {
    const std::size_t newline = rest.find('\n');
    words.emplace_back(rest.substr(0, newline));
    rest.remove_prefix(newline == std::string_view::npos ? rest.size() : newline + 1);
  }
  std::vector<const char*> arguments = {"rill"};
  for (const std::string& word : words) arguments.push_back(word.c_str());

  CLI::App app{"Rill", "rill"};
  app.require_subcommand(1);
  rill::apps::Action action;
  rill::apps::add_all_commands(app, action);
  try {
    app.parse(static_cast<int>(arguments.size()), arguments.data());
    static_cast<void>(rill::apps::check_values(app).ok());
  } catch (const CLI::ParseError& error) {
    rill::fuzz::require(action == nullptr, "a command line that is refused runs nothing");
    const rill::Status status = rill::apps::explain(app, error);
    rill::fuzz::require(status.code() == rill::Code::kUsage && !status.message().empty(), "a sentence says why");
  }
  if (!words.empty()) static_cast<void>(rill::apps::parse_size("--budget", words.back()).ok());

  // What the words make of a model's options goes on to the plan.
  rill::apps::ModelArguments model;
  CLI::App command{"model"};
  rill::apps::add_model_arguments(command, model);
  try {
    command.parse(static_cast<int>(arguments.size()), arguments.data());
  } catch (const CLI::ParseError&) {
    return 0;
  }
  const rill::ModelConfig config = rill::fuzz::small_config(300);
  const auto options = rill::apps::engine_options(model, config, {.dense_capacity = 100});
  if (!options.ok()) return 0;
  static_cast<void>(rill::apps::sampling_options(model, config));
  if (const auto outline = rill::outline_of(config); outline.ok()) {
    static_cast<void>(rill::plan_engine(*outline, *options).ok());
  }
  return 0;
}
