#include "apps/streameval_curve.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tests/support/scratch_directory.h"

namespace rill::apps {
namespace {

std::vector<StreamEvalCurve> two_curves() {
  return {{.distance_lines = 20,
           .distance_tokens = 486.5,
           .accuracy = 0.75,
           .along_tokens = {500, 1000},
           .along_accuracy = {1, 0.5}},
          {.distance_lines = 5,
           .distance_tokens = 122,
           .accuracy = 0.25,
           .along_tokens = {400, 900},
           .along_accuracy = {0, 0.5}}};
}

std::string file_with(const ScratchDirectory& scratch, const nlohmann::ordered_json& json) {
  std::string path = scratch.file("run.json");
  std::ofstream(path) << json;
  return path;
}

std::string svg_of(const ScratchDirectory& scratch, const std::vector<StreamEvalRun>& runs) {
  const std::string path = scratch.file("plot.svg");
  EXPECT_TRUE(write_streameval_plot(path, runs).ok());
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(StreamEvalRun, IsReadBackAsItWasWritten) {
  const ScratchDirectory scratch;
  nlohmann::ordered_json json{{"lines", 100}};
  add_curves(two_curves(), json);
  const Result<StreamEvalRun> run = read_labelled_streameval("4+252=" + file_with(scratch, json));
  ASSERT_TRUE(run.ok()) << run.status().message();
  EXPECT_EQ(run->label, "4+252");
  ASSERT_EQ(run->curves.size(), 2U);
  EXPECT_EQ(run->curves[0].distance_lines, 20U);
  EXPECT_EQ(run->curves[0].distance_tokens, 486.5);
  EXPECT_EQ(run->curves[1].accuracy, 0.25);
  EXPECT_EQ(run->curves[1].along_tokens, (std::vector<double>{400, 900}));
  EXPECT_EQ(run->curves[0].along_accuracy, (std::vector<double>{1, 0.5}));
}

TEST(StreamEvalRun, OfAnotherShapeIsRefusedByKey) {
  const ScratchDirectory scratch;
  nlohmann::ordered_json good;
  add_curves(two_curves(), good);
  const nlohmann::ordered_json strange[] = {nullptr,          7, "x", {1}, {1, "2"}, {1, -1}, {nullptr, nullptr},
                                            {{{"tokens", 1}}}};
  for (const char* key : {"distance_lines", "distance_tokens", "accuracy", "along"}) {
    for (const nlohmann::ordered_json& value : strange) {
      nlohmann::ordered_json json = good;
      json[key] = value;
      const Result<StreamEvalRun> run = read_labelled_streameval("a=" + file_with(scratch, json));
      ASSERT_FALSE(run.ok()) << key << " " << value;
      EXPECT_EQ(run.status().code(), Code::kBadInput);
      EXPECT_NE(run.status().message().find("key "), std::string_view::npos) << run.status().message();
    }
  }
  good["along"][1]["accuracy"].push_back(0);
  EXPECT_EQ(read_labelled_streameval("a=" + file_with(scratch, good)).status().code(), Code::kBadInput);
  EXPECT_EQ(read_labelled_streameval("a=" + scratch.file("absent")).status().code(), Code::kBadInput);
  EXPECT_EQ(read_labelled_streameval("no label").status().code(), Code::kUsage);
}

TEST(StreamEvalPlot, OfOneRunHasALineForEachDistance) {
  const ScratchDirectory scratch;
  const std::string svg = svg_of(scratch, {{.label = "stream", .curves = two_curves()}});
  EXPECT_NE(svg.find("20 lines back"), std::string::npos);
  EXPECT_NE(svg.find("5 lines back"), std::string::npos);
}

TEST(StreamEvalPlot, OfSeveralRunsComparesThemAtOneDistance) {
  const ScratchDirectory scratch;
  const std::string svg =
      svg_of(scratch, {{.label = "dense", .curves = two_curves()}, {.label = "4+1020", .curves = two_curves()}});
  EXPECT_NE(svg.find("along the stream, 20 lines back"), std::string::npos);
  EXPECT_NE(svg.find("dense"), std::string::npos);
  EXPECT_NE(svg.find("4+1020"), std::string::npos);
  EXPECT_EQ(svg.find("5 lines back"), std::string::npos);
}

}  // namespace
}  // namespace rill::apps
