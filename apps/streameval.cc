// rill streameval: does the model still find what the cache holds? The StreamEval task of the StreamingLLM paper
// (arXiv 2309.17453, section 4.5): numbered lines with a number each, and every ten lines a query about the line a
// fixed distance back. The answers stay in the stream, as in the paper.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/model_options.h"
#include "apps/progress.h"
#include "apps/shown_text.h"
#include "apps/streameval_curve.h"
#include "apps/text_input.h"
#include "platform/process_memory.h"

namespace rill::apps {
namespace {

struct StreamEvalArguments {
  ModelArguments model;
  std::uint32_t lines = 0;
  std::vector<std::uint32_t> distances = {20};
  std::string plot;
  std::string plot_label;
  std::vector<std::string> plot_with;
};

constexpr std::uint32_t kLinesBetweenQueries = 10;
constexpr std::size_t kAnswerTokens = 10;   // five digits and what closes them, even at a token a digit
constexpr std::size_t kExamples = 5;        // answers of each distance that the JSON quotes
constexpr std::size_t kPlottedPieces = 10;  // of the stream, each with its own accuracy
constexpr std::uint32_t kMostLines = 1'000'000;

/// The stream as tokens, made before the model runs.
struct Line {
  std::uint32_t number = 0;
  std::vector<Token> tokens;  ///< "The REGISTER_CONTENT in line 7 is <52341>\n"
};

/// What was asked after a line, and what came of it.
struct Answer {
  std::uint64_t position = 0;  ///< of the stream, when it was asked
  std::uint64_t distance = 0;  ///< tokens since the end of the line asked for
  std::uint32_t expected = 0;
  std::string said;
  double digits = 0;  ///< the share that is right in its place; one in ten by chance
  bool right = false;
};

/// The answers of one stream.
struct Outcome {
  std::uint32_t distance_lines = 0;
  std::vector<Answer> answers;

  double accuracy() const {
    return mean([](const Answer& a) { return a.right ? 1.0 : 0.0; });
  }
  double digits() const {
    return mean([](const Answer& a) { return a.digits; });
  }
  double distance_tokens() const {
    return mean([](const Answer& a) { return static_cast<double>(a.distance); });
  }

 private:
  template <typename Value>
  double mean(Value value) const {
    double sum = 0;
    for (const Answer& answer : answers) sum += value(answer);
    return sum / static_cast<double>(answers.size());
  }
};

constexpr std::string_view kTask = "Below is a record of lines I want you to remember.\n";

/// A line up to its number, and the question about it: what was said once is asked for in the same words, so that a
/// model that was never trained to follow instructions has the same chance as one that was.
std::string line_up_to_number(std::size_t index) {
  return "The REGISTER_CONTENT in line " + std::to_string(index) + " is <";
}

Result<std::vector<Line>> make_lines(const TextTokenizer& tokenizer, std::uint32_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);  // its numbers are defined to the bit, so the stream is the same everywhere
  std::vector<Line> lines(count);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    lines[i].number = static_cast<std::uint32_t>(10'000 + random() % 90'000);
    RILL_ASSIGN(lines[i].tokens, tokenizer.encode((i == 0 ? std::string(kTask) : std::string()) + line_up_to_number(i) +
                                                      std::to_string(lines[i].number) + ">\n",
                                                  SpecialTokens::kText,
                                                  /*begin=*/i == 0));
  }
  return lines;
}

/// Tokens of the longest stream, for the methods whose cache must hold all of it.
std::uint32_t capacity_for(const std::vector<Line>& lines, std::size_t query_tokens) {
  std::size_t tokens = (lines.size() / kLinesBetweenQueries + 1) * (query_tokens + kAnswerTokens + 8);
  for (const Line& line : lines) tokens += line.tokens.size();
  return static_cast<std::uint32_t>(std::min<std::size_t>(tokens, 1U << 28U));
}

/// Judges what was said: every digit, and in their places.
void compare(Answer& answer) {
  const std::string expected = std::to_string(answer.expected);
  for (std::size_t i = 0; i < expected.size() && i < answer.said.size(); ++i) {
    if (answer.said[i] == expected[i]) answer.digits += 1.0 / static_cast<double>(expected.size());
  }
  answer.right = answer.said.substr(0, answer.said.find_first_not_of("0123456789")) == expected;
}

/// Asks, and feeds the answer to the stream while it is made.
Result<std::string> ask(Session& session, const Tokenizer& tokenizer, std::span<const Token> query) {
  RILL_ASSIGN(std::span<const float> logits, session.prefill(query));
  std::string said;
  for (std::size_t i = 0; i < kAnswerTokens; ++i) {
    const Token token = session.sample(logits);
    if (tokenizer.ends_text(token)) break;
    said += tokenizer.bytes_of(token);
    RILL_ASSIGN(logits, session.prefill({&token, 1}));
    if (said.find_first_of(">\n") != std::string::npos) break;
  }
  return said;
}

