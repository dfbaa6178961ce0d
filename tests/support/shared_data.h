#pragma once
// Where tests find ../shared, which is no part of the repository, and how they skip without it. Included by tests only:
// the macro RILL_SHARED_DIR is theirs.

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

namespace rill {

/// The path of a file or directory of ../shared, whether it is there or not.
inline std::string shared_path(std::string_view name) { return std::string(RILL_SHARED_DIR "/").append(name); }

inline bool has_shared(std::string_view name) {
  std::error_code ignored;
  return std::filesystem::exists(shared_path(name), ignored);
}

}  // namespace rill

/// Skips the test, with a reason, where a file or directory of ../shared is absent.
#define RILL_NEED_SHARED(name) \
  if (!::rill::has_shared(name)) GTEST_SKIP() << "needs " << ::rill::shared_path(name) << ", which is not here"
