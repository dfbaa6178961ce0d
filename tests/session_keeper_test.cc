// Conversations that outlive their process: kept in a file and gone on with.

#include "core/session_keeper.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "core/conversation.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/imported_model.h"
#include "tests/support/shared_data.h"

namespace rill {
namespace {

constexpr const char* kTurns[] = {"One day, Lily", "and then the cat", "What did it say?", "The end", "Once more"};

/// A process's share of a conversation.
class Talk {
 public:
  Talk(const ModelFile& model, const CachePolicy& policy, std::string_view path, std::size_t every = 0)
      : engine_(start(model, {.policy = policy, .chunk = 16, .threads = 1, .keeps_state = true})),
        conversation_(Conversation::open(*engine_, 0, *find_chat_form("llama2"))) {
    engine_->session(0).set_sampling({.temperature = 1, .repeat_penalty = 1.1F, .seed = 3});
    restored_ = keeper_.open(*engine_, 0, path, "chat");
    if (!restored_.ok()) return;
    conversation_->keep_in(keeper_, every);
  }

  /// Begins, or goes on.
  Status enter(std::string_view system) {
    return *restored_ ? conversation_->resume(&system) : conversation_->begin(system);
  }
  /// One turn, cut off by its listener after so many pieces of text.
  std::string say(std::string_view user, std::size_t most_pieces = SIZE_MAX) {
    std::string said;
    std::size_t pieces = 0;
    const auto reply = conversation_->say(user, 24, [&](std::string_view text) {
      said += text;
      return ++pieces < most_pieces;
    });
    EXPECT_TRUE(reply.ok()) << reply.status().message();
    return said;
  }

  const Result<bool>& restored() const { return restored_; }
  SessionKeeper& keeper() { return keeper_; }
  Conversation& conversation() { return *conversation_; }
  Session& session() { return engine_->session(0); }