/// One stream. Lines wait for the next query and are fed with it: what a policy computes a call is computed once.
Result<Outcome> run_stream(Session& session, Tokenizer& tokenizer, const std::vector<Line>& lines,
                           std::uint32_t distance, const std::function<void(std::size_t)>& lines_done) {
  session.reset();
  RILL_ASSIGN(const std::vector<Token> newline, encode_all(tokenizer, "\n", SpecialTokens::kText, false));
  std::vector<std::uint64_t> line_ends;
  std::vector<Token> waiting;
  Outcome outcome{.distance_lines = distance, .answers = {}};
  for (std::size_t i = 0; i < lines.size(); ++i) {
    waiting.insert(waiting.end(), lines[i].tokens.begin(), lines[i].tokens.end());
    line_ends.push_back(session.position() + waiting.size());
    if ((i + 1) % kLinesBetweenQueries != 0 || i < distance) continue;
    const std::size_t asked = i - distance;
    RILL_ASSIGN(const std::vector<Token> query,
                encode_all(tokenizer, line_up_to_number(asked), SpecialTokens::kText, false));
    waiting.insert(waiting.end(), query.begin(), query.end());
    Answer answer{.position = session.position() + waiting.size(), .expected = lines[asked].number, .said = {}};
    answer.distance = answer.position - line_ends[asked];
    RILL_ASSIGN(answer.said, ask(session, tokenizer, waiting));
    compare(answer);
    waiting.clear();
    if (answer.said.find('\n') == std::string::npos) waiting = newline;
    outcome.answers.push_back(std::move(answer));
    lines_done(i + 1);
  }
  return outcome;
}

Status check(const StreamEvalArguments& arguments) {
  if (arguments.lines > kMostLines) {
    return bad_usage({.where = text("--lines"),
                      .what = text(arguments.lines),
                      .expected = text("at most ", kMostLines),
                      .remedy = {}});
  }
  for (const std::uint32_t distance : arguments.distances) {
    if (distance == 0) {
      return bad_usage({.where = text("--distance"),
                        .what = text(0),
                        .expected = text("at least 1 line before the last"),
                        .remedy = {}});
    }
    const std::uint64_t first_query = (std::uint64_t{distance} / kLinesBetweenQueries + 1) * kLinesBetweenQueries;
    if (arguments.lines < first_query) {
      return bad_usage(
          {.where = text("--lines"),
           .what = text(arguments.lines, " lines end before the first query about ", distance, " lines back"),
           .expected = text("at least ", first_query),
           .remedy = {}});
    }
  }
  return {};
}

/// What pictures are made of.
StreamEvalCurve curve_of(const Outcome& outcome) {
  StreamEvalCurve curve{.distance_lines = outcome.distance_lines,
                        .distance_tokens = outcome.distance_tokens(),
                        .accuracy = outcome.accuracy(),
                        .along_tokens = {},
                        .along_accuracy = {}};
  const std::size_t queries = outcome.answers.size();
  const std::size_t pieces = std::min(kPlottedPieces, queries);
  for (std::size_t piece = 0; piece < pieces; ++piece) {
    const auto begin = outcome.answers.begin() + static_cast<std::ptrdiff_t>(queries * piece / pieces);
    const auto end = outcome.answers.begin() + static_cast<std::ptrdiff_t>(queries * (piece + 1) / pieces);
    const auto right = static_cast<double>(std::count_if(begin, end, [](const Answer& a) { return a.right; }));
    curve.along_tokens.push_back(static_cast<double>((end - 1)->position));
    curve.along_accuracy.push_back(right / static_cast<double>(end - begin));
  }
  return curve;
}

nlohmann::ordered_json json_of(const std::vector<Outcome>& outcomes, std::span<const StreamEvalCurve> curves,
                               const StreamEvalArguments& arguments, const CachePolicy& policy) {
  nlohmann::ordered_json json{{"lines", arguments.lines}};
  add_curves(curves, json);
  for (const char* key : {"digit_accuracy", "queries", "stream_tokens", "examples"}) {
    json[key] = nlohmann::ordered_json::array();
  }
  for (const Outcome& outcome : outcomes) {
    json["digit_accuracy"].push_back(outcome.digits());
    json["queries"].push_back(outcome.answers.size());
    json["stream_tokens"].push_back(outcome.answers.back().position);
    for (std::size_t i = 0; i < std::min(kExamples, outcome.answers.size()); ++i) {
      const Answer& answer = outcome.answers[i];
      json["examples"].push_back({{"distance_lines", outcome.distance_lines},
                                  {"expected", answer.expected},
                                  {"said", answer.said},
                                  {"right", answer.right}});
    }
  }
  json["peak_rss_bytes"] = peak_resident_bytes();
  json["policy"] = {{"name", policy.name}, {"sinks", policy.sinks}, {"window", policy.window}};
  return json;
}

void print_table(const std::vector<Outcome>& outcomes, const CachePolicy& policy) {
  std::printf("StreamEval, policy %.*s, sinks %u, window %u\n", static_cast<int>(policy.name.size()),
              policy.name.data(), policy.sinks, policy.window);
  std::printf("%10s %12s %8s %9s %7s\n", "lines back", "tokens back", "queries", "accuracy", "digits");
  for (const Outcome& outcome : outcomes) {
    std::printf("%10u %12.0f %8zu %8.1f%% %6.1f%%\n", outcome.distance_lines, outcome.distance_tokens(),
                outcome.answers.size(), 100 * outcome.accuracy(), 100 * outcome.digits());
  }
}

