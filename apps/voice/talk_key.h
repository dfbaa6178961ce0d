#pragma once
// Push-to-talk: a key that says when a question begins and ends, in the place of a voice detector.

#include <cstddef>
#include <memory>

#include "apps/voice/activity.h"
#include "platform/status.h"

namespace rill::apps {

/// Where presses come from. Asked by the audio thread in every frame: never waits, never allocates.
class TalkKey {
 public:
  TalkKey() = default;
  TalkKey(const TalkKey&) = delete;
  TalkKey& operator=(const TalkKey&) = delete;
  virtual ~TalkKey() = default;
  /// Whether the key was pressed since the last time.
  virtual bool was_pressed() = 0;
};

/// kUsage where standard input is no terminal.
Status check_talk_key();
/// The space bar of the terminal that is standard input, whose line mode and echo are off as long as this lives. kUsage
/// where standard input is no terminal.
Result<std::unique_ptr<TalkKey>> open_talk_key();

/// What presses make of speech. A terminal does not tell when a key is let go, so one press begins and the next ends;
/// the end of the input and too long a question end it as well.
class PushToTalk {
 public:
  explicit PushToTalk(std::size_t most_frames) : most_frames_(most_frames) {}

  Endpointer::Change judge(bool is_pressed, bool input_is_over) {
    if (!in_speech_) {
      in_speech_ = is_pressed && !input_is_over;
      frames_ = 0;
      return in_speech_ ? Endpointer::Change::kBegins : Endpointer::Change::kNone;
    }
    if (!is_pressed && !input_is_over && ++frames_ < most_frames_) return Endpointer::Change::kNone;
    in_speech_ = false;
    return Endpointer::Change::kEnds;
  }

 private:
  std::size_t most_frames_;
  bool in_speech_ = false;
  std::size_t frames_ = 0;  // of the speech
};

}  // namespace rill::apps
