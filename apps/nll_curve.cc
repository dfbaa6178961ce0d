#include "apps/nll_curve.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <string_view>
#include <utility>

#include "apps/plot.h"
#include "apps/text_input.h"
#include "platform/output_file.h"

namespace rill::apps {
namespace {

constexpr std::size_t kPieces = 100;
constexpr std::size_t kQuotedBytes = 40;
constexpr double kMostNats = 1e6;  // no token costs so much

PlotSeries curve_of(const NllRun& run, std::size_t tokens_a_piece) {
  PlotSeries curve{.name = run.label, .x = {}, .y = {}};
  for (std::size_t begin = 0; begin < run.nll.size(); begin += tokens_a_piece) {
    const std::size_t end = std::min(begin + tokens_a_piece, run.nll.size());
    // A short rest would only add noise at the end; of a short run it is all there is.
    if (begin > 0 && 2 * (end - begin) < tokens_a_piece) break;
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) sum += run.nll[i];
    curve.x.push_back(static_cast<double>(begin + end) / 2);
    curve.y.push_back(sum / static_cast<double>(end - begin));
  }
  return curve;
}

}  // namespace

Status write_nll(const std::string& path, const std::vector<double>& nll) {
  RILL_ASSIGN(OutputFile file, OutputFile::create(path));
  std::string all;
  for (const double value : nll) {
    char line[40];
    all.append(line, static_cast<std::size_t>(std::snprintf(line, sizeof line, "%.7g\n", value)));
  }
  RILL_TRY(file.write(std::as_bytes(std::span(all))));
  return file.commit();
}

Result<std::vector<double>> read_nll(const std::string& path) {
  RILL_ASSIGN(const std::string all, read_text(path));
  std::vector<double> values;
  std::string_view rest = all;
  for (std::size_t line_number = 1; !rest.empty(); ++line_number) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    double value = 0;
    const auto parsed = std::from_chars(line.data(), line.data() + line.size(), value);
    if (parsed.ec != std::errc() || parsed.ptr != line.data() + line.size() || !(std::abs(value) < kMostNats)) {
      return bad_input({.where = text(path, ", line ", line_number),
                        .what = text("\"", line.substr(0, kQuotedBytes), "\""),
                        .expected = text("one number a line, as `rill perplexity --nll-out` writes it"),
                        .remedy = {}});
    }
    values.push_back(value);
  }
  if (values.empty()) {
    return bad_input({.where = text(path),
                      .what = text("no values"),
                      .expected = text("one number a line, as `rill perplexity --nll-out` writes it"),
                      .remedy = {}});
  }
  return values;
}

Result<NllRun> read_labelled_run(const std::string& argument) {
  RILL_ASSIGN(LabelledFile file, parse_labelled_file(argument, "as --nll-out wrote it"));
  RILL_ASSIGN(std::vector<double> nll, read_nll(file.path));
  return NllRun{.label = std::move(file.label), .nll = std::move(nll)};
}

Status write_nll_plot(const std::string& path, const std::vector<NllRun>& runs) {
  std::size_t longest = 1;
  for (const NllRun& run : runs) longest = std::max(longest, run.nll.size());
  const std::size_t tokens_a_piece = (longest + kPieces - 1) / kPieces;
  Plot plot;
  plot.title = "Log perplexity along the stream";
  plot.x_label = "token (means of " + std::to_string(tokens_a_piece) + ")";
  plot.y_label = "mean NLL, nats";
  for (const NllRun& run : runs) plot.series.push_back(curve_of(run, tokens_a_piece));
  return write_plot(path, {&plot, 1});
}

}  // namespace rill::apps
