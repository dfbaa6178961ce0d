#pragma once
// `rill bench`: what its parts hand to each other.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "apps/bench_speed.h"
#include "apps/latency.h"
#include "apps/machine_limits.h"
#include "apps/model_options.h"
#include "apps/plot.h"

namespace CLI {
class App;
}

namespace rill::apps {

/// `rill bench --policies`: what a token costs with a cache of each size, kept as StreamingLLM does or recomputed.
struct PoliciesArguments {
  std::vector<std::uint32_t> windows = {256, 512, 1024, 2048, 4096};
  std::uint32_t tokens = 16;
};
void add_policies_arguments(CLI::App& command, PoliciesArguments& arguments);
/// @param plot  a path, or empty
Status run_policies(const ModelArguments& model, const PoliciesArguments& arguments, const std::string& plot);

/// Everything that `rill bench MODEL` has measured.
struct BenchFindings {
  std::string model;
  std::string_view kernels;
  std::uint32_t chunk = 0;
  std::uint32_t window = 0;  ///< of the stream past its window, and of the latency
  bool is_quick = false;     ///< nothing was measured long enough to mean anything
  std::uint32_t repetitions = 0;
  std::string_view weights_pages;  ///< as limits.pages
  bool pinned = false;
  MachineLimits limits;
  std::vector<SpeedRow> decode;
  std::vector<SpeedRow> prefill;
  StreamingCost streaming;
  std::optional<Latency> latency;
  std::vector<double> instructions_per_token;  ///< empty where they cannot be counted
};

nlohmann::ordered_json json_of(const BenchFindings& findings);
void print_report(const BenchFindings& findings);
/// The roofline of the most threads; decode by depth; and the stream, token by token, if it was timed.
std::vector<Plot> plots_of(const BenchFindings& findings);

}  // namespace rill::apps
