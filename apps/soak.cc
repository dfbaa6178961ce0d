// rill soak: an endless stream inside the budget, watched for anything that grows.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "apps/command.h"
#include "apps/model_options.h"
#include "apps/plan_report.h"
#include "apps/progress.h"
#include "platform/allocation_watch.h"
#include "platform/process_memory.h"

namespace rill::apps {
namespace {

struct SoakArguments {
  ModelArguments model;
  std::uint64_t tokens = 20000;
};

/// Tokens before the measurement begins: everything that is touched once has been touched then. 16 were too few: pages
/// of code came in after them.
constexpr std::uint64_t kWarmUp = 96;

struct Findings {
  std::uint64_t tokens = 0;
  std::uint64_t rss_start = 0;
  std::uint64_t rss_end = 0;
  std::uint64_t allocations = 0;
  double median_s = 0;
  double worst_s = 0;
  double nll_first_quarter = 0;
  double nll_last_quarter = 0;
};

/// Log of the sum of exponentials: what turns a logit into a probability. A double a token, no memory.
double log_sum_exp(std::span<const float> logits) {
  const double top = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return std::log(sum) + top;
}

/// The model talks to itself: each token is drawn from its own distribution and fed back.
/// @param seconds, nll  [tokens], all memory that the measurement needs, taken before it begins
Result<Findings> soak(Engine& engine, std::uint64_t tokens, std::vector<float>& seconds, std::vector<float>& nll) {
  Session& session = engine.session(0);
  const Tokenizer* const tokenizer = engine.tokenizer();
  Token token = tokenizer != nullptr && tokenizer->beginning_of_text() != kNoToken ? tokenizer->beginning_of_text() : 1;
  token = std::min(token, engine.model().config().vocabulary - 1);
  Findings found;
  std::uint64_t allocations_before = 0;
  Progress progress("soak", "tokens");
  // Until the ring has gone round once there is code that has not run yet.
  const CachePolicy& policy = session.policy();
  const std::uint64_t warm_up = kWarmUp + (policy.evicts ? std::uint64_t{policy.sinks} + policy.window : 0);
  for (std::uint64_t i = 0; i < tokens + warm_up; ++i) {
    if (i == warm_up) {
      allocations_before = allocations_so_far();  // before, as its code comes in with it
      found.rss_start = resident_bytes();         // the first time its own code comes in
      found.rss_start = resident_bytes();
    }
    // A pause sends the workers to sleep: on a busy machine they do later, and that code must have run as well.
    if (i == warm_up / 2) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const auto start = std::chrono::steady_clock::now();
    RILL_ASSIGN(const std::span<const float> logits, session.prefill({&token, 1}));
    const Token next = session.sample(logits);
    const auto end = std::chrono::steady_clock::now();
    // During the warm-up the first places are written over and over, so that every line of this loop has run before.
    const std::uint64_t place = i < warm_up ? 0 : i - warm_up;
    seconds[place] = std::chrono::duration<float>(end - start).count();
    nll[place] = static_cast<float>(log_sum_exp(logits) - static_cast<double>(logits[next]));
    progress.update(place, tokens);
    token = next;
  }
  found.allocations = allocations_so_far() - allocations_before;
  found.rss_end = resident_bytes();
  found.tokens = tokens;
  return found;
}

void summarize(std::vector<float>& seconds, const std::vector<float>& nll, Findings& found) {
  const std::size_t quarter = nll.size() / 4;
  for (std::size_t i = 0; i < quarter; ++i) {
    found.nll_first_quarter += static_cast<double>(nll[i]) / static_cast<double>(quarter);
    found.nll_last_quarter += static_cast<double>(nll[nll.size() - 1 - i]) / static_cast<double>(quarter);
  }
  std::sort(seconds.begin(), seconds.end());
  found.median_s = static_cast<double>(seconds[seconds.size() / 2]);
  found.worst_s = static_cast<double>(seconds.back());
}

Status run_soak(const SoakArguments& arguments) {
  if (arguments.tokens < 4)
    return bad_usage(
        {.where = text("--tokens"), .what = text(arguments.tokens), .expected = text("at least 4"), .remedy = {}});
  RILL_ASSIGN(const ModelFile model, open_model(arguments.model));
  RILL_ASSIGN(const EngineOptions options,
              engine_options(arguments.model, model.config(),
                             {.dense_capacity = static_cast<std::uint32_t>(arguments.tokens + kWarmUp)}));
  std::vector<float> seconds(arguments.tokens, 0.0F);
  std::vector<float> nll(arguments.tokens, 0.0F);
  RILL_ASSIGN(Engine engine, start_engine(model, options));
  engine.session(0).set_sampling(sampling_options(arguments.model, model.config()));
  RILL_ASSIGN(Findings found, soak(engine, arguments.tokens, seconds, nll));
  summarize(seconds, nll, found);
  const double worst_over_median = found.worst_s / found.median_s;
  if (arguments.model.json) {
    std::cout << nlohmann::ordered_json{{"tokens", found.tokens},
                                        {"rss_start_bytes", found.rss_start},
                                        {"rss_end_bytes", found.rss_end},
                                        {"rss_peak_bytes", peak_resident_bytes()},
                                        {"allocations_after_start", found.allocations},
                                        {"worst_over_median", worst_over_median},
                                        {"nll_first_quarter", found.nll_first_quarter},
                                        {"nll_last_quarter", found.nll_last_quarter},
                                        {"median_s", found.median_s},
                                        {"worst_s", found.worst_s},
                                        {"plan_bytes", engine.plan().memory.total_bytes()}}
                     .dump(2)
              << '\n';
  } else {
    std::printf(
        "%llu tokens: RSS %s at the start, %s at the end, plan %s; %llu allocations after start;\n"
        "median %.2f ms a token, worst %.1f times that; NLL of its own text %.3f in the first quarter, %.3f in the "
        "last\n",
        static_cast<unsigned long long>(found.tokens), human_bytes(found.rss_start).c_str(),
        human_bytes(found.rss_end).c_str(), human_bytes(engine.plan().memory.total_bytes()).c_str(),
        static_cast<unsigned long long>(found.allocations), 1e3 * found.median_s, worst_over_median,
        found.nll_first_quarter, found.nll_last_quarter);
  }
  if (found.rss_end > found.rss_start || found.allocations > 0) {
    return failed({.where = text("soak"),
                   .what = text("RSS went from ", found.rss_start, " to ", found.rss_end, " bytes, ", found.allocations,
                                " allocations after start"),
                   .expected = text("no growth and none"),
                   .remedy = text("this is a bug in Rill: please report it")});
  }
  return {};
}

}  // namespace

void add_soak(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<SoakArguments>();
  CLI::App& command = *app.add_subcommand("soak", "Run an endless stream and watch that nothing grows");
  add_model_arguments(command, arguments->model);
  add_sampling_arguments(command, arguments->model);
  command.add_option("--tokens", arguments->tokens, "Tokens to stream")->capture_default_str();
  command.footer("Example: rill soak smollm2.rill --tokens 20000 --window 256 --json");
  command.callback([arguments, &action] { action = [arguments] { return run_soak(*arguments); }; });
}

}  // namespace rill::apps
