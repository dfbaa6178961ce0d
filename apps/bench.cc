// rill bench: the machine's two limits, and how near to them a model decodes and prefills; and how evenly it streams.

#include "apps/bench.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <utility>

#include "apps/command.h"
#include "apps/model_cost.h"
#include "apps/progress.h"
#include "platform/cpu.h"

namespace rill::apps {
namespace {

struct BenchArguments {
  ModelArguments model;
  PoliciesArguments policies;
  bool compares_policies = false;
  bool quick = false;
  std::vector<std::uint32_t> threads;
  std::vector<std::uint32_t> depths = {0, 1024};
  std::uint32_t repetitions = 5;
  std::uint32_t latency_tokens = 20000;
  std::string plot;
};

// Large models take long: after this many seconds the repetition under way is the last, if there have been enough.
constexpr double kPatience_s = 180;
constexpr std::uint32_t kFewestRepetitions = 3;
constexpr std::uint32_t kCountedTokens = 32;

/// One, and all that the options would choose; or the user's own.
std::vector<std::uint32_t> threads_of(const BenchArguments& arguments, std::uint32_t chosen) {
  std::vector<std::uint32_t> threads = arguments.threads;
  if (threads.empty()) threads = {1, chosen};
  std::ranges::sort(threads);
  threads.erase(std::unique(threads.begin(), threads.end()), threads.end());
  return threads;
}

Status refuse(const char* where, const Text& what, const char* expected) {
  return bad_usage({.where = text(where), .what = what, .expected = text(expected), .remedy = {}});
}

Status check(const BenchArguments& arguments, const ModelFile& model) {
  if (arguments.model.policy != "stream" && arguments.model.policy != "window") {
    return refuse("--policy", text(arguments.model.policy),
                  "stream or window, whose streams never end; --policies measures recompute beside stream");
  }
  if (arguments.repetitions == 0) return refuse("--repetitions", text(0), "at least 1");
  if (arguments.latency_tokens > 0 && arguments.latency_tokens < 4) {
    return refuse("--latency-tokens", text(arguments.latency_tokens), "0 for none, or at least 4");
  }
  if (arguments.depths.empty()) return refuse("--depth", text("no depth"), "at least one");
  for (const std::uint32_t depth : arguments.depths) {
    if (depth > kMostWindow / 2) return refuse("--depth", text(depth), "fewer tokens than half the longest window has");
  }
  // Every number of threads, before the first long measurement.
  for (const std::uint32_t threads : threads_of(arguments, 1)) {
    ModelArguments each = arguments.model;
    each.threads = threads;
    if (threads == 0) return refuse("--threads", text(0), "at least 1");
    RILL_ASSIGN(const EngineOptions options, engine_options(each, model.config(), {.reads_text = false}));
    RILL_TRY(plan_engine(model, options).status());
  }
  return {};
}

/// Small numbers that exercise everything: for tests.
void make_quick(BenchArguments& arguments, SpeedOptions& speed, ProbeOptions& probe) {
  arguments.repetitions = std::min(arguments.repetitions, 2U);
  arguments.latency_tokens = std::min(arguments.latency_tokens, 64U);
  speed.decode_tokens = 4;
  speed.prefill_tokens = 24;
  for (std::uint32_t& depth : speed.depths) depth = std::min(depth, 32U);
  probe.seconds = 0.002;
  probe.most_bytes = 32ULL << 20U;
}

Status repeat(const BenchArguments& arguments, LimitProbe& probe, SpeedBench& speed, BenchFindings& findings) {
  Progress progress("bench", "repetitions");
  const Stopwatch watch;
  while (findings.repetitions < arguments.repetitions) {
    probe.repeat();
    RILL_TRY(speed.repeat());
    ++findings.repetitions;
    progress.update(findings.repetitions, arguments.repetitions);
    if (findings.repetitions >= kFewestRepetitions && watch.seconds() > kPatience_s) break;
  }
  return {};
}

/// On one thread: what the others do while they wait differs from run to run.
Result<std::vector<double>> instructions(const BenchArguments& arguments, const ModelFile& model) {
  if (!can_count_instructions()) return std::vector<double>();
  ModelArguments one = arguments.model;
  one.threads = 1;
  RILL_ASSIGN(const EngineOptions options, engine_options(one, model.config(), {.reads_text = false}));
  RILL_ASSIGN(Engine engine, start_engine(model, options));
  return count_instructions(engine, arguments.quick ? 2 : kCountedTokens);
}

Result<BenchFindings> measure(BenchArguments arguments, const ModelFile& model) {
  RILL_ASSIGN(const EngineOptions options, engine_options(arguments.model, model.config(), {.reads_text = false}));
  RILL_ASSIGN(const EnginePlan plan, plan_engine(model, options));
  const ThreadPinning pinning;
  SpeedOptions speed_options{.threads = threads_of(arguments, plan.options.threads), .depths = arguments.depths};
  ProbeOptions probe_options{.threads = speed_options.threads, .kernels = plan.options.kernels};
  if (arguments.quick) make_quick(arguments, speed_options, probe_options);
  const ModelCost cost(model.config(), plan.options.policy);
  probe_options.working_set_bytes = static_cast<std::uint64_t>(cost.bytes(*std::ranges::max_element(arguments.depths)));
  BenchFindings findings;
  if (!options.in_ram && plan.fits()) model.prefault();  // now, as its pages are looked at
  const std::string_view mapped_pages = pages_of(model.bytes());
  probe_options.on_huge_pages = options.in_ram || mapped_pages == "huge";  // as the arena asks for them
  findings.model = arguments.model.model;
  findings.kernels = plan.options.kernels->name;
  findings.is_quick = arguments.quick;
  findings.chunk = plan.options.chunk;
  findings.window = plan.options.policy.window;
  RILL_ASSIGN(LimitProbe probe, LimitProbe::start(probe_options, pinning));
  {  // its engines are gone when the next one is started
    RILL_ASSIGN(SpeedBench speed, SpeedBench::start(model, arguments.model, speed_options, pinning));
    RILL_TRY(repeat(arguments, probe, speed, findings));
    findings.limits = probe.limits();
    findings.weights_pages = options.in_ram ? findings.limits.pages : mapped_pages;
    findings.pinned = speed.pinned() && findings.limits.pinned;
    findings.decode = speed.decode();
    findings.prefill = speed.prefill();
    findings.streaming = speed.streaming();
    if (arguments.latency_tokens > 0) {
      RILL_ASSIGN(findings.latency, measure_latency(speed.streaming_engine(), arguments.latency_tokens));
    }
  }
  RILL_ASSIGN(findings.instructions_per_token, instructions(arguments, model));
  return findings;
}

Status run_bench(const BenchArguments& arguments) {
  if (arguments.compares_policies) {
    ModelArguments model = arguments.model;
    if (arguments.threads.size() > 1) return refuse("--threads", text("a list"), "one number with --policies");
    if (!arguments.threads.empty()) model.threads = arguments.threads.front();
    return run_policies(model, arguments.policies, arguments.plot);
  }
  RILL_ASSIGN(const ModelFile model, ModelFile::open(arguments.model.model));
  RILL_TRY(check(arguments, model));
  RILL_ASSIGN(const BenchFindings findings, measure(arguments, model));
  if (arguments.model.json) {
    std::cout << json_of(findings).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
  } else {
    print_report(findings);
  }
  if (arguments.plot.empty()) return {};
  return write_plot(arguments.plot, plots_of(findings));
}

constexpr const char* kFooter =
    "Limits: a streaming read by the kernel set's widest loads, of pages as the weights have (huge or ordinary), over "
    "more than the last-level cache and over what a token reads or half of that cache; and the set's dot products of "
    "bytes on registers alone. The best of all repetitions is the limit.\n"
    "Decode: one token at a time. Bytes of a token: every matrix with its scales (a tied head once), norms, and the "
    "keys and values that it sees. Its share is of the read limit on as many threads, of memory if a token's bytes "
    "exceed the last-level cache, else of the cache.\n"
    "Prefill: 512 tokens, logits for the last. Multiply-adds of a token: all projections, the head for one row only, "
    "scores and mixing (query x key, weight x value) for each key seen. Its share is of the dot products on as many "
    "threads.\n"
    "Without --window, decode and prefill have one that holds every depth, the stream and its latency 1020.\n"
    "The options of sampling are those of the stream whose tokens are timed one by one.\n"
    "While it measures, bench ties each thread to a CPU; no other command does.\n"
    "Example: rill bench smollm2.rill --threads 1,4 --depth 0,1024,4096 --plot roofline.svg";

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<BenchArguments>();
  CLI::App& command = *app.add_subcommand("bench", "Measure the machine's limits, then the model against them");
  add_model_arguments(command, arguments->model);
  command.remove_option(command.get_option("--threads"));
  const auto list = [&](const char* name, std::vector<std::uint32_t>& values, const char* help) {
    command.add_option(name, values, help)->delimiter(',')->allow_extra_args(false);
  };
  list("--threads", arguments->threads,
       "Numbers of threads, the caller included: a list (default: 1 and what other commands take)");
  list("--depth", arguments->depths, "Tokens of the stream before the measured ones: a list (default: 0,1024)");
  command
      .add_option("--repetitions", arguments->repetitions,
                  "Rounds over all configurations; slow models stop earlier, at three minutes but not below three")
      ->capture_default_str();
  command
      .add_option("--latency-tokens", arguments->latency_tokens,
                  "Tokens of the stream that are timed one by one; 0: none")
      ->check(CLI::Range(0, 10'000'000))
      ->capture_default_str();
  command.add_option("--plot", arguments->plot,
                     "Draw the roofline, decode by depth and the stream as SVG (with --policies: time and memory)");
  command.add_flag("--quick", arguments->quick, "A little of everything, briefly: to see that it runs, not how fast");
  command
      .add_flag("--policies", arguments->compares_policies,
                "Instead: time and memory of a token by cache size, `stream` against `recompute` (the paper's figure "
                "10)")
      ->excludes(command.get_option("--policy"))
      ->excludes(command.get_option("--window"));
  for (const char* const other : {"--quick", "--depth", "--repetitions", "--latency-tokens"}) {
    command.get_option("--policies")->excludes(command.get_option(other));
  }
  add_policies_arguments(command, arguments->policies);
  command.footer(kFooter);
  command.callback([arguments, &action] { action = [arguments] { return run_bench(*arguments); }; });
}

}  // namespace rill::apps
