// What `rill bench` has measured, as pictures.

#include <algorithm>
#include <string>

#include "apps/bench.h"

namespace rill::apps {
namespace {

/// The roof of the most threads, and every configuration that was measured with as many.
Plot roofline(const BenchFindings& f) {
  const ThreadLimits& limits = f.limits.by_threads.back();
  const std::uint32_t threads = limits.threads;
  Plot plot{.title = "Roofline: " + f.limits.cpu + ", " + std::string(f.kernels) + ", " + std::to_string(threads) +
                     (threads == 1 ? " thread" : " threads"),
            .x_label = "multiply-adds per byte that must be read",
            .y_label = "GMAC/s",
            .series = {},
            .x_scale = AxisScale::kLog10,
            .y_scale = AxisScale::kLog10,
            .marks_points = true};
  const auto points = [&](const char* name, const std::vector<SpeedRow>& rows) {
    PlotSeries series{.name = name, .x = {}, .y = {}, .draws_line = false};
    for (const SpeedRow& row : rows) {
      if (row.threads != threads) continue;
      series.x.push_back(row.macs_per_token / row.bytes_per_token);
      series.y.push_back(spread_of(row.tokens_per_s).median * row.macs_per_token / 1e9);
    }
    return series;
  };
  const PlotSeries decode = points("decode", f.decode);
  const PlotSeries prefill = points("prefill", f.prefill);
  const double peak = limits.macs_per_s.most;
  const double first = std::min(0.3, *std::ranges::min_element(decode.x));
  const double last = std::max(10 * peak / limits.memory_bytes_per_s.most, *std::ranges::max_element(prefill.x));
  const auto roof = [&](const char* name, double bytes_per_s) {
    const double ridge = std::max(first, peak / bytes_per_s);
    return PlotSeries{.name = name,
                      .x = {first, ridge, last},
                      .y = {first * bytes_per_s / 1e9, peak / 1e9, peak / 1e9},
                      .marks_points = false};
  };
  plot.series = {roof("limit, read from memory", limits.memory_bytes_per_s.most),
                 roof("limit, read from the cache", limits.cache_bytes_per_s.most), decode, prefill};
  return plot;
}

Plot depth_plot(const BenchFindings& f) {
  Plot plot{.title = "Decode by depth",
            .x_label = "tokens that a token sees before it",
            .y_label = "ms per token",
            .series = {},
            .y_from_zero = true,
            .marks_points = true};
  for (const ThreadLimits& limits : f.limits.by_threads) {
    PlotSeries series{
        .name = std::to_string(limits.threads) + (limits.threads == 1 ? " thread" : " threads"), .x = {}, .y = {}};
    for (const SpeedRow& row : f.decode) {
      if (row.threads != limits.threads) continue;
      series.x.push_back(row.depth);
      series.y.push_back(1e3 / spread_of(row.tokens_per_s).median);
    }
    plot.series.push_back(series);
  }
  return plot;
}

Plot stream_plot(const BenchFindings& f) {
  Plot plot{
      .title = "A stream with a window of " + std::to_string(f.window),
      .x_label = "position in the stream",
      .y_label = "ms per token",
      .series = {{.name = "median of a stretch", .x = {}, .y = {}}, {.name = "worst of a stretch", .x = {}, .y = {}}},
      .y_scale = AxisScale::kLog10};
  for (const Stretch& stretch : f.latency->stretches) {
    for (PlotSeries& series : plot.series) series.x.push_back(stretch.middle);
    plot.series[0].y.push_back(1e3 * stretch.median_s);
    plot.series[1].y.push_back(1e3 * stretch.worst_s);
  }
  return plot;
}

}  // namespace

std::vector<Plot> plots_of(const BenchFindings& f) {
  std::vector<Plot> panels = {roofline(f), depth_plot(f)};
  if (f.latency) panels.push_back(stream_plot(f));
  return panels;
}

}  // namespace rill::apps