Status run_streameval(const StreamEvalArguments& arguments) {
  RILL_TRY(check(arguments));
  std::vector<StreamEvalRun> runs;  // read before the work: a wrong name is found at once
  for (const std::string& argument : arguments.plot_with) {
    RILL_ASSIGN(StreamEvalRun earlier, read_labelled_streameval(argument));
    runs.push_back(std::move(earlier));
  }
  RILL_ASSIGN(const ModelFile model, ModelFile::open(arguments.model.model));
  std::vector<Line> lines;
  std::uint32_t capacity = 0;
  {  // a tokenizer of its own only until the engine has one
    RILL_ASSIGN(const TextTokenizer encoder, TextTokenizer::load(model, kTextPieceBytes));
    RILL_ASSIGN(lines, make_lines(encoder, arguments.lines, arguments.model.seed));
    RILL_ASSIGN(const std::vector<Token> longest_query,
                encoder.encode(line_up_to_number(lines.size()), SpecialTokens::kText, false));
    capacity = capacity_for(lines, longest_query.size());
  }
  RILL_ASSIGN(const EngineOptions options,
              engine_options(arguments.model, model.config(), {.dense_capacity = capacity}));
  RILL_ASSIGN(Engine engine, start_engine(model, options));
  // A measurement asks what the model can do: greedy, and without what its file names, unless the command line says.
  engine.session(0).set_sampling(sampling_options(arguments.model, ModelConfig{}));

  std::vector<Outcome> outcomes;
  {
    Progress progress("streameval", "lines");
    for (const std::uint32_t distance : arguments.distances) {
      const std::size_t before = outcomes.size() * lines.size();
      RILL_ASSIGN(Outcome outcome,
                  run_stream(engine.session(0), *engine.tokenizer(), lines, distance, [&](std::size_t done) {
                    progress.update(before + done, lines.size() * arguments.distances.size());
                  }));
      outcomes.push_back(std::move(outcome));
    }
  }
  const CachePolicy& policy = engine.plan().options.policy;
  const std::string& label = arguments.plot_label;
  StreamEvalRun run{.label = label.empty() ? label_of(policy) : label, .curves = {}};
  for (const Outcome& outcome : outcomes) run.curves.push_back(curve_of(outcome));
  if (arguments.model.json) {
    const std::string json =
        json_of(outcomes, run.curves, arguments, policy).dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
    std::cout << without_controls(json) << '\n';
  } else {
    print_table(outcomes, policy);
  }
  if (arguments.plot.empty()) return {};
  runs.push_back(std::move(run));
  return write_streameval_plot(arguments.plot, runs);
}

}  // namespace

void add_streameval(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<StreamEvalArguments>();
  CLI::App& command =
      *app.add_subcommand("streameval", "Measure whether the model still finds lines a fixed distance back");
  arguments->model.temperature = 0;
  add_model_arguments(command, arguments->model);
  command.add_option("--lines", arguments->lines, "Lines of the stream")->required();
  command
      .add_option("--distance", arguments->distances,
                  "Lines between a line and the query about it: a number or a list (10,20,40); each is a stream of "
                  "its own")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  command.get_option("--seed")->description("Seed of the numbers in the lines, and of sampling");
  command.get_option("--temp")->description("Temperature; 0 is greedy (default: 0)");
  command.get_option("--min-p")->description("Drop tokens less probable than this share of the most probable");
  command.get_option("--repeat-penalty")->description("Makes the last 64 tokens less likely; 1 is off");
  auto* plot = command.add_option("--plot", arguments->plot, "Draw accuracy along the stream, and by distance, as SVG");
  command.add_option("--plot-label", arguments->plot_label, "This run's name in the picture (default: its policy)")
      ->needs(plot);
  command
      .add_option("--plot-with", arguments->plot_with,
                  "LABEL=FILE: what an earlier run printed with --json, drawn into the same picture, which then shows "
                  "the first --distance along the stream; may be given again")
      ->needs(plot)
      ->allow_extra_args(false);
  command.footer(
      "What it measures: lines \"The REGISTER_CONTENT in line 7 is <52341>\" with random numbers stream in, and every\n"
      "ten lines the model is asked for the number in the line --distance lines before the last one. The answers, "
      "greedy\nunless --temp says otherwise, stay in the stream. One is right if all five digits are; `digits` is the "
      "share that\nis right in its place, a tenth by chance. This is the StreamEval task of the StreamingLLM paper "
      "(section 4.5), as\nplain text without a chat form. It tests copying from what the cache still holds: beyond the "
      "window no method can\nanswer but by chance, and small models miss most lines even with all of them in sight.\n"
      "Example: rill streameval smollm2.rill --lines 300 --distance 20,5,10,40 --json > stream.json\n"
      "         ... --policy dense --plot both.svg --plot-with \"4+1020=stream.json\"");
  command.callback([arguments, &action] { action = [arguments] { return run_streameval(*arguments); }; });
}

}  // namespace rill::apps