 private:
  Result<Engine> engine_;
  SessionKeeper keeper_;
  Result<Conversation> conversation_;
  Result<bool> restored_ = false;
};

/// Runs `body` in a child process that can start no thread: as another user where this one is root, whom the limit does
/// not bind. @returns what it returned
std::string without_threads(const std::function<std::string()>& body) {
  int ends[2] = {};
  EXPECT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    const rlimit none = {.rlim_cur = 1, .rlim_max = 1};
    const bool is_bound = (::geteuid() != 0 || ::setuid(kNobody) == 0) && ::setrlimit(RLIMIT_NPROC, &none) == 0;
    const std::string outcome = is_bound ? body() : "not bound";
    ::_exit(::write(ends[1], outcome.data(), outcome.size()) > 0 ? 0 : 1);
  }
  ::close(ends[1]);
  std::string outcome(1000, ' ');
  const ssize_t size = ::read(ends[0], outcome.data(), outcome.size());
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  outcome.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return outcome;
}

class KeptConversation : public testing::Test {
 protected:
  void SetUp() override {
    RILL_NEED_SHARED("models/stories260K");
    model_.emplace();
    ASSERT_TRUE(model_->ok());
  }
  const ModelFile& model() const { return model_->file(); }
  std::string bytes() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  ScratchDirectory scratch_;
  std::string path_ = scratch_.file("talk.state");
  std::optional<TalkingStories> model_;
};

TEST_F(KeptConversation, RepliesTheSameWhetherItsProcessEndsBetweenTwoTurnsOrNot) {
  for (const CachePolicy& policy : {stream_policy(4, 60), recompute_policy(40)}) {
    for (const std::string_view system : {"", "Tell stories."}) {
      std::vector<std::string> expected;
      Talk whole(model(), policy, scratch_.file("whole.state"));
      ASSERT_TRUE(whole.enter(system).ok());
      for (const char* turn : kTurns) expected.push_back(whole.say(turn));
      std::vector<std::string> actual;
      std::uint64_t turns = 0;
      for (const char* turn : kTurns) {
        Talk talk(model(), policy, path_);
        ASSERT_TRUE(talk.restored().ok()) << talk.restored().status().message();
        EXPECT_EQ(*talk.restored(), turns > 0);
        ASSERT_TRUE(talk.enter(system).ok());
        EXPECT_EQ(talk.conversation().turns(), turns++);
        actual.push_back(talk.say(turn));
        ASSERT_TRUE(talk.keeper().settle().ok());
      }
      EXPECT_EQ(actual, expected) << policy.name;
      std::filesystem::remove(path_);
      std::filesystem::remove(scratch_.file("whole.state"));
    }
  }
}

TEST_F(KeptConversation, ShowsWhatWasSaidLastAndWhetherTheReplyWasCut) {
  std::string said;
  {
    Talk talk(model(), stream_policy(4, 60), path_);
    ASSERT_TRUE(talk.enter("").ok());
    for (const char* turn : {"One", "Two"}) said += "> " + std::string(turn) + "\n" + talk.say(turn) + "\n";
  }
  Talk talk(model(), stream_policy(4, 60), path_);
  ASSERT_TRUE(talk.restored().ok() && *talk.restored());
  const ConversationNote& note = *talk.conversation().note();
  EXPECT_EQ(std::string_view(note.text, note.text_bytes), said);
  EXPECT_EQ(note.is_mid_reply, 0U);
  ASSERT_TRUE(talk.enter("").ok());
  for (int i = 0; i < 80; ++i) talk.say("again and again");
  EXPECT_LE(note.text_bytes, ConversationNote::kTextBytes);
  EXPECT_GT(note.text_bytes, ConversationNote::kTextBytes - 10);
}

TEST_F(KeptConversation, SavedInTheMiddleOfAReplyGoesOnAsIfTheReplyHadBeenStoppedThere) {
  // Saved every 5 tokens; the file is copied away while the reply goes on, as a power cut would leave it.
  const std::string copy = scratch_.file("copy.state");
  std::string heard;
  std::uint64_t position = 0;
  {
    Talk talk(model(), stream_policy(4, 60), path_, 5);
    ASSERT_TRUE(talk.enter("").ok());
    talk.say("One");
    std::size_t pieces = 0;
    ASSERT_TRUE(talk.conversation()
                    .say("Two", 24,
                         [&](std::string_view text) {
                           heard += text;
                           EXPECT_TRUE(talk.keeper().settle().ok());
                           if (++pieces == 12) {
                             std::filesystem::copy_file(path_, copy);
                             position = talk.session().position();
                           }
                           return true;
                         })
                    .ok());
  }
  ASSERT_GT(position, 0U) << "the reply was too short for this test";
  Talk talk(model(), stream_policy(4, 60), copy);
  ASSERT_TRUE(talk.restored().ok() && *talk.restored());
  ASSERT_TRUE(talk.enter("").ok());
  EXPECT_EQ(talk.conversation().turns(), 2U);
  EXPECT_EQ(talk.conversation().note()->is_mid_reply, 1U);
  EXPECT_LE(talk.session().position(), position);
  EXPECT_GT(talk.session().position() + 10, position) << "no more than the last few tokens are lost";
  const std::uint64_t saved_at = talk.session().position();
  const std::string goes_on = talk.say("Three");

  bool is_compared = false;
  for (std::size_t pieces = 1; pieces <= 12 && !is_compared; ++pieces) {
    Talk stopped(model(), stream_policy(4, 60), scratch_.file("stopped" + std::to_string(pieces) + ".state"));
    ASSERT_TRUE(stopped.enter("").ok());
    stopped.say("One");
    stopped.say("Two", pieces);
    if (stopped.session().position() != saved_at) continue;
    EXPECT_EQ(goes_on, stopped.say("Three"));
    is_compared = true;
  }
  EXPECT_TRUE(is_compared) << "no reply could be stopped at position " << saved_at;
}

TEST_F(KeptConversation, OfAnotherSystemPromptIsRefusedAndLeftAlone) {
  {
    Talk talk(model(), stream_policy(4, 60), path_);
    ASSERT_TRUE(talk.enter("Be kind.").ok());
    talk.say("One");
  }
  const std::string before = bytes();
  {
    Talk talk(model(), stream_policy(4, 60), path_);
    const Status status = talk.enter("Be rude.");
    EXPECT_EQ(status.code(), Code::kBadInput);
    EXPECT_NE(status.message().find("another system prompt"), std::string_view::npos);
    EXPECT_EQ(talk.session().position(), 0U);
  }
  EXPECT_EQ(bytes(), before);
  Talk talk(model(), stream_policy(4, 60), path_);
  EXPECT_TRUE(talk.conversation().resume(nullptr).ok()) << "who asks for none takes what there is";
}

TEST_F(KeptConversation, OfAnotherPolicyOrModelIsRefusedByName) {
  {
    Talk talk(model(), stream_policy(4, 60), path_);
    ASSERT_TRUE(talk.enter("").ok());
  }
  const std::string before = bytes();
  {
    Talk talk(model(), stream_policy(3, 60), path_);
    EXPECT_EQ(talk.restored().status().code(), Code::kBadInput);
    EXPECT_NE(talk.restored().status().message().find("a state of policy stream with 4 sinks"), std::string_view::npos);
    EXPECT_FALSE(talk.keeper().is_open());
  }
  const ImportedModel other(shared_path("models/stories260K/stories260K.bin"),
                            shared_path("models/stories260K/tok512.model"), "llama2", /*group=*/64);
  ASSERT_TRUE(other.ok());
  Talk talk(other.file(), stream_policy(4, 60), path_);
  EXPECT_EQ(talk.restored().status().code(), Code::kBadInput);
  EXPECT_NE(talk.restored().status().message().find("a state of another model, model.rill"), std::string_view::npos);
  EXPECT_EQ(bytes(), before);
}

TEST_F(KeptConversation, GoesOnWithoutAStateWhenTheDiskRefusesIt) {
  Talk talk(model(), stream_policy(4, 60), path_);
  ASSERT_TRUE(talk.enter("").ok());
  const std::string first = talk.say("One");
  ASSERT_TRUE(talk.keeper().settle().ok());
  const std::string before = bytes();
  Status status;
  {
    const FileSizeLimit limit(100);
    talk.say("Two");
    status = talk.keeper().settle();
  }
  EXPECT_EQ(status.code(), Code::kFailed);
  EXPECT_NE(status.message().find("writing failed: File too large"), std::string_view::npos) << status.message();
  EXPECT_FALSE(talk.say("Three").empty());
  EXPECT_FALSE(talk.keeper().settle().ok()) << "a state that has a gap is not kept on";
}

/// It went on with the old stream under the new one: a measurement had another result, with no word.
TEST_F(KeptConversation, IsNotRestoredWhereItCannotBeKept) {
  {
    Talk talk(model(), stream_policy(4, 60), path_);
    ASSERT_TRUE(talk.enter("").ok());
    talk.say("One");
    ASSERT_TRUE(talk.keeper().settle().ok());
  }
  Result<Engine> engine =
      start(model(), {.policy = stream_policy(4, 60), .chunk = 16, .threads = 1, .keeps_state = true});
  ASSERT_TRUE(engine.ok());
  ASSERT_TRUE(::chmod(scratch_.path().c_str(), 0777) == 0 && ::chmod(path_.c_str(), 0666) == 0);
  const std::string outcome = without_threads([&]() -> std::string {
    SessionKeeper refused;
    const Result<bool> restored = refused.open(*engine, 0, path_, "chat");
    if (restored.ok()) return "restored";
    if (refused.is_open() || engine->session(0).position() != 0) return "half restored";
    return std::string(restored.status().message());
  });
  EXPECT_NE(outcome.find("starting it failed"), std::string::npos) << outcome;
  SessionKeeper keeper;
  const Result<bool> found = keeper.open(*engine, 0, path_, "chat");  // nobody holds the file
  ASSERT_TRUE(found.ok() && *found);
  EXPECT_GT(engine->session(0).position(), 0U);
}

TEST_F(KeptConversation, NeedsAnEngineWithRoomForIt) {
  Result<Engine> engine = start(model(), {.policy = stream_policy(4, 60)});
  ASSERT_TRUE(engine.ok());
  SessionKeeper keeper;
  EXPECT_EQ(keeper.open(*engine, 0, path_, "chat").status().code(), Code::kUsage);
}

TEST_F(KeptConversation, AHostileNoteIsRefused) {
  Talk talk(model(), stream_policy(4, 60), path_);
  ASSERT_TRUE(talk.enter("").ok());
  auto& note = *reinterpret_cast<ConversationNote*>(talk.keeper().note().data());
  const ConversationNote good = note;
  note.text_bytes = ConversationNote::kTextBytes + 1;
  EXPECT_EQ(talk.conversation().resume(nullptr).code(), Code::kBadInput);
  note = good;
  note.system_bytes = 0xffffffff;
  EXPECT_EQ(talk.conversation().resume(nullptr).code(), Code::kBadInput);
  note = good;
  note.has_system = 2;
  EXPECT_EQ(talk.conversation().resume(nullptr).code(), Code::kBadInput);
  note = good;
  EXPECT_TRUE(talk.conversation().resume(nullptr).ok());
}

}  // namespace
}  // namespace rill
