// Guessing ahead: Session::advance() gives prefill()'s bits whether its guesses are right or wrong, and leaves the
// session as prefill() does.

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <random>
#include <vector>

#include "core/engine.h"
#include "core/prompt_lookup.h"
#include "tests/support/golden.h"
#include "tests/support/imported_model.h"
#include "tests/support/shared_data.h"

namespace rill {
namespace {

std::vector<Token> guess_after(std::initializer_list<Token> tokens, std::size_t room = 64, std::size_t most = 5) {
  std::vector<Token> memory(room);
  PromptLookup lookup(memory);
  for (const Token token : tokens) lookup.observe({&token, 1});
  std::vector<Token> guess(most);
  guess.resize(lookup.propose(guess));
  return guess;
}

using Guess = std::vector<Token>;

TEST(PromptLookup, GuessesWhatFollowedTheLongestMatch) {
  EXPECT_EQ(guess_after({1, 2, 3, 7, 9, 2, 3, 8, 1, 2, 3}), (Guess{7, 9, 2}));  // three agree: three are guessed
  EXPECT_EQ(guess_after({5, 2, 3, 7, 9, 6, 2, 3, 8, 4, 2, 3}), (Guess{8, 4}));  // of equal matches the latest
}

TEST(PromptLookup, GuessesNothingWithoutTwoTokensThatAgree) {
  EXPECT_EQ(guess_after({}), Guess{});
  EXPECT_EQ(guess_after({1}), Guess{});
  EXPECT_EQ(guess_after({1, 2, 3, 4}), Guess{});
  EXPECT_EQ(guess_after({3, 1, 2, 3}), Guess{});
}

TEST(PromptLookup, GoesOnWithWhatRepeats) {
  EXPECT_EQ(guess_after({1, 2, 1, 2, 1, 2}), (Guess{1, 2, 1, 2}));
  EXPECT_EQ(guess_after({4, 4, 4, 4, 4, 4, 4}), (Guess{4, 4, 4, 4, 4}));
}

TEST(PromptLookup, ForgetsWhatIsFurtherBackThanItsMemory) {
  EXPECT_EQ(guess_after({1, 2, 3, 9, 9, 9, 1, 2}, 16), (Guess{3, 9}));
  EXPECT_EQ(guess_after({1, 2, 3, 9, 8, 7, 1, 2}, 10), Guess{});
  std::vector<Token> memory(8);
  PromptLookup lookup(memory);
  const std::vector<Token> many = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 20, 21, 20, 21};  // more than it holds
  lookup.observe(many);
  std::vector<Token> guess(2);
  EXPECT_EQ(lookup.propose(guess), 2U);
  EXPECT_EQ(guess, (Guess{20, 21}));
  lookup.forget();
  EXPECT_EQ(lookup.propose(guess), 0U);
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

/// A stream that repeats itself, with a slip now and then: some guesses are right, some wrong from the first token,
/// some from a later one.
std::vector<Token> repetitive_tokens(std::size_t count) {
  std::mt19937 random(3);
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < count; ++i) {
    const bool slips = i < 12 || random() % 9 == 0;
    tokens.push_back(slips ? static_cast<Token>(3 + random() % 200) : tokens[i - 12]);
  }
  return tokens;
}

class Drafting : public testing::TestWithParam<const char*> {};
// Rotated heads in groups, ALiBi, layers with a ring of their own, learned positions, experts with sink logits.
INSTANTIATE_TEST_SUITE_P(Models, Drafting,
                         testing::Values("streaming/llama_gqa", "streaming/mpt_alibi", "gemma3", "mistral", "gpt2",
                                         "gpt_oss"),
                         [](const auto& test) {
                           const std::string path = test.param;
                           return path.substr(path.find('/') + 1);
                         });

TEST_P(Drafting, GivesTheBitsOfFeedingTokenByTokenUnderEveryPolicy) {
  const std::string directory = std::string("goldens/") + GetParam();
  RILL_NEED_SHARED(directory);
  const ImportedModel model(shared_path(directory));
  ASSERT_TRUE(model.ok());
  const std::vector<Token> tokens = repetitive_tokens(70);
  for (const CachePolicy& policy : {stream_policy(4, 28), stream_policy(0, 7), stream_policy(9, 3), window_policy(32),
                                    recompute_policy(20), dense_policy(71)}) {
    for (const std::uint32_t draft : {1U, 5U, 15U}) {
      if (draft != 5 && policy.window != 28) continue;
      Result<Engine> plain = start(model.file(), {.policy = policy, .chunk = 16, .threads = 1});
      Result<Engine> guessing = start(model.file(), {.policy = policy, .chunk = 16, .threads = 2, .draft = draft});
      ASSERT_TRUE(plain.ok() && guessing.ok());
      Session& expected = plain->session(0);
      Session& actual = guessing->session(0);
      const std::uint64_t before = actual.passes();
      for (std::size_t i = 0; i < tokens.size(); ++i) {
        const auto reference = expected.prefill({&tokens[i], 1});
        const auto logits = actual.advance(tokens[i]);
        ASSERT_TRUE(reference.ok() && logits.ok()) << logits.status().message();
        ASSERT_TRUE(same_bits(*logits, *reference)) << policy.name << ", draft " << draft << ", token " << i;
        ASSERT_EQ(actual.sample(*logits), expected.sample(*reference));
        ASSERT_EQ(actual.position(), expected.position());
        ASSERT_EQ(actual.room(), expected.room());
      }
      if (policy.recomputes || policy.window < 20) continue;  // too little to guess from
      EXPECT_LT(actual.passes() - before, tokens.size()) << "no guess was right";
    }
  }
}

class DraftingStream : public testing::Test {
 protected:
  static constexpr const char* kModel = "goldens/streaming/llama_gqa";
  static EngineOptions options(std::uint32_t draft, std::uint32_t sessions = 1) {
    return {.policy = stream_policy(2, 30), .chunk = 16, .threads = 1, .sessions = sessions, .draft = draft};
  }
};

TEST_F(DraftingStream, IsSavedAndRestoredBetweenAnyTwoTokens) {
  RILL_NEED_SHARED(kModel);
  const ImportedModel model(shared_path(kModel));
  ASSERT_TRUE(model.ok());
  Result<Engine> plain = start(model.file(), options(0));
  Result<Engine> guessing = start(model.file(), options(5));
  ASSERT_TRUE(plain.ok() && guessing.ok());
  Session& expected = plain->session(0);
  Session& actual = guessing->session(0);
  std::vector<std::byte> state(actual.state_bytes());
  std::vector<std::byte> expected_state(expected.state_bytes());
  ASSERT_EQ(state.size(), expected_state.size());
  std::mt19937 random(1);
  for (const Token token : repetitive_tokens(150)) {
    const auto reference = expected.prefill({&token, 1});
    const auto logits = actual.advance(token);
    ASSERT_TRUE(reference.ok() && logits.ok());
    ASSERT_TRUE(same_bits(*logits, *reference));
    if (random() % 5 > 1) continue;
    actual.save(state);
    expected.save(expected_state);
    ASSERT_EQ(state, expected_state);
    const bool restores = random() % 2 == 0;  // what was guessed is forgotten then
    ASSERT_TRUE(!restores || actual.restore(state).ok());
  }
}

TEST_F(DraftingStream, IsNotDisturbedByOtherSessionsOrOtherCalls) {
  RILL_NEED_SHARED(kModel);
  const ImportedModel model(shared_path(kModel));
  ASSERT_TRUE(model.ok());
  Result<Engine> plain = start(model.file(), options(0));
  Result<Engine> guessing = start(model.file(), options(5, 2));
  ASSERT_TRUE(plain.ok() && guessing.ok());
  Session& expected = plain->session(0);
  Session& actual = guessing->session(0);
  Session& other = guessing->session(1);
  std::mt19937 random(2);
  const std::vector<Token> tokens = repetitive_tokens(300);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto reference = expected.prefill({&tokens[i], 1});
    const bool guesses = random() % 8 > 0;
    const auto logits = guesses ? actual.advance(tokens[i]) : actual.prefill({&tokens[i], 1});
    ASSERT_TRUE(reference.ok() && logits.ok());
    ASSERT_TRUE(same_bits(*logits, *reference)) << i;
    const bool other_goes_on = random() % 4 == 0;
    ASSERT_TRUE(!other_goes_on || other.advance(tokens[(7 * i) % tokens.size()]).ok());
    if (i == 200) {
      actual.reset();
      expected.reset();
    }
  }
}

TEST_F(DraftingStream, RefusesATokenThatIsNone) {
  RILL_NEED_SHARED(kModel);
  const ImportedModel model(shared_path(kModel));
  ASSERT_TRUE(model.ok());
  Result<Engine> engine = start(model.file(), options(5));
  ASSERT_TRUE(engine.ok());
  Session& session = engine->session(0);
  for (const Token token : {5U, 6U, 5U, 6U}) ASSERT_TRUE(session.advance(token).ok());
  EXPECT_EQ(session.advance(1'000'000).status().code(), Code::kBadInput);
  EXPECT_EQ(session.position(), 4U);
  EXPECT_TRUE(session.advance(5).ok());
}

}  // namespace
}  // namespace rill
