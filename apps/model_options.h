#pragma once
// The options that every command running a model takes (CLI.md), and what they make of a model.

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "apps/plan_report.h"
#include "core/chat_template.h"
#include "core/engine.h"
#include "core/sampler.h"
#include "platform/status.h"

namespace CLI {
class App;
}

namespace rill::apps {

/// The command line as written; turned into engine and sampling options once the model is open.
struct ModelArguments {
  std::string model;
  std::string policy = "stream";
  std::string sinks;  ///< a number, or "system": the whole system prompt; empty: the policy's default
  std::int64_t window = -1;
  std::uint32_t chunk = 0;
  std::uint32_t threads = 0;
  std::uint32_t draft = 0;  ///< of the commands with add_draft_argument()
  std::string kernels;
  std::string budget;
  bool in_ram = false;
  bool json = false;

  std::uint64_t seed = 1;
  float temperature = -1;
  std::int64_t top_k = -1;
  float top_p = -1;
  float min_p = -1;
  float repeat_penalty = -1;
};

/// Adds MODEL, the options of engine and sampling, and --json: what CLI.md promises of every command running a model.
void add_model_arguments(CLI::App& command, ModelArguments& arguments);
/// Adds --draft, on by default: for commands that make text.
void add_draft_argument(CLI::App& command, ModelArguments& arguments);
/// In the help of commands that only feed what is given.
inline constexpr char kSamplesNothing[] =
    "Nothing is sampled here: --seed, --temp and the other options of sampling are taken and change nothing.\n";

/// What the caller knows about the stream, for defaults that depend on it.
struct StreamNeeds {
  std::uint32_t dense_capacity = 0;  ///< tokens of a dense cache unless --window says; 0: the model's training length
  std::optional<std::uint32_t> system_tokens = {};  ///< what --sinks system stands for; without, it is refused
  std::uint32_t logits_rows = 1;
  bool keeps_state = false;  ///< --state
  bool reads_text = true;    ///< false: the engine is given ids only, and takes no tokenizer
};

/// kUsage for what cannot be understood or does not go together.
Result<EngineOptions> engine_options(const ModelArguments& arguments, const ModelConfig& config,
                                     const StreamNeeds& needs);
/// The model's own sampling where the command line says nothing.
SamplingOptions sampling_options(const ModelArguments& arguments, const ModelConfig& config);

/// "stream 4+1020", "window 256": a policy in a legend.
std::string label_of(const CachePolicy& policy);

/// Tokens of the system prompt, which `--sinks system` pins: none where that is not asked for. kOverBudget if counting
/// them alone takes more than --budget.
Result<std::optional<std::uint32_t>> system_sinks(const ModelArguments& a, const ModelFile& model, const ChatForm& form,
                                                  std::string_view system);

/// "64M", "512KiB", "1000": bytes. K, M and G are powers of 1000, KiB, MiB and GiB of 1024.
/// @param option  what an error calls it: "--budget"
Result<std::uint64_t> parse_size(std::string_view option, std::string_view written);

/// Plans, starts, and reads a mapped model's pages in. Over budget: prints the plan and the ways to fit to standard
/// error and returns the status.
/// @param besides  what shares the budget with the model
Result<Engine> start_engine(const ModelFile& model, EngineOptions options, std::span<const ItemBeside> besides = {});

}  // namespace rill::apps
