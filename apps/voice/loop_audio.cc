// The voice loop's audio thread: every 10 ms a frame in and a frame out, and what the states make of them. Allocates
// nothing; waits for nobody but the devices, or in lockstep.

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "apps/voice/loop.h"

namespace rill::apps {
namespace {

constexpr std::size_t kPreRoll = kFrameSamples * 35;  // before speech was noticed, so that no first sound is lost

std::size_t frames(double duration) { return static_cast<std::size_t>(duration / kFrameSeconds); }

}  // namespace

void VoiceLoop::audio_main() {
  Endpointer endpointer(frames(setting_.pause_seconds), frames(setting_.most_seconds));
  PushToTalk push_to_talk(frames(setting_.most_seconds));
  std::array<Sample, kFrameSamples> in{};
  std::array<Sample, kFrameSamples> out{};
  auto next = Clock::now();
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (setting_.is_lockstep) wait_for_others(lock);
      if (is_ending_) return;
    }
    const bool is_there = parts_.source->read(in);
    const bool is_voice = parts_.activity->is_voice(in);  // cleans the frame as well
    const Endpointer::Change change =
        parts_.key == nullptr ? endpointer.judge(is_voice) : push_to_talk.judge(parts_.key->was_pressed(), !is_there);
    int peak = peak_.load(std::memory_order_relaxed);
    for (const Sample sample : in) peak = std::max(peak, std::abs(int{sample}));
    peak_.store(peak, std::memory_order_relaxed);
    std::size_t given = 0;
    {
      const std::scoped_lock lock(mutex_);
      input_is_over_ |= !is_there;
      if (parts_.key == nullptr) pause_ = static_cast<double>(endpointer.silent_frames()) * kFrameSeconds;
      take_frame(in, change);
      given = give_frame(out);
    }
    changed_.notify_all();
    if (given > 0 || setting_.keeps_time || parts_.sink->is_live()) {
      parts_.activity->played(out);
      parts_.sink->write(out);
    }
    // A source that is live gives the pace; once it has ended, or for a file, the clock does.
    next += std::chrono::milliseconds(10);
    if (setting_.is_clocked || (!is_there && !setting_.is_lockstep)) {
      std::this_thread::sleep_until(next);
    } else {
      next = Clock::now();
    }
  }
}

/// Lets the audio's clock stand still while the next frame depends on somebody who is slower than it.
void VoiceLoop::wait_for_others(std::unique_lock<std::mutex>& lock) {
  changed_.wait(lock, [this] {
    if (is_ending_) return true;
    const std::uint64_t ready = playback_.end() - played_;
    switch (state_) {
      case VoiceState::kListening:
        return !input_is_over_;  // the end is the caller's to see
      case VoiceState::kHearing:
        return captured_.end() - heard_up_to_ < kCaptureSamples / 2;
      case VoiceState::kThinking:
        return ready > 0 || nothing_left();
      case VoiceState::kSpeaking:
        return ready >= kFrameSamples || (reply_is_over_ && unsaid_ == 0);
    }
    return true;
  });
}

void VoiceLoop::enter(VoiceEvent event) {
  const VoiceState next = next_state(state_, event);
  if (next == state_) return;
  state_ = next;
  last_active_ = captured_.end();
  if (changes_.size() < kMostChanges) changes_.push_back({.t = now(), .state = next});
}

void VoiceLoop::take_frame(std::span<Sample, kFrameSamples> frame, Endpointer::Change change) {
  captured_.append(frame);
  if (change == Endpointer::Change::kBegins) {
    if (state_ == VoiceState::kSpeaking || state_ == VoiceState::kThinking) interrupt();
    ++turn_;
    speech_is_over_ = false;
    const std::uint64_t end = captured_.end();
    speech_begin_ = std::max(end > kPreRoll ? end - kPreRoll : 0, captured_.begin());
    heard_up_to_ = speech_begin_;
    enter(VoiceEvent::kSpeechBegins);
  } else if (change == Endpointer::Change::kEnds) {
    speech_is_over_ = true;
    speech_end_ = captured_.end();
    ended_at_ = Clock::now();
    reply_is_over_ = false;
    enter(VoiceEvent::kSpeechEnds);
  }
}

/// Stops the reply: nothing more of it is played, made or, by the turn's number, written.
void VoiceLoop::interrupt() {
  const std::uint64_t unheard = parts_.sink->drop();
  if (!is_cut_) cut_at_ = played_ > unheard ? played_ - unheard : 0;
  is_cut_ = true;
  played_ = playback_.end();
  sentences_.clear();
  unsaid_ = 0;
  reply_is_over_ = true;
}

/// @returns samples of the reply in the frame; the rest is silence
std::size_t VoiceLoop::give_frame(std::span<Sample, kFrameSamples> frame) {
  std::size_t count = 0;
  const bool may_play = state_ == VoiceState::kThinking || state_ == VoiceState::kSpeaking;
  const std::uint64_t ready = playback_.end() - played_;
  if (may_play && ready > 0 && (ready >= kFrameSamples || (reply_is_over_ && unsaid_ == 0))) {
    if (state_ == VoiceState::kThinking) first_sample_at_ = Clock::now();
    enter(VoiceEvent::kFirstSample);
    count = playback_.copy(played_, frame);
    played_ += count;
    last_active_ = captured_.end();
  } else if (may_play && nothing_left()) {
    enter(state_ == VoiceState::kSpeaking ? VoiceEvent::kAllSaid : VoiceEvent::kNothingToSay);
  }
  std::fill(frame.begin() + static_cast<std::ptrdiff_t>(count), frame.end(), Sample{0});
  return count;
}

}  // namespace rill::apps
