#include "apps/model_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <string>

#include "apps/command.h"
#include "apps/plan_report.h"
#include "core/conversation.h"
#include "platform/kernels/kernels.h"
#include "platform/process_memory.h"

namespace rill::apps {
namespace {

/// As many as, with the certain token, go through a matrix together on AVX-512.
constexpr std::uint32_t kDefaultDraft = 5;

constexpr std::uint32_t kDefaultWindow = 1020;

Result<std::uint32_t> parse_sinks(const std::string& argument, std::uint32_t default_sinks,
                                  std::optional<std::uint32_t> system_tokens) {
  if (argument.empty()) return default_sinks;
  if (argument == "system" && system_tokens.has_value()) return *system_tokens;
  std::uint32_t sinks = 0;
  const char* end = argument.data() + argument.size();
  const auto parsed = std::from_chars(argument.data(), end, sinks);
  if (parsed.ec != std::errc() || parsed.ptr != end) {
    return bad_usage({.where = text("--sinks"),
                      .what = argument == "system" ? text("there is no system prompt here") : text(argument),
                      .expected = argument == "system" ? text("a number") : text("a number, or \"system\""),
                      .remedy = {}});
  }
  return sinks;
}

/// The window where nobody says: 1020, or what the model's learned positions leave.
std::uint32_t default_window(const ModelConfig& config, std::uint32_t sinks) {
  if (config.position != Position::kLearned || config.context_length <= sinks + 1) return kDefaultWindow;
  return std::min(kDefaultWindow, config.context_length - 1 - sinks);
}

Result<CachePolicy> parse_policy(const ModelArguments& a, const ModelConfig& config, const StreamNeeds& needs) {
  const auto window = [&](std::uint32_t otherwise) {
    return a.window < 0 ? otherwise : static_cast<std::uint32_t>(a.window);
  };
  if (a.policy == "stream") {
    RILL_ASSIGN(const std::uint32_t sinks, parse_sinks(a.sinks, config.default_sinks, needs.system_tokens));
    return stream_policy(sinks, window(default_window(config, sinks)));
  }
  if (a.policy != "window" && a.policy != "dense" && a.policy != "recompute") {
    return bad_usage({.where = text("--policy"),
                      .what = text(a.policy),
                      .expected = text("stream, dense, window or recompute"),
                      .remedy = {}});
  }
  // One command line may be used for every policy.
  RILL_ASSIGN(const std::uint32_t sinks, parse_sinks(a.sinks, 0, 1));
  if (sinks != 0) {
    std::fprintf(stderr, "rill: --sinks %s: policy %s has no sinks; going on without\n", a.sinks.c_str(),
                 a.policy.c_str());
  }
  if (a.policy == "window") return window_policy(window(default_window(config, 0)));
  const std::uint32_t own_sink = config.sink_token != kNoToken ? 1 : 0;
  if (a.policy == "recompute") return recompute_policy(window(default_window(config, own_sink)));
  const std::uint32_t trained = config.context_length > own_sink ? config.context_length - own_sink : kDefaultWindow;
  return dense_policy(window(needs.dense_capacity > 0 ? needs.dense_capacity : trained));
}

/// What --budget says; 0 where it is not given.
Result<std::uint64_t> budget_of(const ModelArguments& a) {
  return a.budget.empty() ? Result<std::uint64_t>(std::uint64_t{0}) : parse_size("--budget", a.budget);
}

void add_sampling_arguments(CLI::App& command, ModelArguments& a) {
  command.add_option("--seed", a.seed, "Seed: the same seed gives the same text")->capture_default_str();
  command.add_option("--temp", a.temperature, "Temperature; 0 is greedy (default: the model's own, else 0.7)")
      ->check(at_least(0));
  command.add_option("--top-k", a.top_k, "Sample from the k most probable tokens only; 0: all")->check(at_least(0));
  command
      .add_option("--top-p", a.top_p,
                  "Sample from the most probable tokens that together reach p, of what --top-k left")
      ->check(CLI::Range(0.0, 1.0));
  command
      .add_option("--min-p", a.min_p,
                  "Drop tokens less probable than this share of the most probable (default: the model's own, else 0)")
      ->check(CLI::Range(0.0, 1.0));
  command
      .add_option("--repeat-penalty", a.repeat_penalty,
                  "Makes the last 64 tokens less likely; 1 is off (default: the model's own, else 1)")
      ->check(CLI::Range(0.01, 100.0));
}

}  // namespace

Result<std::optional<std::uint32_t>> system_sinks(const ModelArguments& a, const ModelFile& model, const ChatForm& form,
                                                  std::string_view system) {
  if (a.sinks != "system") return std::optional<std::uint32_t>();
  RILL_ASSIGN(const std::uint64_t budget, budget_of(a));
  const Result<std::uint32_t> count = count_system_tokens(model, form, system, budget);
  // The plan does not fit either, whatever the number is, and says more.
  if (count.status().code() == Code::kOverBudget) return std::optional(model.config().default_sinks);
  RILL_TRY(count.status());
  return std::optional(*count);
}

void add_model_arguments(CLI::App& command, ModelArguments& a) {
  command.add_option("MODEL", a.model, "A .rill model file (made by `rill quantize`)")->required();
  command.add_option("--budget", a.budget,
                     "Most RAM for the model, mapped weights included (64M: millions of bytes, 64MiB: of 2^20); over "
                     "it: refuse, exit 3");
  command.add_option("--policy", a.policy, "Cache policy: stream, dense, window or recompute")->capture_default_str();
  command.add_option(
      "--sinks", a.sinks,
      "Pinned slots: a number, or `system` for the whole system prompt (default: the model file's, mostly 4)");
  command
      .add_option("--window", a.window,
                  "Slots of the ring: the tokens before it that a token sees (default: 1020; with\n--policy dense all "
                  "that there is to feed, in a chat what the model was trained for)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{kMostWindow}));
  command
      .add_option("--chunk", a.chunk,
                  "Prefill chunk, 1 to 4096 tokens; never changes a bit of the result (default: chosen by the plan)")
      ->check(above_zero());
  command
      .add_option(
          "--threads", a.threads,
          "Worker threads, the caller included, 1 to 64 (default: physical cores, at most 8;\nfewer under a CPU quota)")
      ->check(above_zero());
  command.add_option("--kernels", a.kernels, "Force a kernel set; `rill kernels` lists them");
  command.add_flag("--in-ram", a.in_ram, "Copy the weights into the arena instead of mapping the file");
  add_sampling_arguments(command, a);
  command.add_flag("--json", a.json, "Print JSON on standard output");
}

void add_draft_argument(CLI::App& command, ModelArguments& a) {
  a.draft = kDefaultDraft;
  command
      .add_option(
          "--draft", a.draft,
          "Most tokens to guess from what was said before and to compute in the same pass; the text is the same "
          "with any number, 0 (none) to 15, only faster where it repeats itself")
      ->capture_default_str();
}

Result<EngineOptions> engine_options(const ModelArguments& a, const ModelConfig& config, const StreamNeeds& needs) {
  EngineOptions options;
  RILL_ASSIGN(options.policy, parse_policy(a, config, needs));
  options.chunk = a.chunk;
  options.threads = a.threads;
  options.reads_text = needs.reads_text;
  options.in_ram = a.in_ram;
  options.logits_rows = needs.logits_rows;
  options.keeps_state = needs.keeps_state;
  options.draft = a.draft;
  if (!a.kernels.empty()) {
    options.kernels = kernels::find_kernel_set(a.kernels);
    if (options.kernels == nullptr) {
      return bad_usage({.where = text("--kernels"),
                        .what = text("there is no kernel set ", a.kernels, " in this build"),
                        .expected = {},
                        .remedy = text("`rill kernels` lists them")});
    }
  }
  RILL_ASSIGN(options.budget_bytes, budget_of(a));
  return options;
}

SamplingOptions sampling_options(const ModelArguments& a, const ModelConfig& config) {
  return {
      .temperature = a.temperature >= 0 ? a.temperature : static_cast<float>(config.temperature),
      .top_k = a.top_k >= 0 ? static_cast<std::uint32_t>(std::min<std::int64_t>(a.top_k, UINT32_MAX)) : config.top_k,
      .top_p = a.top_p >= 0 ? a.top_p : static_cast<float>(config.top_p),
      .min_p = a.min_p >= 0 ? a.min_p : static_cast<float>(config.min_p),
      .repeat_penalty = a.repeat_penalty > 0        ? a.repeat_penalty
                        : config.repeat_penalty > 0 ? static_cast<float>(config.repeat_penalty)
                                                    : 1.0F,
      .seed = a.seed};
}

std::string label_of(const CachePolicy& policy) {
  return std::string(policy.name) + " " + (policy.sinks > 0 ? std::to_string(policy.sinks) + "+" : "") +
         std::to_string(policy.window);
}

Result<std::uint64_t> parse_size(std::string_view option, std::string_view written) {
  struct Unit {
    std::string_view name;
    std::uint64_t bytes;
  };
  constexpr Unit kUnits[] = {{"", 1},
                             {"K", 1000},
                             {"M", 1000'000},
                             {"G", 1000'000'000},
                             {"KiB", 1ULL << 10U},
                             {"MiB", 1ULL << 20U},
                             {"GiB", 1ULL << 30U}};
  std::uint64_t number = 0;
  const char* end = written.data() + written.size();
  const auto parsed = std::from_chars(written.data(), end, number);
  if (parsed.ec == std::errc()) {
    const std::string_view unit(parsed.ptr, static_cast<std::size_t>(end - parsed.ptr));
    for (const Unit& known : kUnits) {
      const Size bytes = Size(number) * Size(known.bytes);
      if (known.name == unit && !bytes.wrapped && number > 0) return bytes.value;
    }
  }
  return bad_usage(
      {.where = text(option),
       .what = text(written),
       .expected = text("a whole number above 0, alone or as in 64M (millions of bytes) or 64MiB (of 2^20)"),
       .remedy = {}});
}

Result<Engine> start_engine(const ModelFile& model, EngineOptions options, std::span<const ItemBeside> besides) {
  options.beside_bytes = bytes_of(besides);
  RILL_ASSIGN(const EnginePlan plan, plan_engine(model, options));
  if (!plan.fits()) {
    print_plan(stderr, plan, besides);
    print_ways_to_fit(stderr, outline_of(model), options);
    return plan.check_budget();
  }
  // What only the start needs, the arena and the weights are never in memory together.
  release_startup_memory();
  Result<Engine> engine = Engine::start(model, options);
  release_startup_memory();
  if (engine.ok() && !options.in_ram) model.prefault();
  return engine;
}

}  // namespace rill::apps
