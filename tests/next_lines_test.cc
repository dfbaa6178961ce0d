// That what the matrix loops fetch ahead is what they read next, all of it and nothing else.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <set>
#include <vector>

#include "platform/kernels/tiles.h"

namespace rill::kernels {
namespace {

#include "platform/kernels/next_lines.h"

/// The lines, counted from the row block's start, that groups [begin, end) of the row block `block` lie in.
std::set<std::size_t> lines_of(const TileShape& shape, std::size_t block, std::size_t begin, std::size_t end) {
  std::set<std::size_t> lines;
  const auto add = [&](std::size_t at, std::size_t bytes) {
    const std::size_t from = block * shape.block_bytes() + at;
    for (std::size_t i = from / kAlignment; i * kAlignment < from + bytes; ++i) lines.insert(i);
  };
  for (std::size_t g = begin; g < end; ++g) {
    add(shape.scales_offset(g), kScaleBytes);
    add(shape.tiles_offset(g), shape.group_bytes());
  }
  return lines;
}

TEST(NextLines, AreThoseOfTheNextPanelAndNoOthers) {
  const std::vector<std::byte> matrix(1);  // only addresses count: nothing is read
  for (const std::size_t group : {16U, 32U, 64U, 96U, 512U}) {
    for (const std::size_t groups : {1U, 2U, 3U, 9U, 18U, 19U, 48U}) {
      const TileShape shape{.rows = 32, .columns = group * groups, .group = group};
      for (const std::size_t panel : {1U, 2U, 9U, 18U, 32U}) {
        for (std::size_t begin = 0; begin < groups; begin += panel) {
          const std::size_t end = std::min(begin + panel, groups);
          const NextLines next = NextLines::behind(matrix.data(), shape, end, panel);
          const auto first = static_cast<std::size_t>(next.first - matrix.data()) / kAlignment;
          std::set<std::size_t> fetched;
          for (std::size_t i = 0; i < next.count; ++i) fetched.insert(first + i);
          std::set<std::size_t> wanted = end < groups ? lines_of(shape, 0, end, std::min(end + panel, groups))
                                                      : lines_of(shape, 1, 0, std::min(panel, groups));
          if (end < groups) {  // a line of scales that two groups share has been read with the first
            for (const std::size_t read : lines_of(shape, 0, begin, end)) wanted.erase(read);
          }
          EXPECT_EQ(fetched, wanted) << "groups of " << group << ", " << groups << " a row, [" << begin << ", " << end
                                     << ") of panels of " << panel;
        }
      }
    }
  }
}

}  // namespace
}  // namespace rill::kernels
