#include <algorithm>
#include <array>

#include "platform/kernels/kernels.h"

namespace rill::kernels {

// One declaration and one row per line of CMake's rill_kernels(): sets.inc is generated from them.
#define RILL_KERNEL_SET(set)   \
  namespace set {              \
  extern const KernelSet kSet; \
  }
#include "platform/kernels/sets.inc"
#undef RILL_KERNEL_SET

namespace {
#define RILL_KERNEL_SET(set) &set::kSet,
constexpr std::array kSets = {
#include "platform/kernels/sets.inc"
};
#undef RILL_KERNEL_SET
}  // namespace

std::span<const KernelSet* const> kernel_sets() { return kSets; }

const KernelSet& best_kernel_set(CpuFeatures cpu) {
  const KernelSet* best = kSets.front();
  for (const KernelSet* set : kSets) {
    if (cpu.has(set->needs)) best = set;
  }
  return *best;
}

const KernelSet* find_kernel_set(std::string_view name) {
  const auto found = std::find_if(kSets.begin(), kSets.end(), [&](const KernelSet* set) { return set->name == name; });
  return found == kSets.end() ? nullptr : *found;
}

}  // namespace rill::kernels
