// What must not happen on audio's way: that our code takes memory there once it runs, or that the model waits for it.
// A whole conversation from a WAV file to a WAV file, of another rate than the loop's, with parts that the test plays.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "apps/voice/loop.h"
#include "apps/voice/resampler.h"
#include "platform/allocation_watch.h"
#include "tests/support/scratch_directory.h"

namespace rill::apps {
namespace {

constexpr std::uint32_t kRate = 22050;  // of the question and of what the speaker makes

/// Loud and silent seconds by turns, silent first, as a WAV file.
std::string write_question(const ScratchDirectory& scratch, const std::vector<double>& seconds) {
  std::string name = scratch.file("question.wav");
  std::FILE* const file = std::fopen(name.c_str(), "wb");
  std::vector<Sample> samples;
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    for (double t = 0; t < seconds[i]; t += 1.0 / kRate) {
      samples.push_back(static_cast<Sample>(i % 2 == 0 ? 0 : samples.size() / 20 % 2 == 0 ? 8000 : -8000));
    }
  }
  const auto word = [&](std::uint32_t value, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) std::fputc(static_cast<int>(value >> (8 * i) & 255U), file);
  };
  std::fputs("RIFF", file);
  word(0, 4);
  std::fputs("WAVEfmt ", file);
  for (const auto& [value, size] :
       {std::pair{16U, 4U}, {1U, 2U}, {1U, 2U}, {kRate, 4U}, {kRate * 2, 4U}, {2U, 2U}, {16U, 2U}}) {
    word(value, size);
  }
  std::fputs("data", file);
  word(static_cast<std::uint32_t>(samples.size() * 2), 4);
  std::fwrite(samples.data(), sizeof(Sample), samples.size(), file);
  std::fclose(file);
  return name;
}

/// Counts what the audio thread allocates from the end of its first frame's read on.
class WatchedSource final : public AudioSource {
 public:
  explicit WatchedSource(std::unique_ptr<AudioSource> file) : file_(std::move(file)) {}
  bool read(std::span<Sample, kFrameSamples> frame) override {
    const std::uint64_t before = allocations_of_this_thread();
    if (frames > 0) in_the_loop += before - after_read_;
    const bool is_there = file_->read(frame);
    after_read_ = allocations_of_this_thread();
    if (frames++ > 0) in_read += after_read_ - before;  // the first one takes the C library's own buffer
    return is_there;
  }
  bool is_live() const override { return false; }

  std::uint64_t frames = 0;
  std::uint64_t in_read = 0;
  std::uint64_t in_the_loop = 0;  // and in the detector and the sink

 private:
  std::unique_ptr<AudioSource> file_;
  std::uint64_t after_read_ = 0;
};

/// Takes what is said without a word of its own; counts what its thread allocates between two pieces of one speech.
class WatchedRecognizer final : public Recognizer {
 public:
  Status begin() override {
    last_ = allocations_of_this_thread();
    pieces_ = 0;
    return {};
  }
  Status hear(std::span<const Sample>) override {
    const std::uint64_t now = allocations_of_this_thread();
    if (pieces_++ > 1) between += now - last_;  // the first pieces are told along with a change of state
    last_ = allocations_of_this_thread();
    ++heard;
    return {};
  }
  Result<std::string> end() override { return std::string("hello"); }
  std::uint64_t between = 0;
  std::uint64_t heard = 0;

 private:
  std::uint64_t last_ = 0;
  std::uint64_t pieces_ = 0;
};

/// Two seconds of sound a sentence, resampled as a part's is.
class WatchedSpeaker final : public Speaker {
 public:
  Status say(std::string_view, Listener listener) override {
    const std::uint64_t before = allocations_of_this_thread();
    resampler_.restart();
    for (int i = 0; i < 20; ++i) {
      const std::size_t count = resampler_.run(given_, made_);
      if (!listener(std::span(made_).first(count))) break;
    }
    in_playback += allocations_of_this_thread() - before;
    ++sentences;
    return {};
  }
  std::uint64_t in_playback = 0;
  std::uint64_t sentences = 0;

 private:
  Resampler resampler_{kRate};
  std::vector<Sample> given_ = std::vector<Sample>(kRate / 10, Sample{4000});
  std::vector<Sample> made_ = std::vector<Sample>(resampler_.most_output(kRate / 10));
};

class FixedAnswerer final : public Answerer {
 public:
  Status answer(std::string_view, Listener listener) override {
    listener("One two three. Four five six. ");
    return {};
  }
  Status retell(std::string_view, std::string_view) override {
    ++retold;
    return {};
  }
  int retold = 0;
};

