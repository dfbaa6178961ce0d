// The line protocol of pipes: whatever is written into the pipe, the lines are those between its newlines, the long
// ones left out and said to be.

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "apps/line_reader.h"
#include "tests/fuzz/input_file.h"

namespace {

constexpr std::size_t kLongest = 32;

/// What next() should say of it.
struct Line {
  bool too_long = false;
  std::string text;
};

std::vector<Line> lines_of(std::string_view input) {
  std::vector<Line> lines;
  while (!input.empty()) {
    const std::size_t newline = input.find('\n');
    const bool has_end = newline != std::string_view::npos;
    std::string_view line = input.substr(0, newline);
    input.remove_prefix(has_end ? newline + 1 : input.size());
    // The buffer holds a line and its end; what fills it without one is too long.
    const bool too_long = line.size() >= kLongest;
    if (has_end && line.ends_with('\r')) line.remove_suffix(1);
    lines.push_back({.too_long = too_long, .text = std::string(line)});
  }
  return lines;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using rill::fuzz::require;
  static const rill::fuzz::InputFile file;
  const std::string_view input = rill::fuzz::text_of(data, size);
  const int descriptor = ::open(file.with(input).c_str(), O_RDONLY | O_CLOEXEC);
  require(descriptor >= 0, "the input can be read");
  rill::apps::LineReader reader(descriptor, kLongest);
  for (const Line& expected : lines_of(input)) {
    std::string_view line;
    const auto outcome = reader.next(line);
    if (expected.too_long) {
      require(outcome == rill::apps::LineReader::Outcome::kTooLong, "a line that is too long is said to be");
    } else {
      require(outcome == rill::apps::LineReader::Outcome::kLine && line == expected.text, "a line is what was written");
    }
  }
  std::string_view line;
  require(reader.next(line) == rill::apps::LineReader::Outcome::kEnd, "the end is the end");
  ::close(descriptor);
  return 0;
}
