#pragma once
// How well a stream was predicted, along its way: files with one NLL a line, and the picture of several of them.

#include <string>
#include <vector>

#include "platform/status.h"

namespace rill::apps {

/// One run over a stream.
struct NllRun {
  std::string label;
  std::vector<double> nll;  ///< [n], n >= 1; nats, a scored token each
};

/// Writes one value a line; the file is either whole or absent.
Status write_nll(const std::string& path, const std::vector<double>& nll);
/// Reads what write_nll() wrote. kBadInput names the first line that is no finite number; an empty file is one too.
Result<std::vector<double>> read_nll(const std::string& path);
/// Reads "LABEL=FILE" as a run. kUsage if it is not of that form.
Result<NllRun> read_labelled_run(const std::string& argument);

/// Log perplexity over the token's place in the stream, as in figure 3 of the StreamingLLM paper (arXiv 2309.17453):
/// the mean NLL of pieces, as many tokens a piece for all runs, so that they are equally smooth.
/// The last run is drawn on top.
Status write_nll_plot(const std::string& path, const std::vector<NllRun>& runs);

}  // namespace rill::apps
