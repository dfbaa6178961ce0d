// rill perplexity: how well the model predicts a text, under a cache policy or in independent blocks.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/model_options.h"
#include "apps/nll_curve.h"
#include "apps/progress.h"
#include "apps/text_input.h"
#include "platform/process_memory.h"

namespace rill::apps {
namespace {

struct PerplexityArguments {
  ModelArguments model;
  std::string file;
  std::string ids;
  std::string nll_out;
  std::string plot;
  std::vector<std::string> plot_with;
  std::uint64_t max_tokens = 0;
  std::uint32_t blocks = 0;
};

/// Minus the logarithm of the probability of a token, in nats.
double nll_of(std::span<const float> logits, Token token) {
  const double top = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return std::log(sum) + top - static_cast<double>(logits[token]);
}

Result<std::vector<Token>> read_tokens(const PerplexityArguments& arguments, const ModelFile& model) {
  std::vector<Token> tokens;
  if (!arguments.ids.empty()) {
    RILL_ASSIGN(tokens, read_ids(arguments.ids, model.config().vocabulary));
  } else if (!arguments.file.empty()) {
    RILL_ASSIGN(const std::string all, read_text(arguments.file));
    RILL_ASSIGN(const TextTokenizer encoder, TextTokenizer::load(model, kTextPieceBytes));
    RILL_ASSIGN(tokens, encoder.encode(all, SpecialTokens::kText, true));
  } else {
    return bad_usage({.where = text("perplexity"),
                      .what = text("nothing to score"),
                      .expected = text("--file F or --ids F"),
                      .remedy = {}});
  }
  if (arguments.max_tokens > 0 && tokens.size() > arguments.max_tokens) tokens.resize(arguments.max_tokens);
  const std::size_t least = arguments.blocks > 0 ? arguments.blocks : 2;
  if (tokens.size() < least) {
    return bad_input({.where = text(arguments.ids.empty() ? arguments.file : arguments.ids),
                      .what = text(tokens.size(), " tokens"),
                      .expected = text("at least ", least),
                      .remedy = {}});
  }
  return tokens;
}

/// The stream's NLL of every token but the first.
Status score_stream(Session& session, std::span<const Token> tokens, Progress& progress, std::vector<double>& nll) {
  return session.evaluate(tokens, [&](std::size_t i, std::span<const float> logits) -> Status {
    if (i + 1 < tokens.size()) nll.push_back(nll_of(logits, tokens[i + 1]));
    progress.update(i + 1, tokens.size());
    return {};
  });
}

/// llama.cpp's protocol: blocks on their own, of each the second half scored (the tokens at block / 2 and after).
Status score_blocks(Session& session, std::span<const Token> tokens, std::size_t block, Progress& progress,
                    std::vector<double>& nll) {
  for (std::size_t begin = 0; begin + block <= tokens.size(); begin += block) {
    session.reset();
    RILL_TRY(
        session.evaluate(tokens.subspan(begin, block), [&](std::size_t i, std::span<const float> logits) -> Status {
          if (i + 1 >= block / 2 && i + 1 < block) nll.push_back(nll_of(logits, tokens[begin + i + 1]));
          progress.update(begin + i + 1, tokens.size());
          return {};
        }));
  }
  return {};
}

/// The runs that the picture shows beside this one.
Result<std::vector<NllRun>> earlier_runs(const PerplexityArguments& arguments) {
  std::vector<NllRun> runs;
  for (const std::string& argument : arguments.plot_with) {
    RILL_ASSIGN(NllRun run, read_labelled_run(argument));
    runs.push_back(std::move(run));
  }
  return runs;
}

/// "stream 4+252": how the runs of a picture are told apart.
std::string label_of(const CachePolicy& policy) {
  return std::string(policy.name) + " " + (policy.sinks > 0 ? std::to_string(policy.sinks) + "+" : "") +
         std::to_string(policy.window);
}

void print_result(const PerplexityArguments& arguments, const CachePolicy& policy, std::span<const double> nll,
                  double tokens_per_s) {
  double sum = 0;
  for (const double value : nll) sum += value;
  const double mean = sum / static_cast<double>(nll.size());
  if (arguments.model.json) {
    std::cout << nlohmann::ordered_json{{"tokens_scored", nll.size()},
                                        {"nll_mean", mean},
                                        {"perplexity", std::exp(mean)},
                                        {"tokens_per_s", tokens_per_s},
                                        {"peak_rss_bytes", peak_resident_bytes()},
                                        {"policy",
                                         {{"name", policy.name},
                                          {"sinks", policy.sinks},
                                          {"window", policy.window},
                                          {"blocks", arguments.blocks}}}}
                     .dump(2)
              << '\n';
  } else {
    std::printf("perplexity %.4f over %zu tokens (mean %.5f nats), policy %.*s, sinks %u, window %u, %.0f tokens/s\n",
                std::exp(mean), nll.size(), mean, static_cast<int>(policy.name.size()), policy.name.data(),
                policy.sinks, policy.window, tokens_per_s);
  }
}

Status run_perplexity(const PerplexityArguments& arguments) {
  RILL_ASSIGN(std::vector<NllRun> runs, earlier_runs(arguments));  // a bad file is said before the long work, not after
  RILL_ASSIGN(const ModelFile model, open_model(arguments.model));
  RILL_ASSIGN(const std::vector<Token> tokens, read_tokens(arguments, model));
  ModelArguments model_arguments = arguments.model;
  if (arguments.blocks > 0) model_arguments.policy = "dense";
  const std::uint32_t capacity = arguments.blocks > 0 ? arguments.blocks : static_cast<std::uint32_t>(tokens.size());
  RILL_ASSIGN(const EngineOptions options,
              engine_options(model_arguments, model.config(), {.dense_capacity = capacity, .logits_rows = 16}));
  RILL_ASSIGN(Engine engine, start_engine(model, options));

  std::vector<double> nll;
  nll.reserve(tokens.size());
  const auto start = std::chrono::steady_clock::now();
  {
    Progress progress("perplexity", "tokens");
    RILL_TRY(arguments.blocks > 0 ? score_blocks(engine.session(0), tokens, arguments.blocks, progress, nll)
                                  : score_stream(engine.session(0), tokens, progress, nll));
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!arguments.nll_out.empty()) RILL_TRY(write_nll(arguments.nll_out, nll));
  const CachePolicy& policy = engine.plan().options.policy;
  print_result(arguments, policy, nll, static_cast<double>(tokens.size()) / seconds);
  if (arguments.plot.empty()) return {};
  runs.push_back({.label = label_of(policy), .nll = std::move(nll)});
  return write_nll_plot(arguments.plot, runs);
}

}  // namespace

void add_perplexity(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<PerplexityArguments>();
  CLI::App& command =
      *app.add_subcommand("perplexity", "Measure how well the model predicts a text under a cache policy");
  add_model_arguments(command, arguments->model);
  auto* file = command.add_option("--file", arguments->file, "A text");
  command.add_option("--ids", arguments->ids, "A file with ids instead, separated by white space")->excludes(file);
  command.add_option("--max-tokens", arguments->max_tokens, "Use the first N tokens only");
  command.add_option("--blocks", arguments->blocks,
                     "Independent blocks of N tokens, the second half of each scored (llama.cpp's protocol)");
  command.add_option("--nll-out", arguments->nll_out, "Write the NLL of each scored token, one a line, in nats");
  auto* plot = command.add_option("--plot", arguments->plot, "Draw log perplexity along the stream as SVG");
  command
      .add_option("--plot-with", arguments->plot_with,
                  "LABEL=FILE: an earlier run's --nll-out, drawn into the same picture; may be given again")
      ->needs(plot)
      ->allow_extra_args(false);
  command.footer(
      "Example: rill perplexity smollm2.rill --file book.txt --sinks 4 --window 252 --max-tokens 20000\n"
      "         ... --policy window --window 256 --plot both.svg --plot-with \"4+252=stream.nll\"");
  command.callback([arguments, &action] { action = [arguments] { return run_perplexity(*arguments); }; });
}

}  // namespace rill::apps