TEST(VoiceAudioPath, NoAllocationAfterStartFromWavToWavThroughTurnsAndABargeIn) {
  // A question, its answer, a second one into the answer, and so on: the third interrupts.
  const ScratchDirectory scratch;
  const std::string name = write_question(scratch, {0.5, 1.0, 6.0, 1.0, 1.5, 1.0, 1.0});
  Result<std::unique_ptr<AudioSource>> file = open_source(name);
  ASSERT_TRUE(file.ok()) << file.status().message();
  WatchedSource source(*std::move(file));
  Result<std::unique_ptr<AudioSink>> sink = open_sink(scratch.file("answer.wav"));
  ASSERT_TRUE(sink.ok()) << sink.status().message();
  Result<std::unique_ptr<VoiceActivity>> activity = make_voice_activity("level", false);
  ASSERT_TRUE(activity.ok());
  WatchedRecognizer recognizer;
  WatchedSpeaker speaker;
  FixedAnswerer answerer;
  LoopSetting setting;
  setting.is_lockstep = true;
  std::string states;
  VoiceLoop loop(setting, {&source, sink->get(), activity->get(), &recognizer, &speaker, &answerer},
                 [&](const VoiceReport& told) {
                   if (told.heard == nullptr && told.reply == nullptr) states += name_of(told.state)[0];
                 });
  ASSERT_TRUE(loop.run([] { return false; }).ok());
  EXPECT_EQ(states, "htslhtshtsl");
  EXPECT_EQ(answerer.retold, 1);
  EXPECT_GT(source.frames, 1000U);
  EXPECT_GT(recognizer.heard, 30U);
  EXPECT_GE(speaker.sentences, 5U);
  EXPECT_EQ(source.in_read, 0U) << "reading and resampling the question";
  EXPECT_EQ(source.in_the_loop, 0U) << "voice activity, rings, changes of state, writing the answer";
  EXPECT_EQ(recognizer.between, 0U) << "from the capture ring to the recogniser";
  EXPECT_EQ(speaker.in_playback, 0U) << "resampling, and into the playback ring";
}

/// Parts that stand still until the model has written all it wants to.
struct Gate {
  std::atomic<bool> is_written = false;
  std::atomic<int> gave_up = 0;
  void wait() {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!is_written && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (!is_written) ++gave_up;
  }
};

class StuckSpeaker final : public Speaker {
 public:
  explicit StuckSpeaker(Gate& gate) : gate_(&gate) {}
  Status say(std::string_view, Listener listener) override {
    const std::vector<Sample> word(kSampleRate / 10, Sample{1000});
    static_cast<void>(listener(word));
    gate_->wait();
    return {};
  }

 private:
  Gate* gate_;
};

class StuckSink final : public AudioSink {
 public:
  explicit StuckSink(Gate& gate) : gate_(&gate) {}
  void write(std::span<const Sample, kFrameSamples>) override { gate_->wait(); }
  Status close() override { return {}; }
  bool is_live() const override { return false; }

 private:
  Gate* gate_;
};

class LongAnswerer final : public Answerer {
 public:
  explicit LongAnswerer(Gate& gate) : gate_(&gate) {}
  Status answer(std::string_view, Listener listener) override {
    for (int i = 0; i < 100 && listener("One two three. "); ++i) ++sentences;
    gate_->is_written = true;
    return {};
  }
  Status retell(std::string_view, std::string_view) override { return {}; }
  int sentences = 0;

 private:
  Gate* gate_;
};

TEST(VoiceAudioPath, TheModelNeverWaitsForTheSpeakerNorForTheLoudspeaker) {
  const ScratchDirectory scratch;
  Result<std::unique_ptr<AudioSource>> source = open_source(write_question(scratch, {0.5, 1.0, 1.0}));
  ASSERT_TRUE(source.ok());
  Result<std::unique_ptr<VoiceActivity>> activity = make_voice_activity("level", false);
  ASSERT_TRUE(activity.ok());
  Gate gate;
  StuckSpeaker speaker(gate);
  StuckSink sink(gate);
  LongAnswerer answerer(gate);
  WatchedRecognizer recognizer;
  LoopSetting setting;
  setting.is_lockstep = true;
  VoiceLoop loop(setting, {source->get(), &sink, activity->get(), &recognizer, &speaker, &answerer},
                 [](const VoiceReport&) {});
  ASSERT_TRUE(loop.run([] { return false; }).ok());
  EXPECT_EQ(answerer.sentences, 100);
  EXPECT_EQ(gate.gave_up, 0) << "the model waited for what was to be played";
}

}  // namespace
}  // namespace rill::apps
