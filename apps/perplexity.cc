// rill perplexity: how well the model predicts a text, under a cache policy or in independent blocks.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "apps/command.h"
#include "apps/interrupt.h"
#include "apps/kept_scores.h"
#include "apps/model_options.h"
#include "apps/nll_curve.h"
#include "apps/progress.h"
#include "apps/state_options.h"
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
  std::string plot_label;
  std::vector<std::string> plot_with;
  std::uint64_t max_tokens = 0;
  std::uint32_t blocks = 0;
  std::uint64_t every = 0;
  StateArguments state;
};

/// The largest of x, not empty. Sixteen at a time, since one maximum that waits for the other was a twentieth of a run.
float largest_of(std::span<const float> x) {
  std::array<float, 16> most{};
  most.fill(x[0]);
  const std::size_t whole = x.size() / most.size() * most.size();
  for (std::size_t i = 0; i < whole; i += most.size()) {
    for (std::size_t lane = 0; lane < most.size(); ++lane) most[lane] = std::max(most[lane], x[i + lane]);
  }
  for (const float rest : x.subspan(whole)) most[0] = std::max(most[0], rest);
  return *std::ranges::max_element(most);
}

/// Turns logits into minus the logarithm of a token's probability, in nats, with the runtime's own exp: to about 1e-6.
class NllMeter {
 public:
  explicit NllMeter(const kernels::KernelSet& kernels) : kernels_(kernels) {}

  double measure(std::span<const float> logits, Token token) {
    scratch_.assign(logits.begin(), logits.end());
    const double top = static_cast<double>(largest_of(logits));
    const double sum = static_cast<double>(kernels_.exponentiate(scratch_.data(), scratch_.size()));
    return std::log(sum) + top - static_cast<double>(logits[token]);
  }

 private:
  const kernels::KernelSet& kernels_;
  std::vector<float> scratch_;
};

/// Ok until Ctrl-C is pressed, or SIGTERM comes.
Status go_on(bool is_kept) {
  if (!stop_pending()) return {};
  return failed({.where = text("perplexity"),
                 .what = text("stopped by ", interrupt_pending() ? "Ctrl-C" : "SIGTERM"),
                 .expected = {},
                 .remedy = is_kept ? text("the same command goes on from there")
                                   : text("the result above, and --nll-out, are of what was scored until then")});
}

/// A piece of a long run, for --every.
struct Piece {
  std::size_t tokens;  ///< of the whole run up to its end
  double perplexity;   ///< of the piece alone
  std::uint64_t rss_bytes;
};

/// What a run gathers: the NLL of each scored token, and its pieces.
class Scores {
 public:
  /// @param announce  what stands in the way of a line on a terminal; nullptr: pieces are not told of
  Scores(std::size_t tokens, std::uint64_t every, Progress* announce) : every_(every), announce_(announce) {
    nll_.assign(tokens, 0.0);  // its pages are touched now, so that what grows later is not this program's own list
    nll_.clear();
    if (every > 0) pieces_.reserve(static_cast<std::size_t>(tokens / every) + 1);
  }

  /// Takes in what an earlier run has scored; its pieces get today's RSS.
  void restore(std::span<const double> nll) {
    Progress* const announce = std::exchange(announce_, nullptr);
    for (const double value : nll) add(value);
    announce_ = announce;
  }

  void add(double nll) {
    nll_.push_back(nll);
    piece_sum_ += nll;
    if (every_ == 0 || nll_.size() % every_ != 0) return;
    pieces_.push_back({.tokens = nll_.size(),
                       .perplexity = std::exp(piece_sum_ / static_cast<double>(every_)),
                       .rss_bytes = resident_bytes()});
    piece_sum_ = 0;
    if (announce_ == nullptr) return;
    announce_->wipe();
    std::printf("%10zu tokens: perplexity %.4f over the last %llu, RSS %llu bytes\n", nll_.size(),
                pieces_.back().perplexity, static_cast<unsigned long long>(every_),
                static_cast<unsigned long long>(pieces_.back().rss_bytes));
    std::fflush(stdout);
  }

  std::vector<double>& nll() { return nll_; }
  std::span<const Piece> pieces() const { return pieces_; }

