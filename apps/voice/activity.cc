#include "apps/voice/activity.h"

#include <bit>
#include <cmath>

#ifdef RILL_HAS_WEBRTC
#include <webrtc/modules/audio_processing/include/audio_processing.h>
#include <webrtc/modules/interface/module_common_types.h>
#endif

namespace rill::apps {
namespace {

double level_of(std::span<const Sample> frame) {
  double sum = 0;
  for (const Sample sample : frame) sum += static_cast<double>(sample) * sample;
  return 10 * std::log10(sum / static_cast<double>(frame.size()) + 1);  // dB above one step
}

/// Loud against the quietest that there was: needs no library, takes slamming doors for voice.
class LevelActivity final : public VoiceActivity {
 public:
  void played(std::span<const Sample, kFrameSamples>) override {}
  bool is_voice(std::span<Sample, kFrameSamples> frame) override {
    const double level = level_of(frame);
    // The floor falls at once and rises by 2 dB a second, so that a fan that is switched on stops being speech.
    floor_ = level < floor_ ? level : floor_ + 0.02;
    return level > floor_ + kAboveFloor && level > kQuietest;
  }

 private:
  static constexpr double kAboveFloor = 12;
  static constexpr double kQuietest = 36;  // -54 dB of full scale
  double floor_ = 60;
};

#ifdef RILL_HAS_WEBRTC
/// WebRTC's audio processing: a high-pass, its voice detector and, where asked for, its echo canceller.
class WebrtcActivity final : public VoiceActivity {
 public:
  explicit WebrtcActivity(bool cancels_echo)
      : cancels_echo_(cancels_echo), processing_(webrtc::AudioProcessing::Create()) {
    processing_->high_pass_filter()->Enable(true);
    processing_->voice_detection()->Enable(true);
    processing_->voice_detection()->set_likelihood(webrtc::VoiceDetection::kLowLikelihood);
    processing_->echo_cancellation()->Enable(cancels_echo);
    processing_->echo_cancellation()->enable_drift_compensation(false);
    frame_.sample_rate_hz_ = kSampleRate;
    frame_.samples_per_channel_ = kFrameSamples;
    frame_.num_channels_ = 1;
    played_ = std::make_unique<webrtc::AudioFrame>();
    played_->sample_rate_hz_ = kSampleRate;
    played_->samples_per_channel_ = kFrameSamples;
    played_->num_channels_ = 1;
  }

  void played(std::span<const Sample, kFrameSamples> frame) override {
    if (!cancels_echo_) return;
    std::copy(frame.begin(), frame.end(), played_->data_);
    processing_->AnalyzeReverseStream(played_.get());
  }
  bool is_voice(std::span<Sample, kFrameSamples> frame) override {
    std::copy(frame.begin(), frame.end(), frame_.data_);
    if (cancels_echo_) processing_->set_stream_delay_ms(kDelayMs);
    if (processing_->ProcessStream(&frame_) != webrtc::AudioProcessing::kNoError) return false;
    std::copy_n(frame_.data_, frame.size(), frame.begin());
    return processing_->voice_detection()->stream_has_voice() && level_of(frame) > kQuietest;
  }

 private:
  static constexpr int kDelayMs = 60;      // both sound cards' buffers; the canceller finds the rest
  static constexpr double kQuietest = 30;  // -60 dB of full scale: the detector hears voices in digital silence
  bool cancels_echo_;
  std::unique_ptr<webrtc::AudioProcessing> processing_;
  webrtc::AudioFrame frame_;
  std::unique_ptr<webrtc::AudioFrame> played_;
};
#endif

}  // namespace

const char* default_voice_activity() {
#ifdef RILL_HAS_WEBRTC
  return "webrtc";
#else
  return "level";
#endif
}

Result<std::unique_ptr<VoiceActivity>> make_voice_activity(const std::string& name,
                                                           [[maybe_unused]] bool cancels_echo) {
  if (name == "level") return std::unique_ptr<VoiceActivity>(std::make_unique<LevelActivity>());
#ifdef RILL_HAS_WEBRTC
  if (name == "webrtc") return std::unique_ptr<VoiceActivity>(std::make_unique<WebrtcActivity>(cancels_echo));
#endif
  return bad_usage({.where = text("--vad"),
                    .what = text("this build has no detector ", name),
                    .expected = text(default_voice_activity(), " or level"),
                    .remedy = {}});
}

Endpointer::Change Endpointer::judge(bool is_voice) {
  history_ = (history_ << 1U | (is_voice ? 1U : 0U)) & ((1U << kJudged) - 1);
  silent_ = is_voice ? 0 : silent_ + 1;
  if (!in_speech_) {
    if (static_cast<std::size_t>(std::popcount(history_)) < kNeeded) return Change::kNone;
    in_speech_ = true;
    frames_ = 0;
    return Change::kBegins;
  }
  if (silent_ < pause_frames_ && ++frames_ < most_frames_) return Change::kNone;
  in_speech_ = false;
  history_ = 0;
  return Change::kEnds;
}

}  // namespace rill::apps
