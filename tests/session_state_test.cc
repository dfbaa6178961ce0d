// A session as bytes: restored, it goes on with the bits that would have come; and no bytes, however they came about,
// make it read or write outside of its memory.

#include "core/session_state.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "platform/cpu.h"
#include "tests/support/golden.h"
#include "tests/support/imported_model.h"
#include "tests/support/shared_data.h"

namespace rill {
namespace {

constexpr std::uint32_t kVocabulary = 320;

std::vector<Token> random_tokens(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<Token> tokens(count);
  for (Token& token : tokens) token = static_cast<Token>(random() % kVocabulary);
  return tokens;
}

/// What comes next in a stream: the logits after given tokens, then tokens drawn from logits and fed, with theirs.
std::vector<float> next_of(Session& session, std::span<const Token> tokens) {
  std::vector<float> all;
  const auto keep = [&](std::size_t, std::span<const float> row) {
    all.insert(all.end(), row.begin(), row.end());
    return Status();
  };
  EXPECT_TRUE(session.evaluate(tokens, keep).ok());
  Token token = tokens.back();
  for (int i = 0; i < 20 && session.room() > 0; ++i) {
    const auto logits = session.prefill({&token, 1});
    EXPECT_TRUE(logits.ok());
    if (!logits.ok()) break;
    all.insert(all.end(), logits->begin(), logits->end());
    token = session.sample(*logits);
    all.push_back(static_cast<float>(token));
  }
  return all;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

std::vector<std::byte> saved(const Session& session) {
  std::vector<std::byte> state(session.state_bytes());
  session.save(state);
  return state;
}

class SessionState : public testing::TestWithParam<const char*> {
 protected:
  static constexpr SamplingOptions kSampling = {.temperature = 1, .top_p = 0.95F, .repeat_penalty = 1.2F, .seed = 9};
};
// Rotated heads in groups, ALiBi, layers with a ring of their own, learned positions, experts with sink logits.
INSTANTIATE_TEST_SUITE_P(Models, SessionState,
                         testing::Values("streaming/llama_gqa", "streaming/mpt_alibi", "gemma3", "mistral", "gpt2",
                                         "gpt_oss"),
                         [](const auto& test) {
                           const std::string path = test.param;
                           return path.substr(path.find('/') + 1);
                         });

TEST_P(SessionState, RestoredGivesTheBitsThatWouldHaveComeUnderEveryPolicy) {
  const std::string directory = std::string("goldens/") + GetParam();
  RILL_NEED_SHARED(directory);
  const ImportedModel model(shared_path(directory));
  ASSERT_TRUE(model.ok());
  const kernels::KernelSet* others = kernels::kernel_sets().front();
  for (const CachePolicy& policy :
       {stream_policy(4, 28), stream_policy(0, 7), window_policy(32), recompute_policy(20), dense_policy(139)}) {
    for (const std::size_t before : {0U, 3U, 20U, 85U}) {
      Result<Engine> first = start(model.file(), {.policy = policy, .chunk = 16, .threads = 1});
      Result<Engine> second =
          start(model.file(), {.policy = policy, .chunk = 5, .threads = 2, .kernels = others, .sessions = 3});
      ASSERT_TRUE(first.ok() && second.ok());
      Session& interrupted = first->session(0);
      Session& restored = second->session(1);
      interrupted.set_sampling(kSampling);
      restored.set_sampling(kSampling);
      ASSERT_TRUE(interrupted.feed(random_tokens(before, 1)).ok());
      if (before > 0) next_of(interrupted, random_tokens(5, 4));  // so that the generator is under way
      ASSERT_TRUE(restored.feed(random_tokens(50, 2)).ok());      // what was there goes
      ASSERT_TRUE(second->session(2).feed(random_tokens(9, 5)).ok());
      const std::vector<std::byte> neighbour = saved(second->session(2));

      const std::vector<std::byte> state = saved(interrupted);
      const Status status = restored.restore(state);
      ASSERT_TRUE(status.ok()) << status.message();
      EXPECT_EQ(saved(restored), state);
      EXPECT_EQ(restored.position(), interrupted.position());
      EXPECT_EQ(saved(second->session(2)), neighbour) << "another session was touched";
      const std::vector<Token> after = random_tokens(25, 3);
      EXPECT_TRUE(same_bits(next_of(restored, after), next_of(interrupted, after)))
          << policy.name << " after " << before << " tokens";
    }
  }
}

/// A row's error ends evaluate() at its chunk; what the sampler remembers must be what the stream holds.
TEST_P(SessionState, HoldsNothingOfAnEvaluationThatDidNotRun) {
  const std::string directory = std::string("goldens/") + GetParam();
  RILL_NEED_SHARED(directory);
  const ImportedModel model(shared_path(directory));
  ASSERT_TRUE(model.ok());
  Result<Engine> engine = start(model.file(), {.policy = stream_policy(4, 28), .chunk = 16, .sessions = 2});
  ASSERT_TRUE(engine.ok());
  const std::vector<Token> tokens = random_tokens(48, 6);
  Session& stopped = engine->session(0);
  const Status status = stopped.evaluate(tokens, [](std::size_t index, std::span<const float>) {
    return index < 3 ? Status() : failed({.where = {}, .what = text("enough"), .expected = {}, .remedy = {}});
  });
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(stopped.position(), 16U);
  ASSERT_TRUE(engine->session(1).feed(std::span(tokens).first(16)).ok());
  EXPECT_TRUE(saved(stopped) == saved(engine->session(1))) << "cache, position and sampler, which a state is";
}

class HostileState : public testing::Test {
 protected:
  void SetUp() override {
    RILL_NEED_SHARED("goldens/streaming/llama_gqa");
    model_.emplace(shared_path("goldens/streaming/llama_gqa"));
    ASSERT_TRUE(model_->ok());
  }
  /// A state some way into its stream.
  std::vector<std::byte> state_of(Engine& engine) {
    engine.session(0).set_sampling({.temperature = 1, .repeat_penalty = 1.3F});
    EXPECT_TRUE(engine.session(0).feed(random_tokens(70, 1)).ok());
    return saved(engine.session(0));
  }
  static void put(std::vector<std::byte>& state, std::size_t offset, std::uint64_t value) {
    std::memcpy(state.data() + offset, &value, sizeof value);
  }

  std::optional<ImportedModel> model_;
};

TEST_F(HostileState, ThatNoSessionCanHaveIsRefusedByNameAndChangesNothing) {
  // Offsets: position 0, forgotten 8, remembered 16, sinks 24, passed 32; the generator's words from 40, its next one
  // at 2536; 64 recent tokens from 2544; seen at 2800; tokens to recompute from 2808.
  struct Case {
    CachePolicy policy;
    std::size_t offset;
    std::uint64_t value;
    std::string_view what;
  };
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  for (const Case& c :
       {Case{stream_policy(4, 28), 24, 5, "more tokens in the cache"},
        Case{stream_policy(4, 28), 24, kMost, "more tokens in the cache"},
        Case{stream_policy(4, 28), 24, 3, "more tokens in the cache"},
        Case{stream_policy(4, 28), 32, kMost, "more tokens in the cache"},
        Case{dense_policy(80), 32, 81, "more tokens in the cache"},
        Case{recompute_policy(20), 32, 22, "more tokens in the cache"},
        Case{stream_policy(4, 28), 16, 1, "more tokens to recompute"},
        Case{recompute_policy(20), 16, 22, "more tokens to recompute"},
        Case{stream_policy(4, 28), 2536, 313, "a sampler"}, Case{stream_policy(4, 28), 2544, kVocabulary, "a sampler"},
        Case{recompute_policy(20), 2808, kVocabulary, "a token to recompute"}}) {
    Result<Engine> engine = start(model_->file(), {.policy = c.policy});
    ASSERT_TRUE(engine.ok());
    const std::vector<std::byte> good = state_of(*engine);
    std::vector<std::byte> bad = good;
    put(bad, c.offset, c.value);
    const Status status = engine->session(0).restore(bad);
    EXPECT_EQ(status.code(), Code::kBadInput) << c.policy.name << " " << c.offset;
    EXPECT_NE(status.message().find(c.what), std::string_view::npos) << status.message();
    EXPECT_EQ(saved(engine->session(0)), good);
    EXPECT_TRUE(engine->session(0).restore(good).ok());
  }
}

TEST_F(HostileState, OfAnotherSizeOrWithAScaleThatIsNoNumberIsRefused) {
  Result<Engine> engine = start(model_->file(), {.policy = stream_policy(4, 28)});
  ASSERT_TRUE(engine.ok());
  const std::vector<std::byte> good = state_of(*engine);
  EXPECT_EQ(engine->session(0).restore(std::span(good).first(good.size() - 1)).code(), Code::kBadInput);
  EXPECT_EQ(engine->session(0).restore({}).code(), Code::kBadInput);
  for (const float scale : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<std::byte> bad = good;
    std::memcpy(bad.data() + bad.size() - sizeof scale, &scale, sizeof scale);  // the ring's last value's
    const Status status = engine->session(0).restore(bad);
    EXPECT_NE(status.message().find("no finite number"), std::string_view::npos) << status.message();
  }
  EXPECT_EQ(saved(engine->session(0)), good);
}

TEST_F(HostileState, WithAnyBytesChangedIsRefusedOrRunsOn) {
  std::mt19937_64 random(1);
  int refused = 0;
  int ran = 0;
  for (const CachePolicy& policy : {stream_policy(4, 28), recompute_policy(20), dense_policy(200)}) {
    Result<Engine> engine = start(model_->file(), {.policy = policy, .chunk = 8, .threads = 1});
    ASSERT_TRUE(engine.ok());
    Session& session = engine->session(0);
    const std::vector<std::byte> good = state_of(*engine);
    for (int round = 0; round < 150; ++round) {
      std::vector<std::byte> bad = good;
      for (std::uint64_t i = 0; i < 1 + random() % 40; ++i) {
        // A third of them among the counts and the sampler.
        const std::size_t at = random() % 3 == 0 ? random() % 2900 : random() % bad.size();
        bad[at] = static_cast<std::byte>(random());
      }
      if (round % 3 == 0) put(bad, random() % 5 * 8, random() >> random() % 64);
      if (!session.restore(bad).ok()) {
        ++refused;
        continue;
      }
      ++ran;
      for (int i = 0; i < 12 && session.room() > 0; ++i) {
        const Token token = static_cast<Token>(random() % kVocabulary);
        const auto logits = session.prefill({&token, 1});
        ASSERT_TRUE(logits.ok()) << logits.status().message();
        ASSERT_LT(session.sample(*logits), kVocabulary);
      }
    }
  }
  EXPECT_GT(refused, 20);
  EXPECT_GT(ran, 20);
}

}  // namespace
}  // namespace rill
