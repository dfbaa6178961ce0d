#include "apps/command.h"

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <span>
#include <system_error>

namespace rill::apps {
namespace {

namespace fs = std::filesystem;

/// The options whose value is a path, in whichever command: what is written there first.
constexpr std::size_t kOutputs = 5;
constexpr const char* kPaths[] = {"--output", "--out",  "--nll-out", "--plot",      "--state",     "MODEL", "SRC",
                                  "FILE",     "--file", "--ids",     "--tokenizer", "--plot-with", "--in"};

/// @returns what the error calls it where writing `output` would replace what `value` names; empty if it is safe.
/// @param is_output  `value` will be written too, so that nothing need be there yet
Text replaced_by(const std::string& output, const std::string& value, bool is_output) {
  std::error_code error;
  const bool is_there = fs::is_regular_file(output, error);  // "-" and "alsa:default" may be given twice
  if (leads_to(output, value) && (is_there || is_output)) return text("the same file");
  const bool is_in_it = is_there && fs::is_directory(value, error) && fs::path(output).extension() != ".rill" &&
                        leads_to(fs::absolute(output, error).parent_path().string(), value);
  return is_in_it ? text("a file of the same directory") : Text();
}

Status check_output(const CLI::App& command, const CLI::Option& option) {
  const std::string& output = option.results().back();
  for (std::size_t i = 0; i < std::size(kPaths); ++i) {
    const CLI::Option* const other = command.get_option_no_throw(kPaths[i]);
    if (other == nullptr || other == &option) continue;
    const bool has_label = kPaths[i] == std::string_view("--plot-with");  // LABEL=FILE
    for (const std::string& value : other->results()) {
      const Text replaced = replaced_by(output, has_label ? value.substr(value.find('=') + 1) : value, i < kOutputs);
      if (replaced.view().empty()) continue;
      return bad_usage({.where = text(option.get_name(), " ", output),
                        .what = text(replaced, " as ", other->get_name(), " ", value, ", which would be replaced"),
                        .expected = text("a file that nothing else on the command line names"),
                        .remedy = {}});
    }
  }
  return {};
}

}  // namespace

bool leads_to(const std::string& path, const std::string& place) {
  std::error_code error;
  const auto whole = [&error](const std::string& given) {
    const fs::path from_root = fs::absolute(given, error);  // first: a name alone, with nothing there, stays as it is
    return error ? fs::path() : fs::weakly_canonical(from_root, error);
  };
  if (path.empty() || place.empty()) return false;
  const fs::path first = whole(path);
  return !error && first == whole(place) && !error;
}

Status check_paths(const CLI::App& app) {
  for (const CLI::App* const command : app.get_subcommands()) {
    for (const char* const name : kPaths) {
      const CLI::Option* const option = command->get_option_no_throw(name);
      if (option == nullptr || option->results().empty() || !option->results().back().empty()) continue;
      return bad_usage(
          {.where = text(option->get_name()), .what = text("an empty path"), .expected = {}, .remedy = {}});
    }
    for (const char* const name : std::span(kPaths).first(kOutputs)) {
      const CLI::Option* const option = command->get_option_no_throw(name);
      const bool writes = command->get_name() != "plan";
      if (writes && option != nullptr && !option->results().empty()) RILL_TRY(check_output(*command, *option));
    }
  }
  return {};
}

void add_all_commands(CLI::App& app, Action& action) {
  add_chat(app, action);
  add_plan(app, action);
  add_quantize(app, action);
  add_inspect(app, action);
  add_generate(app, action);
  add_tokenize(app, action);
  add_logits(app, action);
  add_perplexity(app, action);
  add_streameval(app, action);
  add_bench(app, action);
  add_soak(app, action);
  add_kernels(app, action);
  add_voice(app, action);
  add_wyoming(app, action);
}

Status check_numbers(const CLI::App& app) {
  for (const CLI::App* const command : app.get_subcommands()) {
    for (const CLI::Option* const option : command->get_options()) {
      const std::string type = option->get_type_name();
      for (const std::string& given : option->results()) {
        const bool is_finite = !type.starts_with("FLOAT") || std::isfinite(std::strtod(given.c_str(), nullptr));
        if (is_finite && !(type.starts_with("UINT") && given.starts_with('-'))) continue;
        return bad_usage({.where = text(option->get_name()),
                          .what = text(given),
                          .expected = text(is_finite ? "0 or more" : "a finite number"),
                          .remedy = {}});
      }
    }
  }
  return {};
}

}  // namespace rill::apps
