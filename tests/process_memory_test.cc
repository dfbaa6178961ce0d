#include "platform/process_memory.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <vector>

namespace rill {
namespace {

TEST(ProcessMemory, ThePeakIsNeverBelowWhatIsResident) {
  std::vector<std::unique_ptr<std::byte[]>> kept;
  for (int i = 0; i < 200; ++i) {
    constexpr std::size_t kSize = 77'000;
    kept.push_back(std::make_unique<std::byte[]>(kSize));  // zeroed, and so resident
    // In this order: what was resident a moment ago has been the peak since.
    const std::uint64_t resident = resident_bytes();
    ASSERT_GE(peak_resident_bytes(), resident) << i;
  }
  EXPECT_GE(resident_bytes(), kept.size() * 77'000);
}

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they keep what is freed
TEST(ProcessMemory, WhatTheStartFreedIsGivenBack) {
  constexpr std::size_t kSize = 3'000;
  std::vector<std::unique_ptr<std::byte[]>> freed(4'000);
  for (auto& block : freed) block = std::make_unique<std::byte[]>(kSize);
  const auto last = std::make_unique<std::byte[]>(kSize);  // on top of them: by itself the heap does not shrink
  const std::uint64_t before = resident_bytes();
  for (auto& block : freed) block.reset();
  release_startup_memory();
  EXPECT_LT(resident_bytes() + 8'000'000, before);
}
#endif

}  // namespace
}  // namespace rill
