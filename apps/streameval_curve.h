#pragma once
// What a StreamEval run leaves for pictures: its accuracy along the stream and by distance, as JSON, and the picture of
// several runs.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "platform/status.h"

namespace rill::apps {

/// Answers about lines that far back, in one stream.
struct StreamEvalCurve {
  std::uint32_t distance_lines = 0;
  double distance_tokens = 0;          ///< the mean
  double accuracy = 0;                 ///< the share of exact answers, of the whole stream
  std::vector<double> along_tokens;    ///< [pieces] where each piece of the stream ends
  std::vector<double> along_accuracy;  ///< [pieces] the share of exact answers in it
};

/// One run under one policy.
struct StreamEvalRun {
  std::string label;
  std::vector<StreamEvalCurve> curves;  ///< [distances], at least one
};

/// The run's keys `distance_lines`, `distance_tokens`, `accuracy` and `along`, as read_labelled_streameval() reads
/// them.
void add_curves(std::span<const StreamEvalCurve> curves, nlohmann::ordered_json& json);

/// Reads "LABEL=FILE", FILE being what `rill streameval --json` printed. kUsage if the argument is not of that form,
/// kBadInput, naming the key, if the file is not.
Result<StreamEvalRun> read_labelled_streameval(const std::string& argument);

/// Exact answers along the stream, as in figure 9 of the StreamingLLM paper, and by distance where there are several.
/// One run alone is drawn along the stream for each of its distances, several for the last run's first distance.
/// @param runs  n >= 1
Status write_streameval_plot(const std::string& path, std::span<const StreamEvalRun> runs);

}  // namespace rill::apps
