// The voice loop's wake thread: what is captured while nobody is talked with goes to the wake word's detector. A
// detector that is slow, stuck or gone holds up this thread and nothing else.

#include <chrono>
#include <mutex>

#include "apps/voice/loop.h"

namespace rill::apps {

void VoiceLoop::wake_main() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return is_ending_ || is_asleep_; });
      if (is_ending_) return;
    }
    if (listen_for_wake_word()) continue;
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, parts_.wake_word->time_to_next_try(), [this] { return is_ending_; });
    sleep_heard_ = captured_.end();
    lock.unlock();
    changed_.notify_all();
  }
}

/// One stream, from falling asleep to the word. @returns false if the detector failed, which was told
bool VoiceLoop::listen_for_wake_word() {
  WakeWord& detector = *parts_.wake_word;
  const auto fails = [this](const Status& status) {
    if (!status.ok()) tell_failure(status);
    return !status.ok();
  };
  {
    const std::scoped_lock lock(mutex_);
    sleep_begin_ = std::max(sleep_heard_, captured_.begin());
    sleep_heard_ = sleep_begin_;
  }
  if (fails(detector.begin())) return false;
  std::array<Sample, kWakeChunk> chunk{};
  while (const std::size_t count = next_of_sleep(chunk)) {
    if (fails(detector.hear(std::span(chunk).first(count)))) return false;
    const Result<std::optional<WakeWord::Detection>> detected = detector.detected();
    if (fails(detected.status())) return false;
    advance_sleep(count, *detected);
    if (detected->has_value()) break;
  }
  detector.rest();
  return true;
}

/// Waits for samples. @returns how many; none when there is nothing more to listen to, or this fell so far behind that
/// it begins anew
std::size_t VoiceLoop::next_of_sleep(std::span<Sample> samples) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return is_ending_ || !is_asleep_ || captured_.end() - sleep_heard_ >= samples.size(); });
  if (is_ending_ || !is_asleep_) return 0;
  if (captured_.end() - sleep_heard_ > kCaptureSamples / 2) {
    sleep_heard_ = captured_.end();
    return 0;
  }
  return captured_.copy(sleep_heard_, samples);
}

/// `count` samples more were heard, and perhaps the word in them.
void VoiceLoop::advance_sleep(std::size_t count, const std::optional<WakeWord::Detection>& detection) {
  {
    const std::scoped_lock lock(mutex_);
    sleep_heard_ += count;
    if (detection.has_value()) {
      is_asleep_ = false;
      is_woken_ = true;
      woken_at_ = std::min(sleep_begin_ + detection->samples, captured_.end());
      woken_by_ = captured_.end();
      awake_until_ = now() + setting_.awake_seconds;
      if (changes_.size() < kMostChanges) changes_.push_back({.t = now(), .state = state_, .wake = detection->name});
    }
  }
  changed_.notify_all();
}

}  // namespace rill::apps