 private:
  std::uint64_t every_;
  Progress* announce_;
  double piece_sum_ = 0;
  std::vector<double> nll_;
  std::vector<Piece> pieces_;
};

Result<std::vector<Token>> read_tokens(const PerplexityArguments& arguments, const ModelFile& model) {
  std::vector<Token> tokens;
  if (!arguments.ids.empty()) {
    RILL_ASSIGN(tokens, read_ids(arguments.ids, model.config().vocabulary));
  } else if (!arguments.file.empty()) {
    RILL_ASSIGN(const std::string all, read_text(arguments.file));
    if (const std::size_t zero = all.find('\0'); zero != std::string::npos) {
      return bad_input({.where = text(arguments.file, " at offset ", zero),
                        .what = text("a byte of value 0"),
                        .expected = text("a text"),
                        .remedy = {}});
    }
    RILL_ASSIGN(tokens, TextTokenizer::encode_with(model, all, SpecialTokens::kText, true));
  } else {
    return bad_usage({.where = text("perplexity"),
                      .what = text("nothing to score"),
                      .expected = text("--file F or --ids F"),
                      .remedy = {}});
  }
  if (arguments.max_tokens > 0 && tokens.size() > arguments.max_tokens) {
    tokens.resize(static_cast<std::size_t>(arguments.max_tokens));
  }
  const std::size_t least = arguments.blocks > 0 ? arguments.blocks : 2;
  if (tokens.size() < least) {
    return bad_input({.where = text(arguments.ids.empty() ? arguments.file : arguments.ids),
                      .what = text(tokens.size(), tokens.size() == 1 ? " token" : " tokens"),
                      .expected = text("at least ", least),
                      .remedy = text("give a longer text", arguments.blocks > 0 ? " or a smaller --blocks" : "")});
  }
  return tokens;
}

/// What a run goes through.
struct Run {
  Session* session;
  std::span<const Token> tokens;
  Progress* progress;
  NllMeter* meter;
  Scores* scores;
  KeptScores* kept;
};

/// The same between two saves: only what is on the disk can be gone on with.
Status go_on_after_save(KeptScores& kept) {
  if (stop_pending()) RILL_TRY(kept.settle());
  return go_on(kept.is_open());
}

/// The stream's NLL of every token but the first. What is kept is kept between two chunks, and whoever stops it
/// waits for the chunk's end then.
Status score_stream(Run& run) {
  const std::span<const Token> tokens = run.tokens;
  const bool is_kept = run.kept->is_open();
  const std::size_t step = !is_kept ? tokens.size() : run.session->policy().recomputes ? 1 : run.session->chunk();
  for (auto begin = static_cast<std::size_t>(run.kept->done()); begin < tokens.size(); begin += step) {
    const std::size_t end = std::min(begin + step, tokens.size());
    RILL_TRY(run.session->evaluate(tokens.subspan(begin, end - begin),
                                   [&](std::size_t i, std::span<const float> logits) -> Status {
                                     const std::size_t next = begin + i + 1;
                                     if (next < tokens.size())
                                       run.scores->add(run.meter->measure(logits, tokens[next]));
                                     run.progress->update(next, tokens.size());
                                     return run.kept->is_open() ? Status() : go_on(false);
                                   }));
    RILL_TRY(run.kept->reach(end, run.scores->nll(), stop_pending() || end == tokens.size()));
    if (end < tokens.size()) RILL_TRY(go_on_after_save(*run.kept));
  }
  return {};
}

