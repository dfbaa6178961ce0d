// The voice loop with a wake word's detector, and its guesses that a question is over: parts that the test plays.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "apps/voice/wake_word.h"
#include "tests/support/voice_stage.h"

namespace rill::apps {
namespace {

/// Hears the word in the first 300 ms of loud samples of a stream; tells so when it has heard `late` more.
class LoudWakeWord final : public WakeWord {
 public:
  Status begin() override {
    ++streams;
    heard_ = loud_ = 0;
    word_end_.reset();
    if (begins_that_fail > 0) {
      --begins_that_fail;
      return failed({.where = text("waker"), .what = text("gone"), .expected = {}, .remedy = {}});
    }
    return {};
  }
  Status hear(std::span<const Sample> samples) override {
    for (const Sample sample : samples) {
      ++heard_;
      loud_ += sample != 0 ? 1 : 0;
      if (loud_ == kWord && !word_end_.has_value()) word_end_ = heard_;
    }
    return {};
  }
  Result<std::optional<Detection>> detected() override {
    if (!word_end_.has_value() || heard_ < *word_end_ + late) return std::optional<Detection>();
    return std::optional<Detection>({.name = "computer", .samples = *word_end_});
  }
  void rest() override { ++rests; }

  static constexpr std::uint64_t kWord = kSampleRate * 3 / 10;
  std::uint64_t late = 0;
  int begins_that_fail = 0;
  int streams = 0;
  int rests = 0;

