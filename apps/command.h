#pragma once
// What every command of `rill` is made of. A file registers its command with CLI11 and names what runs it.

#include <functional>
#include <string>

#include "platform/status.h"

namespace CLI {
class App;
class ParseError;
class Validator;
}  // namespace CLI

namespace rill::apps {

/// For an option's check(): what a number has to be.
CLI::Validator above_zero();
CLI::Validator at_least(int least);

/// Runs a command once its command line has been read; its status is the process's exit code and sentence.
using Action = std::function<Status()>;

/// Adds a subcommand; when it was chosen, `action` is set to what runs it.
void add_quantize(CLI::App& app, Action& action);
void add_inspect(CLI::App& app, Action& action);
void add_plan(CLI::App& app, Action& action);
void add_chat(CLI::App& app, Action& action);
void add_generate(CLI::App& app, Action& action);
void add_tokenize(CLI::App& app, Action& action);
void add_logits(CLI::App& app, Action& action);
void add_perplexity(CLI::App& app, Action& action);
void add_streameval(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_soak(CLI::App& app, Action& action);
void add_kernels(CLI::App& app, Action& action);
void add_voice(CLI::App& app, Action& action);
void add_wyoming(CLI::App& app, Action& action);
/// All of them, in the order of `rill --help`.
void add_all_commands(CLI::App& app, Action& action);

/// kUsage: what is wrong with a command line that CLI11 did not take.
Status explain(const CLI::App& app, const CLI::ParseError& error);
/// kUsage for an option that is given with nothing (a variable that a script never set, say), unless it is a text.
Status check_values(const CLI::App& app);
/// kUsage where a file to be written is one that the same command line reads or writes elsewhere, or is in a directory
/// that it reads: it would be replaced.
Status check_paths(const CLI::App& app);
/// True if two paths lead to one place, whether something is there or not. False for what cannot be looked at.
bool leads_to(const std::string& path, const std::string& place);

}  // namespace rill::apps
