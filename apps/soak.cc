// rill soak: an endless stream inside the budget, watched for anything that grows.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "apps/command.h"
#include "apps/interrupt.h"
#include "apps/model_options.h"
#include "apps/plan_report.h"
#include "apps/sandbox_option.h"
#include "apps/soak_faults.h"
#include "apps/soak_watch.h"
#include "platform/process_memory.h"

namespace rill::apps {
namespace {

struct SoakArguments {
  ModelArguments model;
  std::optional<std::uint64_t> tokens;
  SoakLimits limits;
  bool faults = false;
  bool sandbox = false;
};

constexpr std::uint64_t kDefaultTokens = 20000;

/// Tokens before the measurement begins: everything that is touched once has been touched then. 16 were too few: pages
/// of code came in after them.
constexpr std::uint64_t kWarmUp = 96;

/// Of the program itself, beside the plan: its code, its libraries, its stack. 4.8 MiB were measured at the most.
constexpr std::uint64_t kMostBesidePlan = std::uint64_t{8} << 20U;

/// Log of the sum of exponentials: what turns a logit into a probability. A double a token, no memory.
double log_sum_exp(std::span<const float> logits) {
  const double top = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return std::log(sum) + top;
}

/// The model talks to itself: each token is drawn from its own distribution and fed back.
class SelfTalk {
 public:
  explicit SelfTalk(Engine& engine) : session_(engine.session(0)) {
    const Tokenizer* const tokenizer = engine.tokenizer();
    const Token first = tokenizer != nullptr ? tokenizer->beginning_of_text() : kNoToken;
    token_ = std::min(first == kNoToken ? Token{1} : first, engine.model().config().vocabulary - 1);
  }

  /// @param watch  hears of the token
  Status make_one(SoakWatch& watch) {
    const auto start = SoakWatch::Clock::now();
    RILL_ASSIGN(const std::span<const float> logits, session_.prefill({&token_, 1}));
    token_ = session_.sample(logits);
    const auto end = SoakWatch::Clock::now();
    watch.add(std::chrono::duration<double>(end - start).count(),
              log_sum_exp(logits) - static_cast<double>(logits[token_]));
    return {};
  }
  Token& token() { return token_; }