/// Blocks on their own, of each the second half scored: the tokens at block / 2 and after. llama.cpp's protocol but for
/// two things: it leaves out the first of these, and begins each block with BOS where the model has one.
Status score_blocks(Run& run, std::size_t block) {
  for (auto begin = static_cast<std::size_t>(run.kept->done()); begin + block <= run.tokens.size(); begin += block) {
    run.session->reset();
    RILL_TRY(run.session->evaluate(run.tokens.subspan(begin, block),
                                   [&](std::size_t i, std::span<const float> logits) -> Status {
                                     if (i + 1 >= block / 2 && i + 1 < block) {
                                       run.scores->add(run.meter->measure(logits, run.tokens[begin + i + 1]));
                                     }
                                     run.progress->update(begin + i + 1, run.tokens.size());
                                     return run.kept->is_open() ? Status() : go_on(false);
                                   }));
    const bool is_last = begin + 2 * block > run.tokens.size();
    RILL_TRY(run.kept->reach(begin + block, run.scores->nll(), stop_pending() || is_last));
    if (!is_last) RILL_TRY(go_on_after_save(*run.kept));
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

void print_result(const PerplexityArguments& arguments, const CachePolicy& policy, Scores& scores,
                  double tokens_per_s) {
  const std::vector<double>& nll = scores.nll();
  double sum = 0;
  for (const double value : nll) sum += value;
  const double mean = sum / static_cast<double>(nll.size());
  if (arguments.model.json) {
    nlohmann::ordered_json json = {
        {"tokens_scored", nll.size()},
        {"nll_mean", mean},
        {"perplexity", std::exp(mean)},
        {"tokens_per_s", tokens_per_s},
        {"peak_rss_bytes", peak_resident_bytes()},
        {"policy",
         {{"name", policy.name}, {"sinks", policy.sinks}, {"window", policy.window}, {"blocks", arguments.blocks}}}};
    for (const Piece& piece : scores.pieces()) {
      json["pieces"].push_back(
          {{"tokens", piece.tokens}, {"perplexity", piece.perplexity}, {"rss_bytes", piece.rss_bytes}});
    }
    std::cout << json.dump(2) << '\n';
  } else {
    std::printf("perplexity %.4f over %zu tokens (mean %.5f nats), policy %.*s, sinks %u, window %u, %.0f tokens/s\n",
                std::exp(mean), nll.size(), mean, static_cast<int>(policy.name.size()), policy.name.data(),
                policy.sinks, policy.window, tokens_per_s);
  }
}

/// --state FILE has a second file, whose name nobody typed.
Status check_scores_place(const PerplexityArguments& arguments) {
  if (!arguments.state.is_asked_for()) return {};
  const std::string place = arguments.state.file + ".nll";
  for (const std::string& output : {arguments.nll_out, arguments.plot}) {
    if (output.empty() || !leads_to(output, place)) continue;
    return bad_usage({.where = text(output),
                      .what = text("the file in which --state keeps what has been scored"),
                      .expected = text("another name"),
                      .remedy = {}});
  }
  return {};
}

/// Blocks are independent of one another and dense, whatever else is asked for.
Status check_blocks(const PerplexityArguments& arguments) {
  if (arguments.blocks == 0) return {};
  const auto refuse = [](const Text& where, const Text& expected) {
    return bad_usage({.where = where, .what = text("with --blocks"), .expected = expected, .remedy = {}});
  };
  const ModelArguments& model = arguments.model;
  if (model.policy != "stream" && model.policy != "dense") {
    return refuse(text("--policy ", model.policy), text("none: blocks are dense"));
  }
  if (!model.sinks.empty() && model.sinks != "0") {
    return refuse(text("--sinks ", model.sinks), text("none: blocks are dense"));
  }
  if (model.window >= 0 && model.window < arguments.blocks) {
    return refuse(text("--window ", model.window), text("none, or as much as a block takes, ", arguments.blocks));
  }
  if (arguments.max_tokens > 0 && arguments.max_tokens < arguments.blocks) {
    return refuse(text("--max-tokens ", arguments.max_tokens), text("none, or at least a block, ", arguments.blocks));
  }
  return {};
}

Status run_perplexity(const PerplexityArguments& arguments) {
  RILL_TRY(check_scores_place(arguments));
  RILL_TRY(check_blocks(arguments));
  RILL_ASSIGN(std::vector<NllRun> runs, earlier_runs(arguments));  // a bad file is said before the long work, not after
  RILL_ASSIGN(const ModelFile model, ModelFile::open(arguments.model.model));
  RILL_ASSIGN(const std::vector<Token> tokens, read_tokens(arguments, model));
  ModelArguments model_arguments = arguments.model;
  if (arguments.blocks > 0) model_arguments.policy = "dense";
  const std::uint32_t capacity = arguments.blocks > 0
                                     ? arguments.blocks
                                     : static_cast<std::uint32_t>(std::min<std::size_t>(tokens.size(), UINT32_MAX));
  RILL_ASSIGN(const EngineOptions options, engine_options(model_arguments, model.config(),
                                                          {.dense_capacity = capacity,
                                                           .logits_rows = 16,
                                                           .keeps_state = arguments.state.is_asked_for(),
                                                           .reads_text = false}));
  RILL_ASSIGN(Engine engine, start_engine(model, options));

  SessionKeeper keeper;
  KeptScores kept(arguments.state, keeper, options.policy.recomputes ? 64 : 4096);
  std::vector<double> earlier;
  RILL_TRY(kept.open(engine, tokens, arguments.blocks, earlier));
  Progress progress("perplexity", "tokens");
  Scores scores(tokens.size(), arguments.every, arguments.model.json ? nullptr : &progress);
  scores.restore(earlier);
  NllMeter meter(*engine.plan().options.kernels);
  const auto start = std::chrono::steady_clock::now();
  catch_interrupts();  // a long run's result is not lost
  catch_termination();
  Run run = {&engine.session(0), tokens, &progress, &meter, &scores, &kept};
  const Status status = arguments.blocks > 0 ? score_blocks(run, arguments.blocks) : score_stream(run);
  progress.wipe();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  RILL_TRY(kept.settle());
  if (!status.ok() && (!stop_pending() || scores.nll().empty())) return status;
  const CachePolicy& policy = engine.plan().options.policy;
  // Of a block the first half is fed only.
  const double fed = (arguments.blocks > 0 ? 2.0 : 1.0) * static_cast<double>(scores.nll().size() - earlier.size());
  print_result(arguments, policy, scores, fed / seconds);
  if (!arguments.nll_out.empty()) RILL_TRY(write_nll(arguments.nll_out, scores.nll()));
  if (arguments.plot.empty()) return status;
  const std::string& label = arguments.plot_label;
  runs.push_back({.label = label.empty() ? label_of(policy) : label, .nll = std::move(scores.nll())});
  RILL_TRY(write_nll_plot(arguments.plot, runs));
  return status;
}

}  // namespace

void add_perplexity(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<PerplexityArguments>();
  CLI::App& command =
      *app.add_subcommand("perplexity", "Measure how well the model predicts a text under a cache policy");
  add_model_arguments(command, arguments->model);
  auto* file = command.add_option("--file", arguments->file, "A text");
  command.add_option("--ids", arguments->ids, "A file with ids instead, separated by white space")->excludes(file);
  command.add_option("--max-tokens", arguments->max_tokens, "Use the first N tokens only")->check(at_least(2));
  command
      .add_option("--blocks", arguments->blocks,
                  "Independent blocks of N tokens, the second half of each scored, N/2 tokens (llama.cpp's\nprotocol, "
                  "which scores N/2 - 1, and begins each block with BOS where the model adds one)")
      ->check(CLI::Range(2U, kMostWindow));
  command.add_option("--every", arguments->every,
                     "Report perplexity and RSS of every N tokens on the way (JSON: `pieces`)");
  command.add_option("--nll-out", arguments->nll_out, "Write the NLL of each scored token, one a line, in nats");
  auto* plot = command.add_option("--plot", arguments->plot, "Draw log perplexity along the stream as SVG");
  command.add_option("--plot-label", arguments->plot_label, "This run's name in the picture (default: its policy)")
      ->needs(plot);
  command
      .add_option("--plot-with", arguments->plot_with,
                  "LABEL=FILE: an earlier run's --nll-out, drawn into the same picture; may be given again")
      ->needs(plot)
      ->allow_extra_args(false);
  add_state_arguments(command, arguments->state,
                      "Tokens between two saves (default: 4096; with --policy recompute 64)");
  command.footer(
      std::string(kSamplesNothing) +
      "With --state FILE the same command, typed again after Ctrl-C or a crash, goes on and ends with the same bits;\n"
      "FILE.nll beside it holds what has been scored.\n"
      "Example: rill perplexity smollm2.rill --file book.txt --sinks 4 --window 252 --max-tokens 20000\n"
      "         ... --policy window --window 256 --plot both.svg --plot-with \"4+252=stream.nll\"");
  command.callback([arguments, &action] { action = [arguments] { return run_perplexity(*arguments); }; });
}

}  // namespace rill::apps
