// rill bench --policies: what a token costs with a cache of each size, kept as StreamingLLM does or recomputed.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "apps/bench.h"
#include "apps/plan_report.h"
#include "apps/plot.h"
#include "apps/progress.h"

namespace rill::apps {
namespace {

using Clock = std::chrono::steady_clock;

// A step of recomputation may take many seconds: with a cache of this cost, fewer steps make the median.
constexpr double kPolicyPatience_s = 30;
constexpr std::uint32_t kFewestSteps = 3;

/// What a decode step costs under one policy.
struct Cost {
  double s_per_token = 0;  ///< the median
  std::uint32_t steps = 0;
  std::uint64_t bytes = 0;  ///< the whole plan: weights, cache and buffers
};

struct Comparison {
  std::uint32_t window = 0;  ///< slots of the cache, sinks included
  Cost stream;
  Cost recompute;

  double ratio() const { return recompute.s_per_token / stream.s_per_token; }
};

/// Fills the cache, then decodes one token at a time.
Result<Cost> measure(const ModelFile& model, const ModelArguments& arguments, std::uint32_t cache_slots,
                     std::uint32_t most_steps) {
  RILL_ASSIGN(const EngineOptions options, engine_options(arguments, model.config(), {.reads_text = false}));
  RILL_ASSIGN(Engine engine, start_engine(model, options));
  Session& session = engine.session(0);
  // One step more than is measured: the first touches memory that the others find warm.
  const std::vector<Token> tokens = varied_tokens(std::size_t{cache_slots} + 1 + most_steps, model.config().vocabulary);
  const std::span<const Token> all = tokens;
  RILL_TRY(session.feed(all.first(cache_slots)));
  RILL_ASSIGN([[maybe_unused]] const std::span<const float> warm, session.prefill(all.subspan(cache_slots, 1)));
  std::vector<double> seconds;
  double spent_s = 0;
  for (const Token& token : all.subspan(std::size_t{cache_slots} + 1)) {
    const Clock::time_point start = Clock::now();
    RILL_ASSIGN([[maybe_unused]] const std::span<const float> logits, session.prefill({&token, 1}));
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    spent_s += seconds.back();
    if (seconds.size() >= kFewestSteps && spent_s > kPolicyPatience_s) break;
  }
  const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  return Cost{.s_per_token = *middle,
              .steps = static_cast<std::uint32_t>(seconds.size()),
              .bytes = engine.plan().memory.total_bytes()};
}

/// The same command line with another policy and a cache of `window` slots, as the option parser would have read it.
ModelArguments with_policy(const ModelArguments& from, const char* policy, std::uint32_t sinks, std::uint32_t window) {
  ModelArguments arguments = from;
  arguments.policy = policy;
  arguments.sinks = std::to_string(sinks);
  arguments.window = std::int64_t{window} - sinks;
  return arguments;
}

/// Both policies refuse what they cannot run before the first long measurement.
Status check(const ModelArguments& arguments, const PoliciesArguments& policies, const ModelFile& model,
             std::uint32_t sinks) {
  if (policies.tokens == 0) {
    return bad_usage({.where = text("--tokens"), .what = text(0), .expected = text("at least 1"), .remedy = {}});
  }
  for (const std::uint32_t window : policies.windows) {
    if (window <= sinks) {
      return bad_usage({.where = text("--windows ", window),
                        .what = text("a cache of ", window, " slots with ", sinks, " sinks"),
                        .expected = text("more slots than sinks"),
                        .remedy = {}});
    }
    for (const ModelArguments& each :
         {with_policy(arguments, "recompute", 0, window), with_policy(arguments, "stream", sinks, window)}) {
      RILL_ASSIGN(const EngineOptions options, engine_options(each, model.config(), {.reads_text = false}));
      RILL_TRY(plan_engine(model, options).status());
    }
  }
  return {};
}

Plot latency_plot(const std::vector<Comparison>& rows) {
  Plot plot{.title = "Time per token by cache size",
            .x_label = "slots of the cache",
            .y_label = "ms per token",
            .series = {{.name = "recompute", .x = {}, .y = {}}, {.name = "stream", .x = {}, .y = {}}},
            .y_scale = AxisScale::kLog10,  // the two are orders of magnitude apart
            .marks_points = true};
  for (const Comparison& row : rows) {
    for (PlotSeries& series : plot.series) series.x.push_back(row.window);
    plot.series[0].y.push_back(1e3 * row.recompute.s_per_token);
    plot.series[1].y.push_back(1e3 * row.stream.s_per_token);
  }
  return plot;
}

Plot memory_plot(const std::vector<Comparison>& rows) {
  Plot plot{.title = "Memory by cache size",
            .x_label = "slots of the cache",
            .y_label = "MiB of the plan, weights included",
            .series = {{.name = "recompute", .x = {}, .y = {}}, {.name = "stream", .x = {}, .y = {}}},
            .y_from_zero = true,
            .marks_points = true};
  constexpr double kMiB = 1024.0 * 1024.0;
  for (const Comparison& row : rows) {
    for (PlotSeries& series : plot.series) series.x.push_back(row.window);
    plot.series[0].y.push_back(static_cast<double>(row.recompute.bytes) / kMiB);
    plot.series[1].y.push_back(static_cast<double>(row.stream.bytes) / kMiB);
  }
  return plot;
}

nlohmann::ordered_json json_of(const std::vector<Comparison>& rows) {
  nlohmann::ordered_json json{{"policies", nlohmann::json::array()}};
  for (const Comparison& row : rows) {
    json["policies"].push_back(nlohmann::ordered_json{{"window", row.window},
                                                      {"stream_s_per_token", row.stream.s_per_token},
                                                      {"recompute_s_per_token", row.recompute.s_per_token},
                                                      {"ratio", row.ratio()},
                                                      {"stream_bytes", row.stream.bytes},
                                                      {"recompute_bytes", row.recompute.bytes},
                                                      {"stream_steps", row.stream.steps},
                                                      {"recompute_steps", row.recompute.steps}});
  }
  return json;
}

void print_table(const std::vector<Comparison>& rows) {
  std::printf("%7s  %12s  %15s  %6s  %12s  %15s\n", "cache", "stream ms", "recompute ms", "ratio", "stream",
              "recompute");
  for (const Comparison& row : rows) {
    std::printf("%7u  %12.2f  %15.2f  %6.1f  %12s  %15s\n", row.window, 1e3 * row.stream.s_per_token,
                1e3 * row.recompute.s_per_token, row.ratio(), human_bytes(row.stream.bytes).c_str(),
                human_bytes(row.recompute.bytes).c_str());
  }
}

Result<std::vector<Comparison>> compare(const ModelArguments& arguments, const PoliciesArguments& policies,
                                        const ModelFile& model, std::uint32_t sinks) {
  std::vector<Comparison> rows;
  Progress progress("bench", "measurements");
  std::uint64_t done = 0;
  for (const std::uint32_t window : policies.windows) {
    Comparison row{.window = window, .stream = {}, .recompute = {}};
    RILL_ASSIGN(row.stream, measure(model, with_policy(arguments, "stream", sinks, window), window, policies.tokens));
    progress.update(++done, 2 * policies.windows.size());
    RILL_ASSIGN(row.recompute, measure(model, with_policy(arguments, "recompute", 0, window), window, policies.tokens));
    progress.update(++done, 2 * policies.windows.size());
    rows.push_back(row);
  }
  return rows;
}

}  // namespace

Status run_policies(const ModelArguments& arguments, const PoliciesArguments& policies, const std::string& plot) {
  RILL_ASSIGN(const ModelFile model, ModelFile::open(arguments.model));
  ModelArguments stream = arguments;  // as given: a default number of sinks, or the user's own
  stream.policy = "stream";
  RILL_ASSIGN(const EngineOptions options, engine_options(stream, model.config(), {.reads_text = false}));
  const std::uint32_t sinks = options.policy.sinks;
  RILL_TRY(check(arguments, policies, model, sinks));
  RILL_ASSIGN(const std::vector<Comparison> rows, compare(arguments, policies, model, sinks));
  if (arguments.json) {
    std::cout << json_of(rows).dump(2) << '\n';
  } else {
    print_table(rows);
  }
  if (plot.empty()) return {};
  const std::vector<Plot> panels = {latency_plot(rows), memory_plot(rows)};
  return write_plot(plot, panels);
}

void add_policies_arguments(CLI::App& command, PoliciesArguments& arguments) {
  command
      .add_option("--windows", arguments.windows,
                  "With --policies: sizes of the cache in slots, sinks included: a list (256,512)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  command
      .add_option("--tokens", arguments.tokens,
                  "With --policies: most decode steps of each measurement; slow ones stop earlier, at 30 s but not "
                  "below 3 steps")
      ->capture_default_str();
}

}  // namespace rill::apps
