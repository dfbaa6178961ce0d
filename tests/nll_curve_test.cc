#include "apps/nll_curve.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/scratch_directory.h"

namespace rill::apps {
namespace {

std::string file_with(const ScratchDirectory& scratch, std::string_view content) {
  std::string path = scratch.file("x.nll");
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

TEST(NllFile, HoldsWhatWasWritten) {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("x.nll");
  const std::vector<double> nll = {3.25, 0, 1e-7, 17.5};
  ASSERT_TRUE(write_nll(path, nll).ok());
  const Result<std::vector<double>> read = read_nll(path);
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(*read, nll);
}

TEST(NllFile, NeedsNoNewlineAtItsEnd) {
  const ScratchDirectory scratch;
  EXPECT_EQ(*read_nll(file_with(scratch, "1\n2")), (std::vector<double>{1, 2}));
}

TEST(NllFile, IsRefusedWithTheFirstLineThatIsNoNumber) {
  const ScratchDirectory scratch;
  for (const std::string_view bad : {"1\nabc\n", "1\n\n2\n", "1\n2 3\n", "1\nnan\n", "1\n1e999\n", "1\n2\r\n"}) {
    const Result<std::vector<double>> read = read_nll(file_with(scratch, bad));
    ASSERT_FALSE(read.ok()) << bad;
    EXPECT_EQ(read.status().code(), Code::kBadInput);
    EXPECT_NE(read.status().message().find("line 2"), std::string_view::npos) << read.status().message();
  }
}

TEST(NllFile, IsRefusedIfEmptyOrAbsent) {
  const ScratchDirectory scratch;
  EXPECT_EQ(read_nll(file_with(scratch, "")).status().code(), Code::kBadInput);
  EXPECT_EQ(read_nll(scratch.file("absent")).status().code(), Code::kBadInput);
}

TEST(LabelledRun, IsALabelAndAFile) {
  const ScratchDirectory scratch;
  const std::string path = file_with(scratch, "1\n2\n");
  const Result<NllRun> run = read_labelled_run("4+252=" + path);
  ASSERT_TRUE(run.ok()) << run.status().message();
  EXPECT_EQ(run->label, "4+252");
  EXPECT_EQ(run->nll.size(), 2U);
  for (const char* wrong : {"", "label", "=file", "label="}) {
    EXPECT_EQ(read_labelled_run(wrong).status().code(), Code::kUsage) << wrong;
  }
}

TEST(NllPlot, DrawsEveryRunWithItsLabel) {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("x.svg");
  const std::vector<NllRun> runs = {{.label = "long", .nll = std::vector<double>(5000, 2.0)},
                                    {.label = "short", .nll = {1.0}}};
  ASSERT_TRUE(write_nll_plot(path, runs).ok());
  std::ifstream file(path);
  const std::string svg{std::istreambuf_iterator<char>(file), {}};
  EXPECT_NE(svg.find(">long<"), std::string::npos);
  EXPECT_NE(svg.find(">short<"), std::string::npos);
  EXPECT_NE(svg.find("means of 50)"), std::string::npos) << "pieces are as long for all runs";
}

}  // namespace
}  // namespace rill::apps
