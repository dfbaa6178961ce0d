// A reply that was interrupted: the conversation goes on as if the model had said what was heard of it, and no more.

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "core/conversation.h"
#include "tests/support/imported_model.h"
#include "tests/support/shared_data.h"

namespace rill {
namespace {

constexpr std::string_view kUser = "One day, Lily";

class RetoldConversation : public testing::Test {
 protected:
  void SetUp() override {
    RILL_NEED_SHARED("models/stories260K");
    model_.emplace();
    ASSERT_TRUE(model_->ok());
    engine_ = start();
    conversation_ = Conversation::open(*engine_, 0, form());
    ASSERT_TRUE(conversation_->begin("Tell stories.").ok());
  }
  /// The ring is shorter than a reply: what the reply overwrote has to come back.
  Result<Engine> start() const {
    Result<Engine> engine =
        Engine::start(model_->file(), {.policy = stream_policy(4, 60), .chunk = 16, .threads = 1, .keeps_state = true});
    if (engine.ok()) engine->session(0).set_sampling({.temperature = 1, .seed = 3});
    return engine;
  }
  static const ChatForm& form() { return *find_chat_form("llama2"); }
  static std::vector<std::byte> state_of(Engine& engine) {
    std::vector<std::byte> state(engine.session(0).state_bytes());
    engine.session(0).save(state);
    return state;
  }
  void interrupt() {
    const std::span<std::byte> room = engine_->state_snapshot();
    EXPECT_EQ(conversation_->mark(room.first(1)).code(), Code::kUsage);
    ASSERT_TRUE(conversation_->mark(room.first(engine_->session(0).state_bytes())).ok());
    ASSERT_TRUE(conversation_->say(kUser, 100, [](std::string_view) { return true; }).ok());
  }

  std::optional<TalkingStories> model_;
  Result<Engine> engine_ = Status();
  Result<Conversation> conversation_ = Status();
};

TEST_F(RetoldConversation, IsWhatItWasWhenNothingWasSaid) {
  const std::vector<std::byte> before = state_of(*engine_);
  interrupt();
  EXPECT_NE(state_of(*engine_), before);
  ASSERT_TRUE(conversation_->retell(kUser, "").ok());
  EXPECT_EQ(state_of(*engine_), before);
  EXPECT_EQ(conversation_->turns(), 0U);
}

TEST_F(RetoldConversation, HoldsTheTokensOfWhatWasSaidAndNoOthers) {
  constexpr std::string_view kSaid = "went to the park";
  interrupt();
  ASSERT_TRUE(conversation_->retell(kUser, kSaid).ok());
  EXPECT_EQ(conversation_->turns(), 1U);

  // The same by hand, on an engine that never said anything else.
  Result<Engine> other = start();
  ASSERT_TRUE(other.ok());
  Session& session = other->session(0);
  Tokenizer& tokenizer = *other->tokenizer();
  const auto feed = [&](std::span<const TextPart> parts) {
    ASSERT_TRUE(tokenizer.encode(parts, [&](std::span<const Token> tokens) { return session.feed(tokens); }).ok());
  };
  const Token begin = tokenizer.beginning_of_text();
  if (tokenizer.adds_beginning_of_text()) {
    ASSERT_TRUE(session.feed({&begin, 1}).ok());
  }
  const ChatForm& f = form();
  using enum SpecialTokens;
  const TextPart system[] = {{f.system_begin, kControl}, {"Tell stories.", kText}, {f.system_end, kControl}};
  const TextPart user[] = {
      {"", kControl}, {f.user_begin_after_system, kControl}, {kUser, kText}, {f.user_end, kControl}};
  const TextPart said[] = {{kSaid, kText}};
  feed(system);
  const auto feed_run = [&](std::span<const Token> tokens) { return session.feed(tokens); };
  ASSERT_TRUE(tokenizer.encode_further(user, feed_run).ok());  // one text with what was before it
  feed(said);
  EXPECT_EQ(session.position(), engine_->session(0).position());
  const auto next = [](Engine& engine) {
    const Token token = 5;
    const Result<std::span<const float>> logits = engine.session(0).prefill({&token, 1});
    return std::vector<float>(logits->begin(), logits->end());
  };
  EXPECT_EQ(next(*engine_), next(*other)) << "bit for bit";
}

}  // namespace
}  // namespace rill
