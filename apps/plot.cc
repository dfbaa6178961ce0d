#include "apps/plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <limits>

#include "core/utf8.h"
#include "platform/output_file.h"

namespace rill::apps {
namespace {

// The frame of one panel, in SVG units.
constexpr double kPanelWidth = 776;  // half of "1000000" hangs over the right end
constexpr double kLeft = 72;
constexpr double kRight = 736;
constexpr double kTop = 48;
constexpr double kBottom = 350;
constexpr double kLegendTop = 412;
constexpr double kLegendRow = 20;
constexpr double kCharacterWidth = 6.6;  // a generous mean at 12 units: names are only placed with it, never cut

// Okabe and Ito's colours, which people with any colour vision tell apart (jfly.uni-koeln.de/color).
constexpr std::array<const char*, 7> kColours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                 "#e69f00", "#56b4e9", "#444444"};

std::string number(double value, int decimals) {
  std::array<char, 64> buffer;
  const int length = std::snprintf(buffer.data(), buffer.size(), "%.*f", decimals, value);
  return {buffer.data(), static_cast<std::size_t>(std::clamp(length, 0, static_cast<int>(buffer.size()) - 1))};
}

std::string at(double coordinate) { return number(coordinate, 1); }

/// One character as XML 1.0 may hold it: control characters become spaces, what is no character U+FFFD.
std::string_view escaped_character(std::string_view character) {
  if (character == "&") return "&amp;";
  if (character == "<") return "&lt;";
  if (character == ">") return "&gt;";
  if (character == "\"") return "&quot;";
  if (static_cast<unsigned char>(character[0]) < 0x20) return " ";
  if (character == "\xef\xbf\xbe" || character == "\xef\xbf\xbf") return kReplacementCharacter;  // U+FFFE, U+FFFF
  return character;
}

std::string escaped(std::string_view plain) {
  std::string xml;
  while (!plain.empty()) {
    const Utf8Character next = first_character(plain);
    xml += next.kind == Utf8Character::Kind::kWhole ? escaped_character(plain.substr(0, next.bytes))
                                                    : kReplacementCharacter;
    plain.remove_prefix(next.bytes);
  }
  return xml;
}

std::string label(double x, double y, const char* anchor, std::string_view plain, const char* more = "") {
  return "<text x=\"" + at(x) + "\" y=\"" + at(y) + "\" text-anchor=\"" + anchor + "\"" + more + ">" + escaped(plain) +
         "</text>\n";
}

std::string straight_line(double x1, double y1, double x2, double y2, const std::string& style) {
  return "<line x1=\"" + at(x1) + "\" y1=\"" + at(y1) + "\" x2=\"" + at(x2) + "\" y2=\"" + at(y2) + "\" " + style +
         "/>\n";
}

std::string stroke_of(std::size_t series) {
  std::string style = std::string("stroke=\"") + kColours[series % kColours.size()] + "\" stroke-width=\"1.8\"";
  if (series >= kColours.size()) style += " stroke-dasharray=\"6 3\"";  // the colours come round again
  return style;
}

std::string dot(const std::string& across, const std::string& height, std::size_t series) {
  return "<circle cx=\"" + across + "\" cy=\"" + height + "\" r=\"3.5\" fill=\"" + kColours[series % kColours.size()] +
         "\"/>\n";
}

/// One axis: where a value lies between the ends of the frame.
struct Axis {
  AxisScale scale = AxisScale::kLinear;
  std::vector<double> ticks;  // the first and the last are the frame's ends
  double from = 0;            // coordinate of the first tick
  double to = 1;

  double measure(double value) const { return scale == AxisScale::kLog10 ? std::log10(value) : value; }
  bool shows(double value) const { return std::isfinite(value) && (scale == AxisScale::kLinear || value > 0); }
  double place(double value) const {
    const double low = measure(ticks.front());
    const double high = measure(ticks.back());
    return from + (measure(value) - low) / (high - low) * (to - from);
  }
};

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
};

