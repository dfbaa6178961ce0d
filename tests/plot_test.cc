#include "apps/plot.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace rill::apps {
namespace {

Plot plot_of(std::vector<double> x, std::vector<double> y) {
  Plot plot;
  plot.series.push_back({.name = "measured", .x = std::move(x), .y = std::move(y)});
  return plot;
}

std::string svg_of(const Plot& plot) { return draw_svg({&plot, 1}); }

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

/// The path of the first series.
std::string path_of(const std::string& svg) {
  const std::size_t begin = svg.find(" d=\"") + 4;
  return svg.substr(begin, svg.find('"', begin) - begin);
}

TEST(NiceTicks, AreRoundAndCoverTheValues) {
  EXPECT_EQ(nice_ticks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(nice_ticks(256, 4096, 4), (std::vector<double>{0, 1000, 2000, 3000, 4000, 5000}));
  for (const auto& [low, high] :
       {std::array{2.93, 3.17}, {-7.0, 11.0}, {1e-7, 3e-7}, {5.0, 5.0}, {0.0, 0.0}, {1.0, 1.0 + 1e-15}}) {
    const std::vector<double> ticks = nice_ticks(low, high, 6);
    ASSERT_GE(ticks.size(), 2U);
    EXPECT_LE(ticks.front(), low);
    EXPECT_GE(ticks.back(), high);
    EXPECT_LE(ticks.size(), 9U);
  }
}

TEST(Plot, PutsTheEndsOfTheDataAtTheEndsOfTheFrame) {
  EXPECT_EQ(path_of(svg_of(plot_of({0, 5, 10}, {0, 3, 6}))), "M72.0 350.0L404.0 199.0L736.0 48.0");
}

TEST(Plot, PutsEqualFactorsAtEqualDistancesOnALogarithmicAxis) {
  Plot plot = plot_of({0, 5, 10}, {1, 10, 100});
  plot.y_scale = AxisScale::kLog10;
  EXPECT_EQ(path_of(svg_of(plot)), "M72.0 350.0L404.0 199.0L736.0 48.0");
}

TEST(Plot, MayHaveBothAxesLogarithmic) {
  Plot plot = plot_of({1, 10, 100}, {1, 10, 100});
  plot.x_scale = plot.y_scale = AxisScale::kLog10;
  EXPECT_EQ(path_of(svg_of(plot)), "M72.0 350.0L404.0 199.0L736.0 48.0");
}

TEST(Plot, DrawsPointsWithoutALineAndALineWithoutPoints) {
  Plot plot = plot_of({1, 2, 3}, {1, 2, 3});
  plot.marks_points = true;
  plot.series[0].draws_line = false;
  EXPECT_EQ(count(svg_of(plot), "<path"), 0U);
  EXPECT_EQ(count(svg_of(plot), "<circle"), 4U);  // one is the legend's
  plot.series[0] = {.name = "a limit", .x = {1, 2}, .y = {1, 2}, .marks_points = false};
  EXPECT_EQ(count(svg_of(plot), "<path"), 1U);
  EXPECT_EQ(count(svg_of(plot), "<circle"), 0U);
}

TEST(Plot, LeavesAGapWhereAValueCannotBeShown) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(count(path_of(svg_of(plot_of({0, 1, 2, 3}, {1, nan, 2, 3}))), "M"), 2U);
  Plot plot = plot_of({0, 1, 2, 3}, {1, 0, 2, 3});
  plot.y_scale = AxisScale::kLog10;
  EXPECT_EQ(count(path_of(svg_of(plot)), "M"), 2U);
}

TEST(Plot, StartsAmountsAtZero) {
  Plot plot = plot_of({0, 10}, {90, 100});
  plot.y_from_zero = true;
  EXPECT_NE(svg_of(plot).find(">0</text>"), std::string::npos);
}

TEST(Plot, ShowsPercentagesAgainstAHundred) {
  Plot plot = plot_of({0, 10}, {0, 0});
  plot.y_is_percent = true;
  EXPECT_NE(svg_of(plot).find(">0</text>"), std::string::npos);
  EXPECT_NE(svg_of(plot).find(">100</text>"), std::string::npos);
  EXPECT_EQ(svg_of(plot).find(">-"), std::string::npos);
}

TEST(Plot, HoldsAnyTextWithoutBreakingTheXml) {
  Plot plot = plot_of({0, 1}, {0, 1});
  plot.title = "a < b & \"c\"\n";
  plot.series.front().name = "</svg><script>";
  const std::string svg = svg_of(plot);
  EXPECT_NE(svg.find("a &lt; b &amp; &quot;c&quot; <"), std::string::npos);
  EXPECT_EQ(count(svg, "</svg>"), 1U);
  EXPECT_EQ(count(svg, "<script"), 0U);
}

TEST(Plot, ReplacesWhatIsNoCharacterOfXml) {
  Plot plot = plot_of({0, 1}, {0, 1});
  plot.title = "\xff|\xc3|\xed\xa0\x80|\xef\xbf\xbf|\x07|caf\u00e9";
  EXPECT_NE(svg_of(plot).find(">\uFFFD|\uFFFD|\uFFFD\uFFFD\uFFFD|\uFFFD| |caf\u00e9<"), std::string::npos);
}

TEST(Plot, DrawsEveryPanelAndSeriesAndAnEmptyOne) {
  const std::array panels = {plot_of({0, 1}, {0, 1}), plot_of({}, {})};
  const std::string svg = draw_svg(panels);
  EXPECT_EQ(count(svg, "<g "), 2U);
  EXPECT_EQ(count(svg, "<path"), 2U);
  EXPECT_EQ(count(svg, "nan") + count(svg, "inf"), 0U);
}

}  // namespace
}  // namespace rill::apps