 private:
  Session& session_;
  Token token_ = 0;
};

/// Runs all code once that the measurement will run, faults included: what it touches first comes in with it.
Status warm_up(Engine& engine, SelfTalk& talk, SoakFaults* faults) {
  if (faults != nullptr) RILL_TRY(faults->do_all());
  const CachePolicy& policy = engine.session(0).policy();
  SoakWatch watch(SoakLimits{});
  watch.begin();
  // Until the ring has gone round once there is code that has not run yet.
  const std::uint64_t tokens = kWarmUp + (policy.is_endless() ? std::uint64_t{policy.sinks} + policy.window : 0);
  for (std::uint64_t i = 0; i < tokens; ++i) {
    // A pause sends the workers to sleep: on a busy machine they do later, and that code must have run as well.
    if (i == tokens / 2) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (stop_pending()) return {};
    RILL_TRY(talk.make_one(watch));
    watch.report();
  }
  watch.end();
  watch.print_line("warm-up");
  return {};
}

Status soak(Engine& engine, const SoakArguments& arguments, SoakFaults* faults, SoakWatch& watch) {
  SelfTalk talk(engine);
  RILL_TRY(warm_up(engine, talk, faults));
  RILL_TRY(close_sandbox(arguments.sandbox, {.memory = true}));  // for the report at the end
  watch.begin();
  while (watch.goes_on() && !stop_pending()) {
    RILL_TRY(talk.make_one(watch));
    if (faults != nullptr) RILL_TRY(faults->maybe(talk.token()));
    watch.report();
  }
  watch.end();
  return {};
}

/// What was not measured is null.
nlohmann::ordered_json known(bool is_known, double value) {
  return is_known ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
}

void print_json(const SoakWatch& watch, const SoakFaults* faults, const EnginePlan& plan) {
  const bool has_tokens = watch.tokens() > 0;
  nlohmann::ordered_json report{
      {"tokens", watch.tokens()},
      {"rss_start_bytes", watch.rss_start()},
      {"rss_end_bytes", watch.rss_end()},
      {"rss_peak_bytes", peak_resident_bytes()},
      {"allocations_after_start", watch.allocations()},
      {"worst_over_median", known(has_tokens, watch.worst_s() / watch.median_s())},
      {"nll_first_quarter", known(watch.first_quarter().tokens > 0, watch.first_quarter().mean())},
      {"nll_last_quarter", known(watch.last_quarter().tokens > 0, watch.last_quarter().mean())},
      {"median_s", known(has_tokens, watch.median_s())},
      {"worst_s", known(has_tokens, watch.worst_s())},
      {"seconds", watch.seconds()},
      {"rss_most_bytes", watch.rss_most()},
      {"plan_bytes", plan.memory.total_bytes()},
      {"passed", watch.verdict().ok()}};
  if (faults != nullptr) report["faults_bytes"] = faults->bytes();
  for (std::size_t kind = 0; faults != nullptr && kind < SoakFaults::kKinds; ++kind) {
    report["faults"][std::string(SoakFaults::name_of(kind))] = faults->count(kind);
  }
  std::cout << report.dump(2) << std::endl;
}

void print_text(const SoakWatch& watch, const SoakFaults* faults, const EnginePlan& plan) {
  if (watch.tokens() == 0) return;
  std::printf(
      "%llu tokens in %.0f s: RSS %s at the start, %s at the most, plan %s; %llu allocations after start;\n"
      "median %.2f ms a token, worst %.1f times that; NLL of its own text %.3f in the first quarter, ",
      static_cast<unsigned long long>(watch.tokens()), watch.seconds(), human_bytes(watch.rss_start()).c_str(),
      human_bytes(watch.rss_most()).c_str(), human_bytes(plan.memory.total_bytes()).c_str(),
      static_cast<unsigned long long>(watch.allocations()), 1e3 * watch.median_s(), watch.worst_s() / watch.median_s(),
      watch.first_quarter().mean());
  if (watch.last_quarter().tokens > 0) {
    std::printf("%.3f in the last\n", watch.last_quarter().mean());
  } else {
    std::printf("the last was not reached\n");
  }
  for (std::size_t kind = 0; faults != nullptr && kind < SoakFaults::kKinds; ++kind) {
    std::printf("%llu %s%s", static_cast<unsigned long long>(faults->count(kind)), SoakFaults::name_of(kind).data(),
                kind + 1 == SoakFaults::kKinds ? "\n" : ", ");
  }
  std::fflush(stdout);
}

Status run_soak(const SoakArguments& arguments) {
  SoakLimits limits = arguments.limits;
  limits.tokens = arguments.tokens.value_or(limits.hours > 0 ? 0 : kDefaultTokens);
  if (limits.tokens < kFewestTokens && limits.hours == 0) {
    return bad_usage({.where = text("--tokens"),
                      .what = text(limits.tokens),
                      .expected = text("at least ", kFewestTokens),
                      .remedy = {}});
  }
  RILL_TRY(prepare_sandbox(arguments.sandbox, {}));
  RILL_ASSIGN(const ModelFile model, ModelFile::open(arguments.model.model));
  // What a dense cache would take; a plan refuses what no machine has.
  constexpr std::uint64_t kMostTokens = (1U << 24U) - kWarmUp;
  const auto capacity = static_cast<std::uint32_t>(std::min(limits.tokens, kMostTokens) + kWarmUp);
  RILL_ASSIGN(const EngineOptions options,
              engine_options(arguments.model, model.config(), {.dense_capacity = capacity}));
  RILL_ASSIGN(Engine engine, start_engine(model, options));
  engine.session(0).set_sampling(sampling_options(arguments.model, model.config()));
  std::optional<SoakFaults> faults;
  if (arguments.faults) faults.emplace(engine, arguments.model.seed);
  SoakFaults* const its_faults = faults.has_value() ? &*faults : nullptr;
  catch_interrupts();
  catch_termination();
  limits.most_rss_bytes = engine.plan().memory.total_bytes() + kMostBesidePlan;
  if (faults.has_value()) limits.most_rss_bytes += faults->bytes();
  SoakWatch watch(limits);
  RILL_TRY(soak(engine, arguments, its_faults, watch));
  if (arguments.model.json) {
    print_json(watch, its_faults, engine.plan());
  } else {
    print_text(watch, its_faults, engine.plan());
  }
  return watch.verdict();
}

}  // namespace

void add_soak(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<SoakArguments>();
  CLI::App& command = *app.add_subcommand("soak", "Run an endless stream and watch that nothing grows");
  add_model_arguments(command, arguments->model);
  add_sandbox_argument(command, arguments->sandbox);
  command.add_option("--tokens", arguments->tokens, "Tokens to stream (default 20000, or as many as --hours lets)");
  command.add_option("--hours", arguments->limits.hours, "End after this time, whatever the tokens")
      ->check(above_zero());
  command.add_flag("--faults", arguments->faults,
                   "At random, by --seed: restores, resets, long and hostile prompts, changes of the system prompt");
  command.add_option("--report-every", arguments->limits.report_every_s, "Seconds between lines on standard error")
      ->check(above_zero())
      ->capture_default_str();
  command
      .add_option("--longest-token", arguments->limits.longest_token_s,
                  "Fail if a token takes more seconds (default: 20 times the median, or 2 if that is more)")
      ->check(above_zero());
  command
      .add_option("--drift", arguments->limits.drift_nats,
                  "Fail if the NLL of the model's own text differs by more nats between the first and the last quarter")
      ->check(at_least(0))
      ->capture_default_str();
  command.footer(
      "Fails (exit 1) if RSS grows by a page or is 8 MiB above the plan and what --faults holds for itself, anything\n"
      "is allocated, a token takes too long or the NLL drifts.\n"
      "Ctrl-C and SIGTERM end it early, with its report.\n"
      "Example: rill soak smollm2.rill --hours 24 --faults --window 256 --json");
  command.callback([arguments, &action] { action = [arguments] { return run_soak(*arguments); }; });
}

}  // namespace rill::apps
