// What is said to fit a budget does, when it is typed: the flags are read back and the plan made with them.

#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "core/engine.h"
#include "quant/huggingface_config.h"

namespace rill {
namespace {

class WaysToFitTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto config = quant::read_huggingface_config(RILL_TEST_DATA_DIR "/configs/smollm2-360m.json");
    ASSERT_TRUE(config.ok());
    const auto outline = outline_of(config->model);
    ASSERT_TRUE(outline.ok());
    outline_ = *outline;
  }
  std::uint64_t total(const EngineOptions& options) const {
    const auto plan = plan_engine(outline_, options);
    return plan.ok() ? plan->total_bytes() : 0;
  }
  /// The options with the flags of a way, as they would be typed.
  static EngineOptions typed(EngineOptions options, const Text& change) {
    std::istringstream words{std::string(change.view())};
    std::string flag;
    std::uint32_t value = 0;
    while (words >> flag) {
      if (flag == "no") {
        EXPECT_TRUE(words >> flag && flag == "--state");
        options.keeps_state = false;
        continue;
      }
      EXPECT_TRUE(words >> value) << change.view();
      std::uint32_t* const field = flag == "--sinks"     ? &options.policy.sinks
                                   : flag == "--window"  ? &options.policy.window
                                   : flag == "--chunk"   ? &options.chunk
                                   : flag == "--threads" ? &options.threads
                                   : flag == "--draft"   ? &options.draft
                                                         : nullptr;
      if (field == nullptr) {
        ADD_FAILURE() << change.view();
        return options;
      }
      *field = value;
    }
    return options;
  }
  ModelOutline outline_;
};

TEST_F(WaysToFitTest, EachOfThemFits) {
  const EngineOptions asked[] = {
      {.policy = stream_policy(4, 1020), .draft = 5},
      {.policy = stream_policy(100000, 1020), .draft = 5},
      {.policy = stream_policy(4, 16), .chunk = 1, .threads = 1},
      {.policy = stream_policy(4, 8), .threads = 3, .draft = 5, .keeps_state = true},
      {.policy = dense_policy(8192), .chunk = 512, .beside_bytes = 1U << 20U},
      {.policy = recompute_policy(2000), .chunk = 64, .threads = 2},
  };
  for (const EngineOptions& each : asked) {
    const std::uint64_t wanted = total(each);
    ASSERT_GT(wanted, outline_.file_bytes);
    for (std::uint64_t budget = outline_.file_bytes; budget < wanted;
         budget += 1 + (wanted - outline_.file_bytes) / 9) {
      EngineOptions options = each;
      options.budget_bytes = budget;
      const auto plan = plan_engine(outline_, options);
      ASSERT_TRUE(plan.ok());
      if (plan->fits()) continue;  // with a smaller chunk
      const WaysToFit ways = ways_to_fit(outline_, options);
      ASSERT_GE(ways.ways, 1U);
      for (std::size_t i = 0; i < ways.ways; ++i) {
        const WayToFit& way = ways.list[i];
        if (way.change.view().starts_with("a smaller model")) {
          EXPECT_GT(way.total_bytes, budget) << way.change.view();
          EXPECT_LE(way.total_bytes, wanted) << way.change.view();
          continue;
        }
        const EngineOptions changed = typed(options, way.change);
        const auto fitting = plan_engine(outline_, changed);
        ASSERT_TRUE(fitting.ok()) << way.change.view();
        EXPECT_TRUE(fitting->fits()) << way.change.view() << " in " << budget;
        EXPECT_EQ(fitting->total_bytes(), way.total_bytes) << way.change.view();
      }
    }
  }
}

/// It said "a smaller model" where a window of 16 fitted.
TEST_F(WaysToFitTest, NoSmallerModelIsAskedForWhereASmallerWindowIsEnough) {
  const EngineOptions least = {.policy = stream_policy(4, 16), .chunk = 1, .threads = 1};
  EngineOptions options = {.policy = stream_policy(200, 1020), .draft = 5, .budget_bytes = total(least)};
  const WaysToFit ways = ways_to_fit(outline_, options);
  ASSERT_EQ(ways.ways, 1U);
  EXPECT_TRUE(ways.list[0].change.view().starts_with("--sinks 4 --window ")) << ways.list[0].change.view();
}

}  // namespace
}  // namespace rill
