#pragma once
// Whether somebody speaks: a detector that judges one frame, and what makes a beginning and an end of many judgements.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "apps/voice/audio.h"
#include "platform/status.h"

namespace rill::apps {

/// Judges frames of 10 ms, one after the other. Does not allocate after its first second.
class VoiceActivity {
 public:
  VoiceActivity() = default;
  VoiceActivity(const VoiceActivity&) = delete;
  VoiceActivity& operator=(const VoiceActivity&) = delete;
  virtual ~VoiceActivity() = default;

  /// What is about to be played, so that it is not taken for somebody's voice; detectors that cannot use it do not.
  virtual void played(std::span<const Sample, kFrameSamples> frame) = 0;
  /// @param frame  cleaned in place where the detector can: of echo and of rumble
  /// @returns true for voice
  virtual bool is_voice(std::span<Sample, kFrameSamples> frame) = 0;
};

/// "webrtc" or "level"; kUsage for others, and for one that this build has not. @param cancels_echo  where microphone
/// and loudspeaker are in one room
Result<std::unique_ptr<VoiceActivity>> make_voice_activity(const std::string& name, bool cancels_echo);
/// The best that this build has.
const char* default_voice_activity();

/// Makes a beginning and an end of speech out of judgements. Fixed state; no clock but the frames.
class Endpointer {
 public:
  /// Frames of the last kJudged that must be voice for speech to begin: 90 ms of 120, so that a click is none and a
  /// barge-in still stops the reply in far less than 200 ms.
  static constexpr std::size_t kJudged = 12;
  static constexpr std::size_t kNeeded = 9;

  enum class Change : std::uint8_t { kNone, kBegins, kEnds };

  /// @param pause_frames  without voice that end speech. @param most_frames  of one speech, which then ends
  Endpointer(std::size_t pause_frames, std::size_t most_frames)
      : pause_frames_(pause_frames), most_frames_(most_frames) {}

  Change judge(bool is_voice);
  /// Forgets what it has judged.
  void restart() {
    history_ = 0;
    in_speech_ = false;
    silent_ = 0;
  }
  /// Frames since the last one with voice.
  std::size_t silent_frames() const { return silent_; }

 private:
  std::size_t pause_frames_;
  std::size_t most_frames_;
  std::uint32_t history_ = 0;  // a bit a frame, the last one lowest
  bool in_speech_ = false;
  std::size_t silent_ = 0;
  std::size_t frames_ = 0;  // of the speech
};

}  // namespace rill::apps
