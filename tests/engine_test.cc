// The runtime as a whole against what others compute: the paper's own code, Hugging Face's float32, a double-precision
// oracle; and against itself, where the same bits are promised.

#include "core/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/checksum.h"
#include "platform/cpu.h"
#include "tests/support/golden.h"
#include "tests/support/golden_models.h"
#include "tests/support/imported_model.h"
#include "tests/support/oracle_network.h"
#include "tests/support/shared_data.h"

namespace rill {
namespace {

/// Rows of logits picked by index.
std::vector<float> rows_at(std::span<const float> logits, std::size_t columns, const GoldenTensor& index) {
  std::vector<float> picked;
  for (const std::int32_t row : index.ints) {
    const auto begin = logits.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(row) * columns);
    picked.insert(picked.end(), begin, begin + static_cast<std::ptrdiff_t>(columns));
  }
  return picked;
}

class StreamingGolden : public testing::TestWithParam<const char*> {
 protected:
  static constexpr std::size_t kVocabulary = 320;
  static constexpr double kTolerance = 0.04;  // of the logits' deviation: the README beside the goldens
  std::string directory() const { return shared_path(std::string("goldens/streaming/") + GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Families, StreamingGolden, testing::ValuesIn(kStreamingGoldens),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(StreamingGolden, EveryPolicyAgreesWithThePapersOwnCode) {
  RILL_NEED_SHARED("goldens/streaming");
  const ImportedModel model(directory());
  const Result<Golden> golden = Golden::load(directory() + "/golden.safetensors");
  ASSERT_TRUE(model.ok() && golden.ok());
  const std::vector<Token> tokens = (*golden)["tokens"].tokens();
  struct Case {
    CachePolicy policy;
    const char* logits;
    const char* nll;
  };
  for (const Case& c : {Case{stream_policy(4, 28), "stream_4_28", "nll_stream_4_28"},
                        Case{stream_policy(1, 31), "stream_1_31", "nll_stream_1_31"},
                        Case{window_policy(32), "window_0_32", "nll_window_0_32"},
                        Case{recompute_policy(32), "recompute_33", "nll_recompute_33"}}) {
    Result<Engine> engine = start(model.file(), {.policy = c.policy, .chunk = 24});
    ASSERT_TRUE(engine.ok());
    const std::vector<float> logits = logits_of(*engine, tokens);
    const char* index = c.policy.recomputes ? "recompute_index" : "step_index";
    const std::vector<float> rows = rows_at(logits, kVocabulary, (*golden)[index]);
    EXPECT_LE(rms_over_deviation(rows, (*golden)[c.logits].floats), kTolerance) << c.logits;
    double difference = 0;
    const std::vector<float>& nll = (*golden)[c.nll].floats;
    const std::size_t first = tokens.size() - 1 - nll.size();  // recomputation is stored from the first full window
    for (std::size_t i = 0; i < nll.size(); ++i) {
      const std::size_t t = first + i;
      difference += nll_nats(std::span(logits).subspan(t * kVocabulary, kVocabulary), tokens[t + 1]) -
                    static_cast<double>(nll[i]);
    }
    EXPECT_NEAR(difference / static_cast<double>(nll.size()), 0, 0.02) << c.nll;
  }
}

TEST_P(StreamingGolden, DenseAgreesWithHuggingFace) {
  RILL_NEED_SHARED("goldens/streaming");
  const ImportedModel model(directory());
  const Result<Golden> golden = Golden::load(directory() + "/golden.safetensors");
  ASSERT_TRUE(model.ok() && golden.ok());
  std::vector<Token> tokens = (*golden)["tokens"].tokens();
  tokens.resize(128);
  Result<Engine> engine = start(model.file(), {.policy = dense_policy(128)});
  ASSERT_TRUE(engine.ok());
  EXPECT_LE(rms_over_deviation(logits_of(*engine, tokens), (*golden)["dense"].floats), kTolerance);
}

TEST_P(StreamingGolden, HasTheSameBitsForEveryKernelSetThreadCountAndChunk) {
  RILL_NEED_SHARED("goldens/streaming");
  const ImportedModel model(directory());
  const Result<Golden> golden = Golden::load(directory() + "/golden.safetensors");
  ASSERT_TRUE(model.ok() && golden.ok());
  const std::vector<Token> tokens = (*golden)["tokens"].tokens();
  std::uint32_t expected = 0;
  for (const kernels::KernelSet* kernels : kernels::kernel_sets()) {
    if (!detect_cpu().has(kernels->needs)) continue;
    for (const std::uint32_t threads : {1U, 2U, 3U}) {
      for (const std::uint32_t chunk : {1U, 7U, 64U, 300U}) {
        Result<Engine> engine = start(model.file(), {.policy = stream_policy(4, 28),
                                                     .chunk = chunk,
                                                     .threads = threads,
                                                     .kernels = kernels,
                                                     .in_ram = chunk == 7,
                                                     .logits_rows = 5});
        ASSERT_TRUE(engine.ok());
        const std::uint32_t actual = crc32(std::as_bytes(std::span<const float>(logits_of(*engine, tokens))));
        if (expected == 0) expected = actual;
        EXPECT_EQ(actual, expected) << kernels->name << ", " << threads << " threads, chunk " << chunk;
      }
    }
  }
}

TEST_P(StreamingGolden, AStreamThatBeginsNearTheEndOfPositionsIsTheOneThatBeginsAtZero) {
  RILL_NEED_SHARED("goldens/streaming");
  const ImportedModel model(directory());
  const Result<Golden> golden = Golden::load(directory() + "/golden.safetensors");
  ASSERT_TRUE(model.ok() && golden.ok());
  const std::vector<Token> tokens = (*golden)["tokens"].tokens();
  Result<Engine> engine = start(model.file(), {.policy = stream_policy(4, 28), .chunk = 16});
  ASSERT_TRUE(engine.ok());
  Session& session = engine->session(0);
  const auto stream_from = [&](std::uint64_t position) {
    session.reset(position);
    std::vector<float> logits;
    const Status status = session.evaluate(tokens, [&](std::size_t, std::span<const float> row) {
      logits.insert(logits.end(), row.begin(), row.end());
      return Status();
    });
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(session.position(), position + tokens.size());
    return logits;
  };
  const std::vector<float> expected = stream_from(0);
  const bool has_rope = model.file().config().position == Position::kRope;
  constexpr std::uint64_t kHalf = std::uint64_t{1} << 63U;
  const std::uint64_t some = tokens.size() / 2;  // the change comes on the way
  for (const std::uint64_t position : {std::uint64_t{1} << 32U, kHalf - some, kHalf, ~std::uint64_t{0} - some}) {
    const std::vector<float> actual = stream_from(position);
    for (const float logit : actual) ASSERT_TRUE(std::isfinite(logit));
    if (has_rope) {  // the same angles between the same keys and queries, each rounded where it stands
      EXPECT_LE(rms_over_deviation(actual, expected), kTolerance) << position;
    } else {  // nothing but distances goes in
      EXPECT_EQ(actual, expected) << position;
    }
  }
}

/// stories260K beside its oracle, token by token.
class Stories260K : public testing::Test {
 protected:
  static constexpr int kTokens = 100;

  /// Calls step(i, our logits, the oracle's) for each of the story's tokens; both are fed what the oracle tells.
  template <typename Step>
  void tell(std::uint32_t group, Step step) {
    const std::string checkpoint = shared_path("models/stories260K/stories260K.bin");
    const std::string vocabulary = shared_path("models/stories260K/tok512.model");
    const ImportedModel model(checkpoint, vocabulary, "none", group);
    ASSERT_TRUE(model.ok());
    const auto oracle = oracle::Network::open(checkpoint, vocabulary);
    ASSERT_TRUE(oracle.ok());
    Result<Engine> engine = start(model.file(), {.policy = stream_policy(4, 508)});
    ASSERT_TRUE(engine.ok());
    std::vector<Token> prompt = {engine->tokenizer()->beginning_of_text()};
    ASSERT_TRUE(engine->tokenizer()
                    ->encode("Once upon a time", SpecialTokens::kText,
                             [&](std::span<const Token> run) {
                               prompt.insert(prompt.end(), run.begin(), run.end());
                               return Status();
                             })
                    .ok());
    oracle::PaperCache cache;
    std::vector<double> expected;
    for (const Token token : prompt) expected = oracle->step(token, cache);
    auto logits = engine->session(0).prefill(prompt);
    for (int i = 0; i < kTokens; ++i) {
      ASSERT_TRUE(logits.ok());
      step(i, *logits, std::span<const double>(expected));
      const Token told = best(std::span<const double>(expected));
      expected = oracle->step(told, cache);
      logits = engine->session(0).prefill({&told, 1});
    }
  }

  template <typename Number>
  static Token best(std::span<const Number> logits) {
    return static_cast<Token>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
};

TEST_F(Stories260K, LeavesTheStoryOfDoublePrecisionOnlyWhereTwoTokensAreAsGoodAsEqual) {
  RILL_NEED_SHARED("models/stories260K");
  for (const std::uint32_t group : {32U, 64U}) {
    int differences = 0;
    tell(group, [&](int i, std::span<const float> ours, std::span<const double> theirs) {
      if (best(ours) == best(theirs)) return;
      ++differences;
      double mean = 0;
      double squares = 0;
      for (const double logit : theirs) mean += logit / static_cast<double>(theirs.size());
      for (const double logit : theirs) squares += (logit - mean) * (logit - mean) / static_cast<double>(theirs.size());
      // Twice the noise that the goldens' README allows (rms 0.04 of the deviation) between the two best.
      EXPECT_LT(theirs[best(theirs)] - theirs[best(ours)], 2 * 0.04 * std::sqrt(squares))
          << "groups of " << group << ", token " << i;
    });
    EXPECT_LE(differences, 5) << "groups of " << group;
  }
}

TEST(Engine, WithoutTextTakesNoTokenizersMemory) {
  RILL_NEED_SHARED("models/stories260K");
  const TalkingStories model;
  ASSERT_TRUE(model.ok());
  Result<Engine> engine = start(model.file(), {});
  Result<Engine> ids_only = start(model.file(), {.reads_text = false});
  ASSERT_TRUE(engine.ok() && ids_only.ok());
  EXPECT_NE(engine->tokenizer(), nullptr);
  EXPECT_EQ(ids_only->tokenizer(), nullptr);
  EXPECT_LT(ids_only->plan().memory.arena_bytes(), engine->plan().memory.arena_bytes());
  EXPECT_EQ(logits_of(*ids_only, std::vector<Token>{1, 2, 3}), logits_of(*engine, std::vector<Token>{1, 2, 3}));
}

TEST(Engine, RefusesIdsOutOfTheVocabularyAndLeavesTheStreamAsItWas) {
  RILL_NEED_SHARED("goldens/llama");
  const ImportedModel model(shared_path("goldens/llama"));
  Result<Engine> engine = start(model.file(), {.policy = stream_policy(1, 8)});
  ASSERT_TRUE(engine.ok());
  const std::vector<Token> good = {5, 6, 7};
  ASSERT_TRUE(engine->session(0).feed(good).ok());
  const std::vector<Token> bad = {5, 320};
  const Status status = engine->session(0).feed(bad);
  EXPECT_EQ(status.code(), Code::kBadInput);
  EXPECT_NE(status.message().find("320"), std::string_view::npos);
  EXPECT_EQ(engine->session(0).position(), 3U);
}

TEST(Engine, ADenseCacheRefusesAtItsEndWithASentence) {
  RILL_NEED_SHARED("goldens/llama");
  const ImportedModel model(shared_path("goldens/llama"));
  Result<Engine> engine = start(model.file(), {.policy = dense_policy(8)});
  ASSERT_TRUE(engine.ok());
  const std::vector<Token> eight(8, 5);
  EXPECT_TRUE(engine->session(0).feed(eight).ok());
  const Status status = engine->session(0).feed(std::span(eight).first(1));
  EXPECT_EQ(status.code(), Code::kFailed);
  EXPECT_NE(status.message().find("full"), std::string_view::npos);
}

TEST(Engine, SessionsDoNotDisturbEachOther) {
  RILL_NEED_SHARED("goldens/llama");
  const ImportedModel model(shared_path("goldens/llama"));
  Result<Engine> engine = start(model.file(), {.policy = stream_policy(2, 6), .sessions = 2});
  ASSERT_TRUE(engine.ok());
  std::vector<Token> tokens(30);
  std::iota(tokens.begin(), tokens.end(), 10U);
  const std::vector<float> alone = logits_of(*engine, tokens);
  engine->session(0).reset();
  std::vector<float> woven;
  for (const Token token : tokens) {
    const Token other = 300 - token;
    ASSERT_TRUE(engine->session(1).prefill({&other, 1}).ok());
    const auto logits = engine->session(0).prefill({&token, 1});
    ASSERT_TRUE(logits.ok());
    woven.insert(woven.end(), logits->begin(), logits->end());
  }
  EXPECT_EQ(woven, alone);
}

TEST(Engine, ABudgetIsKeptByASmallerChunkOrRefused) {
  RILL_NEED_SHARED("goldens/llama");
  const ImportedModel model(shared_path("goldens/llama"));
  const auto plan = plan_engine(model.file(), {.policy = stream_policy(4, 60), .threads = 1});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->options.chunk, 64U);
  const std::uint64_t budget = plan->memory.total_bytes() - 4096;
  const auto tighter =
      plan_engine(model.file(), {.policy = stream_policy(4, 60), .threads = 1, .budget_bytes = budget});
  ASSERT_TRUE(tighter.ok());
  EXPECT_LT(tighter->options.chunk, 64U);
  EXPECT_LE(tighter->memory.total_bytes(), budget);
  const Result<Engine> refused =
      Engine::start(model.file(), {.policy = stream_policy(4, 60), .threads = 1, .budget_bytes = 100000});
  EXPECT_EQ(refused.status().code(), Code::kOverBudget);
}

}  // namespace
}  // namespace rill
