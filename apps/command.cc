#include "apps/command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "platform/output_file.h"

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

/// `rill voice` takes and writes raw audio there; to the others it is a file of that name.
bool is_stream(const CLI::App& command, const std::string& value) {
  return command.get_name() == "voice" && value == "-";
}

Status check_output(const CLI::App& command, const CLI::Option& option) {
  const std::string& output = option.results().back();
  for (std::size_t i = 0; i < std::size(kPaths); ++i) {
    const CLI::Option* const other = command.get_option_no_throw(kPaths[i]);
    if (other == nullptr || other == &option) continue;
    const bool has_label = kPaths[i] == std::string_view("--plot-with");  // LABEL=FILE
    for (const std::string& value : other->results()) {
      if (is_stream(command, output) || is_stream(command, value)) continue;
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

/// CLI11's own conversions take numbers that begin with 0 for octal ones, make 2^64 - 1 of -1 and of what is larger,
/// and let `nan` pass.
std::string read_whole_number(std::string& given) {
  std::uint64_t number = 0;
  const char* const end = given.data() + given.size();
  const auto parsed = std::from_chars(given.data(), end, number);
  if (parsed.ec == std::errc::result_out_of_range) return given + ", expected a smaller number";
  if (parsed.ec != std::errc() || parsed.ptr != end) return given + ", expected a whole number, 0 or more";
  given = std::to_string(number);
  return {};
}
std::string check_number(std::string& given) {
  char* end = nullptr;
  const double number = std::strtod(given.c_str(), &end);
  return *end == '\0' && std::isfinite(number) ? "" : given + ", expected a finite number";
}

void make_numbers_plain(CLI::App& app) {
  for (CLI::App* const command : app.get_subcommands([](CLI::App*) { return true; })) {
    for (CLI::Option* const option : command->get_options([](CLI::Option*) { return true; })) {
      const std::string type = option->get_type_name();
      if (type.starts_with("UINT") || type.starts_with("INT")) option->transform(CLI::Validator(read_whole_number, ""));
      if (type.starts_with("FLOAT")) option->transform(CLI::Validator(check_number, ""));
    }
  }
}

/// What CLI11 says of a value that is missing, is there twice, or is too large for what it is read into, in our words.
Status explain_value(std::string_view said, const Text& help) {
  constexpr std::string_view kNotConverted = "Could not convert: ";  // NAME = VALUE
  constexpr std::string_view kEquals = " = ";
  if (said.starts_with(kNotConverted)) {
    said.remove_prefix(kNotConverted.size());
    const std::size_t equals = std::min(said.find(kEquals), said.size());
    return bad_usage({.where = text(said.substr(0, equals)),
                      .what = text(said.substr(std::min(equals + kEquals.size(), said.size()))),
                      .expected = text("a smaller number"),
                      .remedy = help});
  }
  const Text where = text(said.substr(0, said.find(": ")));
  if (said.ends_with(" missing")) {
    return bad_usage({.where = where, .what = text("there is no value behind it"), .expected = {}, .remedy = help});
  }
  if (said.find(": At Most 1 required") != std::string_view::npos) {
    return bad_usage({.where = where, .what = text("given more than once"), .expected = {}, .remedy = help});
  }
  return bad_usage({.where = {}, .what = text(said), .expected = {}, .remedy = help});
}

}  // namespace

CLI::Validator above_zero() {
  return CLI::Validator(
      [](std::string& given) {
        return std::strtod(given.c_str(), nullptr) > 0 ? "" : given + ", expected more than 0";
      },
      "");
}

CLI::Validator at_least(int least) {
  return CLI::Validator(
      [least](std::string& given) {
        const bool is_enough = std::strtod(given.c_str(), nullptr) >= least;
        return is_enough ? "" : given + ", expected " + std::to_string(least) + " or more";
      },
      "");
}

Status explain(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  const CLI::App& command = chosen.empty() ? app : *chosen.front();
  const Text help = text("see `rill ", chosen.empty() ? "" : command.get_name() + " ", "--help`");
  const std::vector<std::string> unexpected = app.remaining(true);
  const bool lacks_something = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  const bool has_too_much = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
  const bool is_option_or_command = !unexpected.empty() && (unexpected.front().starts_with('-') || chosen.empty());
  if (unexpected.empty() || !(has_too_much || (lacks_something && is_option_or_command))) {
    return explain_value(error.what(), help);
  }
  const Text where = text(unexpected.front());
  if (unexpected.front().starts_with('-')) {
    return bad_usage({.where = where, .what = text("there is no such option"), .expected = {}, .remedy = help});
  }
  if (chosen.empty()) {
    Text commands;
    for (const CLI::App* const each : app.get_subcommands([](const CLI::App*) { return true; })) {
      commands.append(text(commands.empty() ? "" : ", ", each->get_name()).view());
    }
    return bad_usage({.where = where, .what = text("there is no such command"), .expected = commands, .remedy = {}});
  }
  const bool takes_text = command.get_option_no_throw("--prompt") != nullptr;
  return bad_usage({.where = where,
                    .what = text("an argument too many"),
                    .expected = {},
                    .remedy = text(takes_text ? "a text goes after -p; " : "", help)});
}

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

Status check_values(const CLI::App& app) {
  constexpr const char* kTexts[] = {"--prompt", "--system", "--wake", "TEXT", "--plot-label"};
  for (const CLI::App* const command : app.get_subcommands()) {
    for (const CLI::Option* const option : command->get_options()) {
      const bool is_text = std::ranges::any_of(kTexts, [&](const char* text) { return option->check_name(text); });
      const bool is_given = std::ranges::none_of(option->results(), &std::string::empty);
      if (is_text || is_given) continue;
      return bad_usage(
          {.where = text(option->get_name()), .what = text("an empty value"), .expected = {}, .remedy = {}});
    }
  }
  return {};
}

Status check_paths(const CLI::App& app) {
  for (const CLI::App* const command : app.get_subcommands()) {
    for (const char* const name : std::span(kPaths).first(kOutputs)) {
      const CLI::Option* const option = command->get_option_no_throw(name);
      if (command->get_name() == "plan" || option == nullptr || option->results().empty()) continue;
      RILL_TRY(check_output(*command, *option));
      // What is written at the end: it is seen at the beginning whether it will have a place.
      if (name == std::string_view("--plot") || name == std::string_view("--nll-out"))
        RILL_TRY(OutputFile::create(option->results().back()).status());
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
  make_numbers_plain(app);
}

}  // namespace rill::apps
