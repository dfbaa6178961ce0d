#pragma once
// What every fuzz target is made of. A target takes any bytes and must come back: without a crash, without undefined
// behaviour, and without memory out of proportion. With clang's libFuzzer (preset "fuzz") they are hunted for; in any
// other build the corpus is fed to them once, as a test.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>

/// The target; libFuzzer's name and form.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace rill::fuzz {

inline std::span<const std::byte> bytes_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const std::byte*>(data), size};
}
inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Ends the process as a finding if a promise does not hold.
inline void require(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "a promise was broken: %s\n", promise);
  std::abort();
}

}  // namespace rill::fuzz
