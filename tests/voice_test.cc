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
#include "tests/support/voice_stage.h"

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
  stage.speaker.delay_at_end = std::chrono::milliseconds(20);  // its last sample is there long before its return
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
  EXPECT_EQ(told.spoken, std::vector<std::string>{""}) << "nobody heard anything";
}

/// It waited for ever for the end of a reply that nobody was making.
TEST(VoiceLoop, GoesOnWhenTheRecognizerFailsBeforeTheQuestionIsOver) {
  for (const bool guesses : {false, true}) {
    Stage stage({0.5, 1.0, 2.0, 1.0, 1.0}, {"FAIL EARLY", "hello"});
    stage.setting.guesses = guesses;
    stage.setting.is_lockstep = !guesses;
    stage.setting.is_clocked = guesses;
    const Told told = stage.run();
    EXPECT_EQ(told.states, "htlhtsl") << guesses;
    EXPECT_EQ(told.failures, std::vector<std::string>{"ears: gone"});
  }
}

TEST(VoiceLoop, HearsTheEndOfALongQuestionThatNobodyListensTo) {
  Stage stage({0.5, 24.0, 2.0, 1.0, 1.0}, {"FAIL EARLY", "FAIL EARLY", "hello"});
  const Told told = stage.run();
  EXPECT_EQ(told.failures.size(), 2U);
  EXPECT_EQ(stage.answerer.asked, std::vector<std::string>{"hello"});
}

TEST(VoiceLoop, AsksWithoutTheSpaceThatSomeRecognizersBeginWith) {
  Stage stage({0.5, 1.0, 2.0}, {" hello\n"});
  stage.run();
  EXPECT_EQ(stage.answerer.asked, std::vector<std::string>{"hello"});
}

TEST(VoiceLoop, ListensAgainWhenTheModelFails) {
  Stage stage({0.5, 1.0, 2.0, 1.0, 1.0}, {"first", "second"});
  stage.answerer.failures = 1;
  const Told told = stage.run();
  EXPECT_EQ(told.states, "htlhtsl");
  EXPECT_EQ(told.failures, std::vector<std::string>{"model: gone"});
}

std::atomic<bool> asked_to_stop = false;

TEST(VoiceLoop, EndsAtOnceInEachStateWhenItIsAskedTo) {
  for (const VoiceState state : {kHearing, kThinking, kSpeaking, kListening}) {
    // A question, and for hearing one without an end.
    Stage stage(state == kHearing ? std::vector<double>{0.1, 3600.0} : std::vector<double>{0.1, 0.3, 3600.0},
                {"hello"});
    stage.answerer.waits_for_interruption = state == kThinking;
    if (state == kListening) stage.answerer.reply = "One.";
    stage.setting.is_lockstep = false;
    stage.setting.is_clocked = true;
    asked_to_stop = false;
    stage.is_stopped = [] { return asked_to_stop.load(); };
    std::chrono::steady_clock::time_point asked_at;
    stage.on_report = [&](const VoiceReport& report) {
      if (report.state != state || asked_to_stop) return;
      asked_at = std::chrono::steady_clock::now();
      asked_to_stop = true;
    };
    const Told told = stage.run();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - asked_at;
    EXPECT_LT(took.count(), 1.0) << name_of(state);
    EXPECT_TRUE(asked_to_stop) << name_of(state);
    EXPECT_TRUE(told.failures.empty()) << name_of(state);
  }
}

TEST(VoiceLoop, AnswersOnlyWhatHasTheWakePhraseUntilItIsAwake) {
  Stage stage({0.5, 1.0, 2.0, 1.0, 1.0}, {"what is the time", "Hey, Rill! What is the time"});
  stage.setting.wake = "hey rill";
  const Told told = stage.run();
  EXPECT_EQ(told.states, "htlhtsl");
  EXPECT_EQ(stage.answerer.asked, std::vector<std::string>{"What is the time"}) << "as it was heard";
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
  EXPECT_EQ(stage.answerer.retold, std::vector<std::string>{"first -> "}) << "or the model would read it twice";
}

/// In front of a radio each turn was put in front of the next, and all of it was read anew.
TEST(VoiceLoop, PutsOnlyTheEndOfALongTurnInFrontOfTheNext) {
  std::string first;
  for (int i = 0; i < 500; ++i) first.append(std::to_string(1000 + i)).push_back(' ');
  first += "last";
  Stage stage({0.5, 1.0, 0.7, 1.0, 1.0}, {first, "second"});
  stage.answerer.waits_for_interruption = true;
  stage.setting.is_lockstep = false;
  stage.setting.is_clocked = true;
  stage.run();
  ASSERT_EQ(stage.answerer.asked.size(), 2U);
  EXPECT_EQ(stage.answerer.asked[0], first);
  const std::string_view second = stage.answerer.asked[1];
  EXPECT_TRUE(second.ends_with(" last second")) << second;
  const std::string_view kept = second.substr(0, second.size() - std::string_view(" second").size());
  EXPECT_EQ(kept.size(), 999U) << "199 words of four digits, and the last";
  EXPECT_TRUE(first.ends_with(kept)) << kept;
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

TEST(VoiceMemory, TheBudgetCoversTheRingsTheEventsAndEveryPart) {
  const VoiceMemory memory{.recognizer = 100, .speaker = 20, .wake_word = 3};
  EXPECT_EQ(memory.total(), 80 * kSampleRate * sizeof(Sample) + 3 * WyomingReader::bytes(0) + Part::kMostPayload + 123);
  EXPECT_EQ(memory.items()[2].name, "recognizer, at most");
  EXPECT_EQ(memory.items()[2].bytes, 100U);
}

TEST(VoiceMemory, AServiceOnTheNetworkTakesNoneHere) {
  const Result<VoicePartChoice> choice =
      choose_voice_parts({.recognizer = "wyoming:host:10300", .speaker = "flite", .wake_part = "wyoming:host:10400"});
  ASSERT_TRUE(choice.ok());
  EXPECT_EQ(choice->memory.recognizer, 0U);
  EXPECT_EQ(choice->memory.speaker, 96U << 20U);
  EXPECT_EQ(choice->memory.wake_word, 0U);
}

TEST(VoiceMemory, ThePhraseInTheTranscriptTakesNoneAndItsOwnSearchSome) {
  const Result<VoicePartChoice> transcript = choose_voice_parts({.wake = "computer"});
  ASSERT_TRUE(transcript.ok());
  EXPECT_FALSE(transcript->wake_word.has_value());
  EXPECT_EQ(transcript->memory.wake_word, 0U);
  const Result<VoicePartChoice> search = choose_voice_parts({.wake = "computer", .wake_part = "pocketsphinx-wake"});
  ASSERT_TRUE(search.ok());
  EXPECT_EQ(search->memory.wake_word, 64U << 20U);
  EXPECT_EQ(choose_voice_parts({.wake_part = "pocketsphinx-wake"}).status().code(), Code::kUsage);
}

}  // namespace
}  // namespace rill::apps
