// One call of a kernel set's multiply on one row block, for tests/arm_speed.py --count, which counts the instructions
// that it takes. Not a test: no part of the build.
//
//   arm_count GROUPS TOKENS GROUP

#include <cstdlib>

#include "platform/kernels/kernels.h"

namespace rill::kernels::RILL_SET {
extern const KernelSet kSet;
}

namespace {

using namespace rill::kernels;

constexpr std::size_t kMostColumns = 4096;
constexpr std::size_t kMostTokens = 16;
alignas(kAlignment) std::byte weights[2 * kTileRows * kMostColumns];  // with scales
alignas(kAlignment) std::int8_t values[kMostTokens * kMostColumns];
float scales[kMostTokens * kMostColumns];
float out[kMostTokens * kTileRows];

}  // namespace

int main(int, char** argv) {
  const std::size_t groups = std::strtoul(argv[1], nullptr, 10);
  const std::size_t tokens = std::strtoul(argv[2], nullptr, 10);
  const std::size_t group = std::strtoul(argv[3], nullptr, 10);
  const Matrix w = {.blocks = weights, .shape = {.rows = kTileRows, .columns = groups * group, .group = group}};
  const Activations x = {.values = values, .scales = scales, .columns = groups * group, .groups = groups};
  RILL_SET::kSet.multiply(w, 0, 1, x, tokens, out, kTileRows);
  return 0;
}
