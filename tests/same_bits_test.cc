// The same bits everywhere: the checksums of logits that the scalar set gave on x86-64, where they were recorded, hold
// for every kernel set of whatever processor this test runs on.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/checksum.h"
#include "core/engine.h"
#include "platform/cpu.h"
#include "tests/support/golden_models.h"
#include "tests/support/imported_model.h"
#include "tests/support/real_model.h"
#include "tests/support/shared_data.h"

namespace rill {
namespace {

/// Ids that need no tokenizer: a full period of the vocabulary's multiples of 37.
std::vector<Token> some_tokens(std::size_t count, std::uint32_t vocabulary) {
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < count; ++i) tokens.push_back(static_cast<Token>((i * 37 + 11) % vocabulary));
  return tokens;
}

std::uint32_t logits_checksum(const ModelFile& model, const kernels::KernelSet* kernels, CachePolicy policy,
                              std::size_t tokens) {
  Result<Engine> engine = start(model, {.policy = policy, .chunk = 8, .threads = 2, .kernels = kernels});
  if (!engine.ok()) return 0;
  const std::vector<float> logits = logits_of(*engine, some_tokens(tokens, model.config().vocabulary));
  return crc32(std::as_bytes(std::span<const float>(logits)));
}

struct Recorded {
  const char* model;  ///< a directory of ../shared/goldens
  std::uint32_t checksum;
};
void PrintTo(const Recorded& recorded, std::ostream* out) { *out << recorded.model; }

/// 60 tokens with 2 sinks and a window of 16, recorded with the set `scalar` on x86-64 (gcc 12).
constexpr Recorded kRecorded[] = {
    {"llama", 3246701023},
    {"llama3", 2903934077},
    {"mistral", 1252078800},
    {"qwen2", 414954908},
    {"qwen3", 3342608793},
    {"smollm3", 2679224857},
    {"gpt_neox_par", 2852414708},
    {"gpt_neox_seq", 148655165},
    {"falcon_7b", 2725842376},
    {"falcon_40b", 181237562},
    {"falcon_rw", 3736527170},
    {"mpt", 2226401074},
    {"gpt2", 1162957117},
    {"gemma3", 2940849109},
    {"gpt_oss", 3091416231},
    {"gemma2", 963890186},
    {"olmo2", 472494148},
    {"phi", 317997204},
    {"stablelm", 2396841459},
    {"streaming/llama_mha", 3852246147},
    {"streaming/llama_gqa", 2140064541},
    {"streaming/gpt_neox_par", 2082782820},
    {"streaming/gpt_neox_seq", 2396126562},
    {"streaming/falcon_mq", 1056949814},
    {"streaming/mpt_alibi", 2864668073},
};

class SameBits : public testing::TestWithParam<Recorded> {};
INSTANTIATE_TEST_SUITE_P(Goldens, SameBits, testing::ValuesIn(kRecorded), [](const auto& test) {
  std::string name = test.param.model;
  for (char& c : name) c = c == '/' ? '_' : c;
  return name;
});

TEST_P(SameBits, AsRecordedOnTheDesk) {
  RILL_NEED_SHARED("goldens");
  const ImportedModel model(shared_path(std::string("goldens/") + GetParam().model));
  ASSERT_TRUE(model.ok());
  for (const kernels::KernelSet* kernels : kernels::kernel_sets()) {
    if (!detect_cpu().has(kernels->needs)) continue;
    EXPECT_EQ(logits_checksum(model.file(), kernels, stream_policy(2, 16), 60), GetParam().checksum) << kernels->name;
  }
}

TEST(SameBitsOfTheRealModel, AsRecordedOnTheDesk) {
  RILL_NEED_REAL_MODEL();
  const Result<ModelFile> model = ModelFile::open(real_model(), Prefault::kNo);
  ASSERT_TRUE(model.ok());
  // 18 tokens: twelve of them leave the window. Few, because an emulator runs the scalar set as well.
  for (const kernels::KernelSet* kernels : kernels::kernel_sets()) {
    if (!detect_cpu().has(kernels->needs)) continue;
    EXPECT_EQ(logits_checksum(*model, kernels, stream_policy(2, 4), 18), 1982962242U) << kernels->name;
  }
}

}  // namespace
}  // namespace rill
