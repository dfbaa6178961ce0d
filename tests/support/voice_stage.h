#pragma once
// A stage for the voice loop whose parts are played: no sound card, no model, no clock but the frames.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "apps/voice/loop.h"

namespace rill::apps {

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
    if (next_ == texts_.size() || texts_[next_] != "FAIL EARLY") return {};
    ++next_;
    return failed({.where = text("ears"), .what = text("gone"), .expected = {}, .remedy = {}});
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
    std::this_thread::sleep_for(delay);
    if (fails) return failed({.where = text("mouth"), .what = text("gone"), .expected = {}, .remedy = {}});
    const auto count = static_cast<std::size_t>(std::count(words.begin(), words.end(), ' ')) + 1;
    const std::vector<Sample> word(kSampleRate / 2, Sample{1000});
    for (std::size_t i = 0; i < count; ++i) {
      if (fails_after == i) return failed({.where = text("mouth"), .what = text("gone"), .expected = {}, .remedy = {}});
      if (!listener(word)) return {};
    }
    std::this_thread::sleep_for(delay_at_end);
    return {};
  }
  std::chrono::milliseconds delay{0};
  std::chrono::milliseconds delay_at_end{0};
  std::atomic<bool> fails = false;
  std::size_t fails_after = SIZE_MAX;  // words of a sentence
};

class ScriptAnswerer final : public Answerer {
 public:
  Status answer(std::string_view user, Listener listener) override {
    asked.emplace_back(user);
    if (failures > 0) {
      --failures;
      return failed({.where = text("model"), .what = text("gone"), .expected = {}, .remedy = {}});
    }
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
  int failures = 0;
  std::vector<std::string> asked;
  std::vector<std::string> retold;
};

struct Told {
  std::string states;  // first letters, and ! for being woken
  std::vector<std::string> heard, replies, spoken, failures, woken;
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
    VoiceLoop loop(setting, {&source, &sink, &activity, &recognizer, &speaker, &answerer, key, wake_word},
                   [&](const VoiceReport& report) {
                     const std::scoped_lock lock(mutex);
                     if (on_report) on_report(report);
                     if (report.failure != nullptr) {
                       told.failures.emplace_back(report.failure->message());
                     } else if (report.heard != nullptr) {
                       told.heard.push_back(*report.heard);
                     } else if (report.reply != nullptr) {
                       told.replies.push_back(*report.reply);
                       told.spoken.push_back(*report.spoken);
                     } else if (report.wake != nullptr) {
                       told.states += '!';
                       told.woken.push_back(*report.wake);
                     } else {
                       told.states += name_of(report.state)[0];
                     }
                   });
    EXPECT_TRUE(loop.run(is_stopped).ok());
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
  WakeWord* wake_word = nullptr;
  std::function<void(const VoiceReport&)> on_report;
  bool (*is_stopped)() = [] { return false; };
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

}  // namespace rill::apps
