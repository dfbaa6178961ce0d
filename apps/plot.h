#pragma once
// Line plots as SVG files: what `--plot` of every command draws.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "platform/status.h"

namespace rill::apps {

/// One line of a plot. A point that is not finite (or not above zero on a logarithmic axis) leaves a gap.
struct PlotSeries {
  std::string name;        ///< for the legend; any text
  std::vector<double> x;   ///< [n]
  std::vector<double> y;   ///< [n]
  bool draws_line = true;  ///< false: points alone
  bool marks_points =
      true;  ///< false: no dots where the plot has them: for a line that was not measured point by point
};

enum class AxisScale : bool { kLinear, kLog10 };

struct Plot {
  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<PlotSeries> series;
  AxisScale x_scale = AxisScale::kLinear;
  AxisScale y_scale = AxisScale::kLinear;
  bool y_from_zero = false;   ///< for amounts, which are compared by their height; linear axes only
  bool y_is_percent = false;  ///< linear axes only: from 0 to 100, however little of it was reached
  bool marks_points = false;  ///< a dot at each point: for few, measured ones
};

/// Round values (1, 2 or 5 times a power of ten apart) that cover [low, high]: the first is at most low, the last at
/// least high. At least two; about `wanted`.
std::vector<double> nice_ticks(double low, double high, int wanted);

/// The whole SVG file. @param panels  drawn below each other, n >= 1
std::string draw_svg(std::span<const Plot> panels);

/// Writes it; the file is either whole or absent.
Status write_plot(std::string_view path, std::span<const Plot> panels);

/// An earlier run to draw into a picture: what `--plot-with` names.
struct LabelledFile {
  std::string label;
  std::string path;
};

/// Splits "LABEL=FILE"; kUsage if it is not of that form. @param made_by  how such a file comes about, for the error
Result<LabelledFile> parse_labelled_file(const std::string& argument, std::string_view made_by);

}  // namespace rill::apps
