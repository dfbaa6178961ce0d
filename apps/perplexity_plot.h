#pragma once
// Log perplexity along a stream as a picture.

#include <string>
#include <vector>

#include "platform/status.h"

namespace rill::apps {

/// An SVG file: the mean NLL of each of 200 pieces of the stream over the token's place in it.
/// @param nll    nats, one value a token
/// @param title  drawn above the curve
Status write_perplexity_plot(const std::string& path, const std::vector<double>& nll, const Text& title);

}  // namespace rill::apps
