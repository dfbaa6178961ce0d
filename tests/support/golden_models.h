#pragma once
// The models of ../shared/goldens: which there are, and where each of them lies.

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/shared_data.h"

namespace rill {

/// One directory each under goldens/.
inline constexpr const char* kGoldenFamilies[] = {
    "llama",        "llama3",    "mistral",    "qwen2",     "qwen3",   "smollm3", "gpt_neox_par",
    "gpt_neox_seq", "falcon_7b", "falcon_40b", "falcon_rw", "mpt",     "gpt2",    "gemma3",
    "gpt_oss",      "gemma2",    "olmo2",      "phi",       "stablelm"};

/// One directory each under goldens/streaming/.
inline constexpr const char* kStreamingGoldens[] = {"llama_mha",    "llama_gqa", "gpt_neox_par",
                                                    "gpt_neox_seq", "falcon_mq", "mpt_alibi"};

/// The formats in which a golden model is there: its directory, and a GGUF file beside it.
inline std::vector<std::string> golden_sources(const std::string& family) {
  const std::string directory = shared_path("goldens/" + family);
  std::vector<std::string> sources = {directory};
  if (const std::string gguf = directory + "/" + family + ".q8_0.gguf"; std::filesystem::exists(gguf)) {
    sources.push_back(gguf);
  }
  return sources;
}

}  // namespace rill
