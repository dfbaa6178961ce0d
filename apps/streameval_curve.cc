#include "apps/streameval_curve.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/plot.h"
#include "quant/json_document.h"

namespace rill::apps {
namespace {

/// A run's file, key by key.
class RunFile {
 public:
  RunFile(const nlohmann::json& object, std::string path) : object_(object), path_(std::move(path)) {}

  /// A key's list of numbers. @param least  of its elements
  Result<std::vector<double>> numbers(const char* key, double least) const {
    const nlohmann::json* const list = list_at(object_, key);
    return list == nullptr ? bad(key) : numbers_of(*list, key, least);
  }

  /// The list of a key of each object in the list `along`.
  Result<std::vector<std::vector<double>>> along(const char* key) const {
    const nlohmann::json* const all = list_at(object_, "along");
    if (all == nullptr) return bad("along");
    std::vector<std::vector<double>> lists;
    for (const nlohmann::json& one : *all) {
      const nlohmann::json* const list = one.is_object() ? list_at(one, key) : nullptr;
      if (list == nullptr) return bad("along");
      RILL_ASSIGN(std::vector<double> values, numbers_of(*list, "along", 0));
      lists.push_back(std::move(values));
    }
    return lists;
  }

  Status bad(const char* key) const {
    return bad_input({.where = text(path_, ", key ", key),
                      .what = text("not what it should be"),
                      .expected = text("a list of numbers for each distance, as `rill streameval --json` prints them"),
                      .remedy = {}});
  }

 private:
  static const nlohmann::json* list_at(const nlohmann::json& object, const char* key) {
    const auto found = object.find(key);
    return found == object.end() || !found->is_array() ? nullptr : &*found;
  }

  Result<std::vector<double>> numbers_of(const nlohmann::json& list, const char* key, double least) const {
    std::vector<double> values;
    for (const nlohmann::json& element : list) {
      if (!element.is_number() || !(element.get<double>() >= least)) return bad(key);
      values.push_back(element.get<double>());
    }
    return values;
  }

  const nlohmann::json& object_;
  std::string path_;
};

PlotSeries along_the_stream(const StreamEvalCurve& curve, std::string name) {
  PlotSeries series{.name = std::move(name), .x = curve.along_tokens, .y = curve.along_accuracy};
  for (double& share : series.y) share *= 100;
  return series;
}

PlotSeries by_distance(const StreamEvalRun& run) {
  std::vector<std::pair<double, double>> points;
  for (const StreamEvalCurve& curve : run.curves) points.emplace_back(curve.distance_tokens, 100 * curve.accuracy);
  std::sort(points.begin(), points.end());
  PlotSeries series{.name = run.label, .x = {}, .y = {}};
  for (const auto& [tokens, percent] : points) {
    series.x.push_back(tokens);
    series.y.push_back(percent);
  }
  return series;
}

std::string lines_back(const StreamEvalCurve& curve) { return std::to_string(curve.distance_lines) + " lines back"; }

}  // namespace

void add_curves(std::span<const StreamEvalCurve> curves, nlohmann::ordered_json& json) {
  for (const char* key : {"distance_lines", "distance_tokens", "accuracy", "along"}) {
    json[key] = nlohmann::ordered_json::array();
  }
  for (const StreamEvalCurve& curve : curves) {
    json["distance_lines"].push_back(curve.distance_lines);
    json["distance_tokens"].push_back(curve.distance_tokens);
    json["accuracy"].push_back(curve.accuracy);
    json["along"].push_back({{"tokens", curve.along_tokens}, {"accuracy", curve.along_accuracy}});
  }
}

Result<StreamEvalRun> read_labelled_streameval(const std::string& argument) {
  RILL_ASSIGN(LabelledFile file, parse_labelled_file(argument, "as `rill streameval --json` printed it"));
  RILL_ASSIGN(const nlohmann::json object, quant::read_json_object(file.path));
  const RunFile keys(object, file.path);
  RILL_ASSIGN(const std::vector<double> lines, keys.numbers("distance_lines", 1));
  RILL_ASSIGN(const std::vector<double> tokens, keys.numbers("distance_tokens", 0));
  RILL_ASSIGN(const std::vector<double> accuracy, keys.numbers("accuracy", 0));
  RILL_ASSIGN(const std::vector<std::vector<double>> along_tokens, keys.along("tokens"));
  RILL_ASSIGN(const std::vector<std::vector<double>> along_accuracy, keys.along("accuracy"));
  if (lines.empty() || tokens.size() != lines.size()) return keys.bad("distance_tokens");
  if (accuracy.size() != lines.size()) return keys.bad("accuracy");
  if (along_tokens.size() != lines.size()) return keys.bad("along");
  StreamEvalRun run{.label = std::move(file.label), .curves = {}};
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i] > UINT32_MAX || along_tokens[i].size() != along_accuracy[i].size()) return keys.bad("along");
    run.curves.push_back({.distance_lines = static_cast<std::uint32_t>(lines[i]),
                          .distance_tokens = tokens[i],
                          .accuracy = accuracy[i],
                          .along_tokens = along_tokens[i],
                          .along_accuracy = along_accuracy[i]});
  }
  return run;
}

Status write_streameval_plot(const std::string& path, std::span<const StreamEvalRun> runs) {
  Plot along{.title = "StreamEval: accuracy along the stream",
             .x_label = "tokens of the stream",
             .y_label = "exact answers, %",
             .series = {},
             .y_is_percent = true,
             .marks_points = true};
  Plot distances = along;
  distances.title = "StreamEval: accuracy by distance";
  distances.x_label = "tokens between a line and the question about it";
  const StreamEvalRun& latest = runs.back();
  if (runs.size() == 1) {
    for (const StreamEvalCurve& curve : latest.curves)
      along.series.push_back(along_the_stream(curve, lines_back(curve)));
  } else {
    along.title += ", " + lines_back(latest.curves.front());
  }
  for (const StreamEvalRun& run : runs) {
    distances.series.push_back(by_distance(run));
    if (runs.size() == 1) continue;
    for (const StreamEvalCurve& curve : run.curves) {
      if (curve.distance_lines != latest.curves.front().distance_lines) continue;
      along.series.push_back(along_the_stream(curve, run.label));
    }
  }
  const std::vector<Plot> both = {along, distances};
  return write_plot(path, std::span(both).first(latest.curves.size() == 1 ? 1 : 2));
}

}  // namespace rill::apps
