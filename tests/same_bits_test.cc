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
    {"llama", 3697619615},
    {"llama3", 1405179400},
    {"mistral", 2263255242},
    {"qwen2", 3680647046},
    {"qwen3", 2344643401},
    {"smollm3", 3508933144},
    {"gpt_neox_par", 1636040240},
    {"gpt_neox_seq", 4137567723},
    {"falcon_7b", 3466636867},
    {"falcon_40b", 2495092145},
    {"falcon_rw", 682481576},
    {"mpt", 2571546931},
    {"gpt2", 313317839},
    {"gemma3", 1607310180},
    {"gpt_oss", 749885854},
    {"gemma2", 3457760448},
    {"olmo2", 2834561137},
    {"phi", 3328588195},
    {"stablelm", 698591203},
    {"streaming/llama_mha", 127789179},
    {"streaming/llama_gqa", 3812470937},
    {"streaming/gpt_neox_par", 3376400034},
    {"streaming/gpt_neox_seq", 3070473344},
    {"streaming/falcon_mq", 3887229059},
    {"streaming/mpt_alibi", 1232441086},
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
  const Result<ModelFile> model = ModelFile::open(real_model());
  ASSERT_TRUE(model.ok());
  // 18 tokens: twelve of them leave the window. Few, because an emulator runs the scalar set as well.
  for (const kernels::KernelSet* kernels : kernels::kernel_sets()) {
    if (!detect_cpu().has(kernels->needs)) continue;
    EXPECT_EQ(logits_checksum(*model, kernels, stream_policy(2, 4), 18), 3198646558U) << kernels->name;
  }
}

}  // namespace
}  // namespace rill