Range range_of(const Plot& plot, std::vector<double> PlotSeries::*values, const Axis& axis) {
  Range range;
  for (const PlotSeries& series : plot.series) {
    for (const double value : series.*values) {
      if (!axis.shows(value)) continue;
      range.low = std::min(range.low, value);
      range.high = std::max(range.high, value);
    }
  }
  return range.low <= range.high ? range : Range{.low = 1, .high = 2};  // nothing to show: any frame will do
}

/// Powers of ten that cover [low, high].
std::vector<double> decades(double low, double high) {
  const int first = static_cast<int>(std::floor(std::log10(low)));
  const int last = std::max(first + 1, static_cast<int>(std::ceil(std::log10(high))));
  std::vector<double> ticks;
  for (int power = first; power <= last; ++power) ticks.push_back(std::pow(10.0, power));
  return ticks;
}

Axis x_axis(const Plot& plot) {
  Axis axis{.scale = plot.x_scale, .ticks = {}, .from = kLeft, .to = kRight};
  const Range range = range_of(plot, &PlotSeries::x, axis);
  axis.ticks = axis.scale == AxisScale::kLog10 ? decades(range.low, range.high) : nice_ticks(range.low, range.high, 7);
  return axis;
}

Axis y_axis(const Plot& plot) {
  Axis axis{.scale = plot.y_scale, .ticks = {}, .from = kBottom, .to = kTop};
  Range range = range_of(plot, &PlotSeries::y, axis);
  if (plot.y_scale == AxisScale::kLog10) {
    axis.ticks = decades(range.low, range.high);
  } else {
    if (plot.y_is_percent) range = {.low = std::min(range.low, 0.0), .high = std::max(range.high, 100.0)};
    if (plot.y_from_zero) range.low = std::min(range.low, 0.0);
    axis.ticks = nice_ticks(range.low, range.high, 6);
  }
  return axis;
}

/// A tick's value with the decimals that tell it from its neighbour.
std::string tick_label(const Axis& axis, std::size_t index) {
  const double step = axis.scale == AxisScale::kLog10 ? axis.ticks[index] : axis.ticks[1] - axis.ticks[0];
  const int decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 9);
  return number(axis.ticks[index], decimals);
}

std::string draw_frame(const Plot& plot, const Axis& x, const Axis& y) {
  std::string svg = label(kLeft, 26, "start", plot.title, " font-size=\"15\" font-weight=\"bold\"");
  for (std::size_t i = 0; i < y.ticks.size(); ++i) {
    const double height = y.place(y.ticks[i]);
    svg += straight_line(kLeft, height, kRight, height, "stroke=\"#ddd\"");
    svg += label(kLeft - 8, height + 4, "end", tick_label(y, i));
  }
  for (std::size_t i = 0; i < x.ticks.size(); ++i) {
    const double across = x.place(x.ticks[i]);
    svg += straight_line(across, kBottom, across, kBottom + 5, "stroke=\"#666\"");
    svg += label(across, kBottom + 20, "middle", tick_label(x, i));
  }
  svg += straight_line(kLeft, kBottom, kRight, kBottom, "stroke=\"#666\"");
  svg += label((kLeft + kRight) / 2, kBottom + 42, "middle", plot.x_label);
  const double middle = (kTop + kBottom) / 2;
  const std::string turned = " transform=\"rotate(-90 16 " + at(middle) + ")\"";
  return svg + label(16, middle, "middle", plot.y_label, turned.c_str());
}