 private:
  std::uint64_t heard_ = 0;
  std::uint64_t loud_ = 0;
  std::optional<std::uint64_t> word_end_;
};

class DeafWakeWord final : public WakeWord {
 public:
  Status begin() override { return {}; }
  Status hear(std::span<const Sample> samples) override {
    heard += samples.size();
    return {};
  }
  Result<std::optional<Detection>> detected() override { return std::optional<Detection>(); }
  void rest() override {}
  std::atomic<std::uint64_t> heard = 0;
};

TEST(WakeWord, WithoutItSpeechIsNobodysBusiness) {
  Stage stage({0.5, 1.0, 1.0, 1.0, 1.0}, {"hello"});
  DeafWakeWord wake_word;
  stage.wake_word = &wake_word;
  const Told told = stage.run();
  EXPECT_EQ(told.states, "");
  EXPECT_TRUE(told.heard.empty());
  EXPECT_NEAR(static_cast<double>(wake_word.heard) / kSampleRate, 4.5, 0.05) << "all of it";
}

TEST(WakeWord, TheQuestionAfterItIsAnswered) {
  Stage stage({0.5, 0.3, 0.8, 1.0, 1.0}, {"hello"});  // the word, a pause, the question
  LoudWakeWord wake_word;
  stage.wake_word = &wake_word;
  const Told told = stage.run();
  EXPECT_EQ(told.states, "!htsl");
  EXPECT_EQ(told.woken, std::vector<std::string>{"computer"});
  EXPECT_EQ(stage.answerer.asked, std::vector<std::string>{"hello"});
  EXPECT_NEAR(static_cast<double>(stage.recognizer.samples) / kSampleRate, 1.0 + 0.5 + 0.26, 0.03)
      << "the question, its pause and its pre-roll, nothing of the word";
  EXPECT_EQ(wake_word.streams, 1) << "somebody is talked with: nobody listens for the word";
  EXPECT_EQ(wake_word.rests, 1);
}

TEST(WakeWord, TheQuestionMayFollowInTheSameBreath) {
  Stage stage({0.5, 1.3, 1.0}, {"hello"});  // 300 ms of it are the word, which is known 200 ms late
  LoudWakeWord wake_word;
  wake_word.late = kSampleRate / 5;
  stage.wake_word = &wake_word;
  const Told told = stage.run();
  EXPECT_EQ(told.states, "!htsl");
  EXPECT_NEAR(static_cast<double>(stage.recognizer.samples) / kSampleRate, 1.0 + 0.5, 0.03)
      << "from the word's end on, though it was known later";
}

TEST(WakeWord, IsNotNeededForTenSecondsAfterAReplyAndThenItIs) {
  // The first reply takes 4 s from 3.1 s on; the second question begins at 10 s, in time; after its reply, from 11.5 to
  // 15.5 s, nobody speaks until 27 s: that is a word again, without a question.
  Stage stage({0.5, 0.3, 0.8, 1.0, 7.4, 1.0, 16.0, 1.0, 2.0}, {"first", "second"});
  LoudWakeWord wake_word;
  stage.wake_word = &wake_word;
  const Told told = stage.run();
  EXPECT_EQ(told.states.substr(0, 10), "!htslhtsl!");
  EXPECT_EQ(stage.answerer.asked.size() >= 2 ? stage.answerer.asked[1] : "", "second");
  EXPECT_EQ(wake_word.streams, 2);
}

TEST(WakeWord, IsNotNeededToInterrupt) {
  Stage stage({0.5, 0.3, 0.8, 1.0, 1.8, 1.0, 1.0}, {"first", "second"});
  LoudWakeWord wake_word;
  stage.wake_word = &wake_word;
  EXPECT_EQ(stage.run().states, "!htshtsl");
}

TEST(WakeWord, ADetectorThatFailsIsToldOfAndTriedAgain) {
  Stage stage({3.0, 0.3, 0.8, 1.0, 1.0}, {"hello"});
  LoudWakeWord wake_word;
  wake_word.begins_that_fail = 2;
  stage.wake_word = &wake_word;
  const Told told = stage.run();
  EXPECT_EQ(told.states, "!htsl");
  EXPECT_EQ(told.failures, (std::vector<std::string>{"waker: gone", "waker: gone"}));
}

/// Stands still in its first piece until it is let go.
class StuckWakeWord final : public WakeWord {
 public:
  Status begin() override { return {}; }
  Status hear(std::span<const Sample>) override {
    is_stuck = true;
    while (!is_free) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ++pieces;
    return {};
  }
  Result<std::optional<Detection>> detected() override { return std::optional<Detection>(); }
  void rest() override { ++rests; }
  std::atomic<bool> is_stuck = false;
  std::atomic<bool> is_free = false;
  int pieces = 0;
  int rests = 0;
};

/// Lets the detector go 30 s of audio after it got stuck.
class FreeingSource final : public AudioSource {
 public:
  explicit FreeingSource(StuckWakeWord& wake_word) : wake_word_(&wake_word) {}
  bool read(std::span<Sample, kFrameSamples> frame) override {
    std::fill(frame.begin(), frame.end(), Sample{0});
    if (++frames_ > 10) {
      while (!wake_word_->is_stuck) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (frames_ == 3000) wake_word_->is_free = true;
    if (frames_ > 3000) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return frames_ < 3100;
  }
  bool is_live() const override { return true; }

 private:
  StuckWakeWord* wake_word_;
  int frames_ = 0;
};

TEST(WakeWord, ADetectorThatIsStuckHoldsUpNothingAndBeginsAnewWhenItIsFarBehind) {
  Stage stage({}, {});
  StuckWakeWord wake_word;
  FreeingSource source(wake_word);
  stage.setting.is_lockstep = false;
  VoiceLoop loop(
      stage.setting,
      {&source, &stage.sink, &stage.activity, &stage.recognizer, &stage.speaker, &stage.answerer, nullptr, &wake_word},
      [](const VoiceReport&) {});
  ASSERT_TRUE(loop.run([] { return false; }).ok()) << "30 s of audio went by while it stood still";
  EXPECT_GE(wake_word.rests, 1) << "it was not made to listen to what is long over";
  EXPECT_LT(wake_word.pieces, 60);
}

/// A stage at the pace of the world that guesses.
struct GuessingStage : Stage {
  using Stage::Stage;
  Told run() {
    setting.is_lockstep = false;
    setting.is_clocked = true;
    setting.guesses = true;
    return Stage::run();
  }
};

TEST(Guess, HidesTheWorkInThePause) {
  GuessingStage stage({0.2, 0.5, 1.0}, {"hello"});
  stage.answerer.reply = "One two.";
  stage.speaker.delay = std::chrono::milliseconds(200);
  std::optional<VoiceLatency> latency;
  stage.on_report = [&](const VoiceReport& report) {
    if (report.latency != nullptr) latency = *report.latency;
  };
  const Told told = stage.run();
  EXPECT_EQ(told.states, "htsl");
  EXPECT_EQ(told.heard, std::vector<std::string>{"hello"});
  ASSERT_TRUE(latency.has_value());
  EXPECT_EQ(latency->activity, 0.5);
  EXPECT_LT(latency->total, 0.5 + 0.15) << "200 ms of the speaker's were over before the pause was";
}

TEST(Guess, IsTakenBackWhenTheQuestionGoesOn) {
  GuessingStage stage({0.2, 0.5, 0.38, 0.5, 1.0}, {"first", "first second"});  // 0.25 < 0.38 < 0.5
  stage.answerer.reply = "One two.";
  const Told told = stage.run();
  EXPECT_EQ(told.states, "htsl") << "nobody saw it";
  EXPECT_EQ(told.heard, std::vector<std::string>{"first second"});
  EXPECT_EQ(told.replies, std::vector<std::string>{"One two."});
  EXPECT_EQ(stage.answerer.asked, (std::vector<std::string>{"first", "first second"}));
  EXPECT_EQ(stage.answerer.retold, std::vector<std::string>{"first -> "}) << "and the conversation forgot it";
  EXPECT_EQ(stage.sink.loud, kSampleRate) << "one reply of two words";
  EXPECT_NEAR(static_cast<double>(stage.recognizer.samples) / kSampleRate, 0.5 + 0.38 + 0.5 + 0.25 + 0.2, 0.1)
      << "the whole question, from its beginning";
}

TEST(Guess, ThatNothingWasHeardIsOneAsWell) {
  GuessingStage stage({0.2, 0.5, 0.38, 0.5, 1.0}, {"", "hello"});
  stage.answerer.reply = "One two.";
  const Told told = stage.run();
  EXPECT_EQ(told.states, "htsl");
  EXPECT_EQ(told.heard, std::vector<std::string>{"hello"});
}

}  // namespace
}  // namespace rill::apps
