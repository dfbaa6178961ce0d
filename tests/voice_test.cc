// The voice loop with parts that are played by the test: no sound card, no model, no clock but the frames.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "apps/voice/loop.h"

namespace rill::apps {
namespace {

using enum VoiceState;

TEST(VoiceState, EveryExitOfEveryStateIsTheDrawnOne) {
  using enum VoiceEvent;
  constexpr VoiceState kStates[] = {kListening, kHearing, kThinking, kSpeaking};
  struct Row {
    VoiceEvent event;
    VoiceState after[4];  // listening, hearing, thinking, speaking
  };
  constexpr Row kRows[] = {{kSpeechBegins, {kHearing, kHearing, kHearing, kHearing}},
                           {kSpeechEnds, {kListening, kThinking, kThinking, kSpeaking}},
                           {kNothingToSay, {kListening, kHearing, kListening, kListening}},
                           {kFirstSample, {kListening, kHearing, kSpeaking, kSpeaking}},
                           {kAllSaid, {kListening, kHearing, kThinking, kListening}}};
  for (const Row& row : kRows) {
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(next_state(kStates[i], row.event), row.after[i])
          << name_of(kStates[i]) << " event " << static_cast<int>(row.event);
    }
  }
}

TEST(Endpointer, TakesNineFramesOfTwelveForSpeechAndAPauseForItsEnd) {
  Endpointer endpointer(/*pause_frames=*/30, /*most_frames=*/100);
  using enum Endpointer::Change;
  for (int i = 0; i < 8; ++i) EXPECT_EQ(endpointer.judge(true), kNone) << "a click of 80 ms";
  for (int i = 0; i < 20; ++i) EXPECT_EQ(endpointer.judge(false), kNone);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(endpointer.judge(true), kNone);
  EXPECT_EQ(endpointer.judge(true), kBegins);
  for (int i = 0; i < 29; ++i) EXPECT_EQ(endpointer.judge(false), kNone);
  EXPECT_EQ(endpointer.judge(true), kNone) << "a pause that was too short";
  for (int i = 0; i < 29; ++i) EXPECT_EQ(endpointer.judge(false), kNone);
  EXPECT_EQ(endpointer.judge(false), kEnds);
}

TEST(Endpointer, EndsSpeechThatIsTooLong) {
  Endpointer endpointer(30, 100);
  std::size_t begins = 0;
  std::size_t ends = 0;
  for (int i = 0; i < 109; ++i) {
    const Endpointer::Change change = endpointer.judge(true);
    begins += change == Endpointer::Change::kBegins ? 1 : 0;
    ends += change == Endpointer::Change::kEnds ? 1 : 0;
  }
  EXPECT_EQ(begins, 1U);
  EXPECT_EQ(ends, 1U);
}

constexpr Sample kLoud = 8000;

/// A script of seconds, loud or silent by turns: the user's side.
class ScriptSource final : public AudioSource {
 public:
  explicit ScriptSource(std::vector<double> seconds) : seconds_(std::move(seconds)) {}
  bool read(std::span<Sample, kFrameSamples> frame) override {
    double begin = 0;
    for (std::size_t i = 0; i < seconds_.size(); ++i) {
      begin += seconds_[i];
      if (t_ >= begin) continue;
      for (std::size_t s = 0; s < frame.size(); ++s) frame[s] = i % 2 == 0 ? Sample{0} : s % 2 == 0 ? kLoud : -kLoud;
      t_ += kFrameSeconds;
      return true;
    }
    std::fill(frame.begin(), frame.end(), Sample{0});
    return false;
  }
  bool is_live() const override { return false; }

