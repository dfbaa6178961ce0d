// The voice loop with parts that are played by the test: no sound card, no model, no clock but the frames.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "apps/voice/loop.h"
#include "apps/voice/memory.h"
#include "apps/voice/printer.h"

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
  std::atomic<std::size_t> loud = 0;
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
      if (fails_after == i) return failed({.where = text("mouth"), .what = text("gone"), .expected = {}, .remedy = {}});
      if (!listener(word)) return {};
    }
    return {};
  }
  std::atomic<bool> fails = false;
  std::size_t fails_after = SIZE_MAX;  // words of a sentence
};

class ScriptAnswerer final : public Answerer {
 public:
  Status answer(std::string_view user, Listener listener) override {
    asked.emplace_back(user);
    // Like a model that is slow at reading: its listener is asked now and then.
    while (waits_for_interruption && listener("")) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (std::exchange(waits_for_interruption, false)) return {};
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
  bool waits_for_interruption = false;
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
    VoiceLoop loop(setting, {&source, &sink, &activity, &recognizer, &speaker, &answerer, key},
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
  TalkKey* key = nullptr;
};

/// Pressed in the frames that begin at these seconds.
class ScriptKey final : public TalkKey {
 public:
  explicit ScriptKey(std::vector<double> presses) : presses_(std::move(presses)) {}
  bool was_pressed() override {
    const auto frame = static_cast<double>(frame_++);
    return std::any_of(presses_.begin(), presses_.end(),
                       [&](double press) { return std::lround(press / kFrameSeconds) == std::lround(frame); });
  }

 private:
  std::vector<double> presses_;
  std::size_t frame_ = 0;
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

TEST(VoiceLoop, GoesOnHearingWhenTheSpeakerGoesOnBeforeTheAnswer) {
  // The pause of 0.5 s is over at 2.0 s, the answer takes until the speech at 2.2 s was noticed.
  Stage stage({0.5, 1.0, 0.7, 1.0, 1.0}, {"first", "second"});
  stage.answerer.waits_for_interruption = true;
  stage.setting.is_lockstep = false;
  stage.setting.is_clocked = true;
  const Told told = stage.run();
  EXPECT_EQ(told.states, "hthtsl");
  EXPECT_EQ(stage.answerer.asked, (std::vector<std::string>{"first", "first second"}));
  EXPECT_EQ(told.spoken.front(), "");
}

TEST(VoiceLoop, ListensAgainWhenTheSpeakerFailsInTheMiddleOfAReply) {
  Stage stage({0.5, 1.0, 1.0}, {"hello"});
  stage.speaker.fails_after = 1;
  const Told told = stage.run();
  EXPECT_EQ(told.states, "htsl");
  EXPECT_EQ(told.failures.size(), 2U) << "one a sentence";
}

TEST(VoiceLoop, TellsThatItSpeaksWhenItBeginsTo) {
  Stage stage({0.1, 0.3, 1.0}, {"hello"});
  stage.answerer.reply = "One two.";
  stage.setting.is_lockstep = false;
  stage.setting.is_clocked = true;
  std::atomic<std::size_t> played_before = SIZE_MAX;
  VoiceLoop loop(stage.setting,
                 {&stage.source, &stage.sink, &stage.activity, &stage.recognizer, &stage.speaker, &stage.answerer},
                 [&](const VoiceReport& told) {
                   if (told.state == kSpeaking && told.reply == nullptr) played_before = stage.sink.loud.load();
                 });
  ASSERT_TRUE(loop.run([] { return false; }).ok());
  EXPECT_EQ(stage.sink.loud, kSampleRate);
  EXPECT_LT(played_before, kSampleRate / 2) << "told when most of it was said";
}

TEST(VoiceLoop, EndsAQuestionThatIsTooLong) {
  Stage stage({0.5, 3.0, 1.0}, {"a", "b"});
  stage.setting.most_seconds = 2;
  EXPECT_EQ(stage.run().states.substr(0, 4), "htsh") << "what is said on interrupts";
}

TEST(PushToTalk, OnePressBeginsTheNextOneEndsAndNoisesDoNothing) {
  Stage stage({1.0, 5.0, 1.0}, {"hello"});  // noise from 1.0 s on
  ScriptKey key({0.5, 2.0});
  stage.key = &key;
  const Told told = stage.run();
  EXPECT_EQ(told.states, "htsl");
  EXPECT_NEAR(static_cast<double>(stage.recognizer.samples) / kSampleRate, 1.5 + 0.35, 0.02) << "and the pre-roll";
}

TEST(PushToTalk, APressStopsTheReply) {
  Stage stage({10.0}, {"first", "second"});
  ScriptKey key({0.5, 1.0, 2.3, 3.0});
  stage.key = &key;
  const Told told = stage.run();
  EXPECT_EQ(told.states, "htshtsl");
  ASSERT_EQ(told.spoken.size(), 2U);
  EXPECT_EQ(told.spoken[0], "One two");
  EXPECT_EQ(stage.answerer.asked, (std::vector<std::string>{"first", "second"}));
}

TEST(PushToTalk, TooLongAQuestionEndsByItself) {
  Stage stage({10.0}, {"hello"});
  ScriptKey key({0.5});
  stage.key = &key;
  stage.setting.most_seconds = 2;
  EXPECT_EQ(stage.run().states, "htsl");
  EXPECT_NEAR(static_cast<double>(stage.recognizer.samples) / kSampleRate, 2 + 0.35, 0.02);
}

TEST(PushToTalk, TheEndOfTheInputEndsTheQuestion) {
  Stage stage({1.0}, {"hello"});
  ScriptKey key({0.5});
  stage.key = &key;
  EXPECT_EQ(stage.run().states, "htsl");
}

TEST(PushToTalk, IsRefusedWhereThereIsNoKey) {
  if (isatty(STDIN_FILENO) == 1) GTEST_SKIP() << "standard input is a terminal here";
  const Result<std::unique_ptr<TalkKey>> key = open_talk_key();
  ASSERT_FALSE(key.ok());
  EXPECT_NE(key.status().message().find("no terminal"), std::string_view::npos);
}

TEST(VoiceMeter, ShowsTheStateAndTheLevel) {
  MeterLine room;
  EXPECT_EQ(meter_line(kListening, 0, room), "  listening ........................ -90 dB");
  EXPECT_EQ(meter_line(kHearing, 1036, room), "    hearing ############............ -30 dB");
  EXPECT_EQ(meter_line(kSpeaking, 32768, room), "   speaking ########################   0 dB");
}

TEST(VoiceMeter, IsOffInAFile) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), std::fclose);
  EXPECT_FALSE(VoicePrinter(file.get(), /*is_json=*/false).has_meter());
}

TEST(VoiceMemory, TheBudgetCoversTheRingsAndBothParts) {
  const VoiceMemory memory{.recognizer = 100, .speaker = 20};
  EXPECT_EQ(memory.total(), 80 * kSampleRate * sizeof(Sample) + 120);
  EngineOptions options;
  options.budget_bytes = memory.total() + 7;
  ASSERT_TRUE(share_budget(memory, options).ok());
  EXPECT_EQ(options.budget_bytes, 7U);
  options.budget_bytes = memory.total();
  const Status refused = share_budget(memory, options);
  EXPECT_EQ(refused.code(), Code::kOverBudget);
  EXPECT_NE(refused.message().find("recognizer, at most 100"), std::string_view::npos) << refused.message();
}

TEST(VoiceMemory, AServiceOnTheNetworkTakesNoneHere) {
  const Result<VoicePartChoice> choice = choose_voice_parts({.recognizer = "wyoming:host:10300", .speaker = "flite"});
  ASSERT_TRUE(choice.ok());
  EXPECT_EQ(choice->memory.recognizer, 0U);
  EXPECT_EQ(choice->memory.speaker, 96U << 20U);
}

}  // namespace
}  // namespace rill::apps