std::string draw_series(const PlotSeries& series, std::size_t index, const Axis& x, const Axis& y, bool marks_points) {
  const std::size_t points = std::min(series.x.size(), series.y.size());
  std::string path;
  std::string dots;
  bool pen_down = false;
  for (std::size_t i = 0; i < points; ++i) {
    if (!x.shows(series.x[i]) || !y.shows(series.y[i])) {
      pen_down = false;
      continue;
    }
    const std::string across = at(x.place(series.x[i]));
    const std::string height = at(y.place(series.y[i]));
    path.append(pen_down ? "L" : "M").append(across).append(" ").append(height);
    // A point between two gaps is no line.
    const bool goes_on = i + 1 < points && x.shows(series.x[i + 1]) && y.shows(series.y[i + 1]);
    if (marks_points || (!pen_down && !goes_on)) dots += dot(across, height, index);
    pen_down = true;
  }
  if (!series.draws_line) return dots;
  return "<path fill=\"none\" stroke-linejoin=\"round\" " + stroke_of(index) + " d=\"" + path + "\"/>\n" + dots;
}

struct Legend {
  std::string svg;
  double bottom = kLegendTop;
};

/// Names below the frame, as many beside each other as fit.
Legend draw_legend(const Plot& plot) {
  Legend legend;
  double x = kLeft;
  for (std::size_t i = 0; i < plot.series.size(); ++i) {
    const double width = 34 + kCharacterWidth * static_cast<double>(plot.series[i].name.size()) + 16;
    if (x > kLeft && x + width > kRight) {
      x = kLeft;
      legend.bottom += kLegendRow;
    }
    legend.svg += plot.series[i].draws_line ? straight_line(x, legend.bottom, x + 26, legend.bottom, stroke_of(i))
                                            : dot(at(x + 13), at(legend.bottom), i);
    legend.svg += label(x + 34, legend.bottom + 4, "start", plot.series[i].name);
    x += width;
  }
  return legend;
}

}  // namespace

std::vector<double> nice_ticks(double low, double high, int wanted) {
  if (high - low <= 1e-9 * std::max(std::abs(low), std::abs(high))) {  // as good as one value: a frame around it
    const double margin = low == 0 ? 1 : std::abs(low) / 2;
    low -= margin;
    high += margin;
  }
  const double rough = (high - low) / std::max(wanted, 1);
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  const double share = rough / power;
  const double step = (share <= 1.0 ? 1.0 : share <= 2.0 ? 2.0 : share <= 5.0 ? 5.0 : 10.0) * power;
  std::vector<double> ticks;
  // Multiples of the step, not a running sum, so that errors do not add up; 1e-9 forgives the division's rounding.
  const double first = std::floor(low / step + 1e-9);
  const auto steps = static_cast<std::size_t>(std::ceil(high / step - 1e-9) - first);
  for (std::size_t i = 0; i <= steps; ++i) ticks.push_back((first + static_cast<double>(i)) * step);
  return ticks;
}

std::string draw_svg(std::span<const Plot> panels) {
  std::string body;
  double height = 0;
  for (const Plot& plot : panels) {
    const Axis x = x_axis(plot);
    const Axis y = y_axis(plot);
    body += "<g transform=\"translate(0 " + at(height) + ")\">\n" + draw_frame(plot, x, y);
    for (std::size_t s = 0; s < plot.series.size(); ++s) {
      body += draw_series(plot.series[s], s, x, y, plot.marks_points && plot.series[s].marks_points);
    }
    const Legend legend = draw_legend(plot);
    body += legend.svg + "</g>\n";
    height += legend.bottom + kLegendRow;
  }
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + at(kPanelWidth) + " " + at(height) +
         "\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n" +
         body + "</svg>\n";
}

Status write_plot(std::string_view path, std::span<const Plot> panels) {
  RILL_ASSIGN(OutputFile file, OutputFile::create(path));
  const std::string svg = draw_svg(panels);
  RILL_TRY(file.write(std::as_bytes(std::span(svg))));
  return file.commit();
}

Result<LabelledFile> parse_labelled_file(const std::string& argument, std::string_view made_by) {
  const std::size_t equals = argument.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == argument.size()) {
    return bad_usage({.where = text("--plot-with"),
                      .what = text(argument),
                      .expected = text("LABEL=FILE, the file ", made_by),
                      .remedy = {}});
  }
  return LabelledFile{.label = argument.substr(0, equals), .path = argument.substr(equals + 1)};
}

}  // namespace rill::apps