 private:
  std::vector<double> seconds_;
  double t_ = 0;
};

class CountingSink final : public AudioSink {
 public:
  void write(std::span<const Sample, kFrameSamples> frame) override {
    for (const Sample sample : frame) loud += sample != 0 ? 1 : 0;
  }
  Status close() override { return {}; }
  bool is_live() const override { return false; }
  std::size_t loud = 0;
};

class LoudActivity final : public VoiceActivity {
 public:
  void played(std::span<const Sample, kFrameSamples>) override {}
  bool is_voice(std::span<Sample, kFrameSamples> frame) override { return frame[0] != 0; }
};

class ScriptRecognizer final : public Recognizer {
 public:
  explicit ScriptRecognizer(std::vector<std::string> texts) : texts_(std::move(texts)) {}
  Status begin() override {
    samples = 0;
    return {};
  }
  Status hear(std::span<const Sample> heard) override {
    samples += heard.size();
    return {};
  }
  Result<std::string> end() override {
    if (next_ == texts_.size()) return std::string();
    if (texts_[next_] == "FAIL") {
      ++next_;
      return failed({.where = text("ears"), .what = text("gone"), .expected = {}, .remedy = {}});
    }
    return texts_[next_++];
  }
  std::size_t samples = 0;

 private:
  std::vector<std::string> texts_;
  std::size_t next_ = 0;
};

/// Half a second of sound a word.
class WordSpeaker final : public Speaker {
 public:
  Status say(std::string_view words, Listener listener) override {
    if (fails) return failed({.where = text("mouth"), .what = text("gone"), .expected = {}, .remedy = {}});
    const auto count = static_cast<std::size_t>(std::count(words.begin(), words.end(), ' ')) + 1;
    const std::vector<Sample> word(kSampleRate / 2, Sample{100});
    for (std::size_t i = 0; i < count; ++i) {
      if (!listener(word)) return {};
    }
    return {};
  }
  std::atomic<bool> fails = false;
};

class ScriptAnswerer final : public Answerer {
 public:
  Status answer(std::string_view user, Listener listener) override {
    asked.emplace_back(user);
    for (const char c : reply) {
      if (!listener(std::string_view(&c, 1))) break;
    }
    return {};
  }
  Status retell(std::string_view user, std::string_view said) override {
    retold.push_back(std::string(user) + " -> " + std::string(said));
    return {};
  }
  std::string reply = "One two three four. Five six seven eight.";
  std::vector<std::string> asked;
  std::vector<std::string> retold;
};

struct Told {
  std::string states;  // first letters
  std::vector<std::string> heard, replies, spoken, failures;
};

/// A whole conversation in the audio's own time.
struct Stage {
  explicit Stage(std::vector<double> seconds, std::vector<std::string> texts)
      : source(std::move(seconds)), recognizer(std::move(texts)) {
    setting.is_lockstep = true;
    setting.pause_seconds = 0.5;
  }
  Told run() {
    Told told;
    std::mutex mutex;
    VoiceLoop loop(setting, {&source, &sink, &activity, &recognizer, &speaker, &answerer},
                   [&](const VoiceReport& report) {
                     const std::scoped_lock lock(mutex);
                     if (report.failure != nullptr) {
                       told.failures.emplace_back(report.failure->message());
                     } else if (report.heard != nullptr) {
                       told.heard.push_back(*report.heard);
                     } else if (report.reply != nullptr) {
                       told.replies.push_back(*report.reply);
                       told.spoken.push_back(*report.spoken);
                     } else {
                       told.states += name_of(report.state)[0];
                     }
                   });
    EXPECT_TRUE(loop.run([] { return false; }).ok());
    return told;
  }
  LoopSetting setting;
  ScriptSource source;
  CountingSink sink;
  LoudActivity activity;
  ScriptRecognizer recognizer;
  WordSpeaker speaker;
  ScriptAnswerer answerer;
};

TEST(VoiceLoop, AnswersAQuestionAloudToItsLastSample) {
  Stage stage({0.5, 1.0, 1.0}, {"hello"});
  const Told told = stage.run();
  EXPECT_EQ(told.states, "htsl");
  EXPECT_EQ(told.heard, std::vector<std::string>{"hello"});
  EXPECT_EQ(told.spoken, std::vector<std::string>{stage.answerer.reply});
  EXPECT_EQ(stage.sink.loud, 8 * kSampleRate / 2) << "eight words";
  EXPECT_TRUE(stage.answerer.retold.empty());
  EXPECT_NEAR(static_cast<double>(stage.recognizer.samples) / kSampleRate, 1.0 + 0.5 + 0.26, 0.03)
      << "the speech, its pause and what was before it was noticed";
}

TEST(VoiceLoop, SpeechStopsTheReplyAndOnlyWhatWasSaidIsKept) {
  // Speaking begins at 2.0 s, when the pause is over; the interruption begins 1.3 s into it.
  Stage stage({0.5, 1.0, 1.8, 1.0, 1.0}, {"first", "second"});
  const Told told = stage.run();
  EXPECT_EQ(told.states, "htshtsl");
  ASSERT_EQ(told.spoken.size(), 2U);
  EXPECT_EQ(told.spoken[0], "One two") << "1.3 s and the 0.09 s until it was noticed: two words of half a second";
  EXPECT_EQ(stage.answerer.retold, std::vector<std::string>{"first -> One two"});
  EXPECT_EQ(stage.answerer.asked, (std::vector<std::string>{"first", "second"}));
  const double cut = static_cast<double>(stage.sink.loud) / kSampleRate - 4.0;  // the second reply takes 4 s
  EXPECT_LT(cut, 1.3 + 0.2) << "playback went on for more than 200 ms";
  EXPECT_GT(cut, 1.3);
}

TEST(VoiceLoop, ListensAgainWhenNothingWasHeard) {
  Stage stage({0.5, 1.0, 2.0}, {""});
  const Told told = stage.run();
  EXPECT_EQ(told.states, "htl");
  EXPECT_TRUE(stage.answerer.asked.empty());
}

TEST(VoiceLoop, ListensAgainAfterAnEmptyReply) {
  Stage stage({0.5, 1.0, 2.0}, {"hello"});
  stage.answerer.reply = "**";
  EXPECT_EQ(stage.run().states, "htl");
}

TEST(VoiceLoop, GoesOnWhenThePartsFail) {
  Stage stage({0.5, 1.0, 2.0, 1.0, 1.0}, {"FAIL", "hello"});
  stage.speaker.fails = true;
  const Told told = stage.run();
  EXPECT_EQ(told.states, "htlhtl");
  ASSERT_EQ(told.failures.size(), 3U);
  EXPECT_EQ(told.failures[0], "ears: gone");
  EXPECT_EQ(told.failures[1], "mouth: gone");
}

TEST(VoiceLoop, AnswersOnlyWhatHasTheWakePhraseUntilItIsAwake) {
  Stage stage({0.5, 1.0, 2.0, 1.0, 1.0}, {"what is the time", "Hey, Rill! What is the time"});
  stage.setting.wake = "hey rill";
  const Told told = stage.run();
  EXPECT_EQ(told.states, "htlhtsl");
  EXPECT_EQ(stage.answerer.asked, std::vector<std::string>{"what is the time"});
}

TEST(VoiceLoop, NeedsNoWakePhraseRightAfterAReply) {
  Stage stage({0.5, 1.0, 7.0, 1.0, 1.0}, {"hey rill first", "second"});
  stage.setting.wake = "hey rill";
  EXPECT_EQ(stage.run().states, "htslhtsl");
  EXPECT_EQ(stage.answerer.asked, (std::vector<std::string>{"first", "second"}));
}

TEST(VoiceLoop, EndsWhenNobodySpeaks) {
  Stage stage({3600.0}, {});
  stage.setting.idle_seconds = 5;
  EXPECT_EQ(stage.run().states, "");
}

TEST(VoiceLoop, EndsAQuestionThatTheInputCutsOff) {
  Stage stage({0.5, 1.0}, {"hello"});
  EXPECT_EQ(stage.run().states, "htsl");
}

}  // namespace
}  // namespace rill::apps
