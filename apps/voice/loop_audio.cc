// The voice loop's audio thread: every 10 ms a frame in and a frame out, and what the states make of them. Allocates
// nothing; waits for nobody but the devices, or in lockstep.

#include <algorithm>
#include <cstdlib>
#include <thread>
#include <utility>

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
    const bool is_there = parts_.source->read(in) && !parts_.sink->has_failed();
    const bool is_voice = parts_.activity->is_voice(in);  // cleans the frame as well
    Endpointer::Change change =
        parts_.key == nullptr ? endpointer.judge(is_voice) : push_to_talk.judge(parts_.key->was_pressed(), !is_there);
    int peak = peak_.load(std::memory_order_relaxed);
    for (const Sample sample : in) peak = std::max(peak, std::abs(int{sample}));
    peak_.store(peak, std::memory_order_relaxed);
    std::size_t given = 0;
    {
      const std::scoped_lock lock(mutex_);
      input_is_over_ |= !is_there;
      if (change == Endpointer::Change::kEnds) {
        const bool ended_by_pause = parts_.key == nullptr && endpointer.silent_frames() > 0;
        pause_ = ended_by_pause ? setting_.pause_seconds : 0;
      }
      if (parts_.wake_word != nullptr) change = unless_asleep(change, endpointer);
      take_frame(in, change);
      if (setting_.guesses && parts_.key == nullptr) guess(endpointer.silent_frames());
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

/// Lets the audio's clock stand still while the next frame depends on somebody who is slower than it. Sentences are
/// waited for whole, as far as there is room: how much of one was said aloud is then no guess.
void VoiceLoop::wait_for_others(std::unique_lock<std::mutex>& lock) {
  changed_.wait(lock, [this] {
    if (is_ending_) return true;
    const std::uint64_t ready = playback_.end() - played_;
    const bool may_be_played = unsaid_ == 0 || ready >= kPlaybackSamples / 2;
    switch (state_) {
      case VoiceState::kListening:
        if (is_asleep_ && captured_.end() - sleep_heard_ >= kWakeChunk) return false;
        return !input_is_over_;  // the end is the caller's to see
      case VoiceState::kHearing:
        return given_up_turn_ == turn_ || captured_.end() - heard_up_to_ < kCaptureSamples / 2;
      case VoiceState::kThinking:
        return (ready > 0 && may_be_played) || nothing_left();
      case VoiceState::kSpeaking:
        return (ready >= kFrameSamples && may_be_played) || (reply_is_over_ && unsaid_ == 0);
    }
    return true;
  });
}

void VoiceLoop::enter(VoiceEvent event) {
  const VoiceState next = next_state(state_, event);
  if (next == state_) return;
  if (state_ == VoiceState::kSpeaking) awake_until_ = now() + setting_.awake_seconds;
  state_ = next;
  last_active_ = captured_.end();
  if (changes_.size() < kMostChanges) changes_.push_back({.t = now(), .state = next});
}

void VoiceLoop::take_frame(std::span<Sample, kFrameSamples> frame, Endpointer::Change change) {
  captured_.append(frame);
  if (change == Endpointer::Change::kBegins) {
    if (state_ == VoiceState::kSpeaking || state_ == VoiceState::kThinking) interrupt();
    sure_[++turn_ % kRemembered] = false;
    speech_is_over_ = false;
    speech_begin_ = where_speech_began();
    heard_up_to_ = speech_begin_;
    enter(VoiceEvent::kSpeechBegins);
  } else if (change == Endpointer::Change::kEnds) {
    ended_at_ = Clock::now();
    sure_[turn_ % kRemembered] = true;
    if (!std::exchange(is_guessed_, false)) {
      speech_is_over_ = true;
      speech_end_ = captured_.end();
      reply_is_over_ = given_up_turn_ == turn_;
    }
    enter(VoiceEvent::kSpeechEnds);
  }
}

/// Half a pause after the last voice the question may be over; a voice before the whole pause says that it is not.
void VoiceLoop::guess(std::size_t silent_frames) {
  if (state_ != VoiceState::kHearing) return;
  const bool may_be_over = silent_frames >= frames(setting_.pause_seconds) / 2;
  if (may_be_over && !is_guessed_) {
    is_guessed_ = true;
    speech_is_over_ = true;
    speech_end_ = captured_.end();
    reply_is_over_ = given_up_turn_ == turn_;
  } else if (!may_be_over && is_guessed_) {
    is_guessed_ = false;
    forget_reply();
    sure_[++turn_ % kRemembered] = false;
    speech_is_over_ = false;
    speech_begin_ = std::max(speech_begin_, captured_.begin());
    heard_up_to_ = speech_begin_;
  }
}

/// Before it was noticed; but the wake word is no part of a question. Speech that goes on from it was only noticed once
/// the word was known.
std::uint64_t VoiceLoop::where_speech_began() const {
  const std::uint64_t end = captured_.end();
  std::uint64_t begin = end > kPreRoll ? end - kPreRoll : 0;
  if (end <= woken_by_ + kPreRoll) begin = woken_at_;
  return std::max({begin, woken_at_, captured_.begin()});
}

/// With a wake word, speech that begins while nobody is talked with is none of ours. What follows the word is judged
/// anew, so that its own sound is not taken for a question.
Endpointer::Change VoiceLoop::unless_asleep(Endpointer::Change change, Endpointer& endpointer) {
  if (std::exchange(is_woken_, false)) {
    endpointer.restart();
    last_active_ = captured_.end();
    return Endpointer::Change::kNone;
  }
  const bool was_asleep = is_asleep_;
  is_asleep_ = state_ == VoiceState::kListening && now() >= awake_until_;
  if (is_asleep_ && !was_asleep) sleep_heard_ = captured_.end();
  return state_ == VoiceState::kListening && (is_asleep_ || change == Endpointer::Change::kEnds)
             ? Endpointer::Change::kNone
             : change;
}

/// Stops the reply: nothing more of it is played, made or, by the turn's number, written.
void VoiceLoop::interrupt() {
  const std::uint64_t unheard = parts_.sink->drop();
  if (!is_cut_) cut_at_ = played_ > unheard ? played_ - unheard : 0;
  is_cut_ = true;
  forget_reply();
}

void VoiceLoop::forget_reply() {
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
    if (state_ == VoiceState::kThinking) {
      first_sample_at_ = Clock::now();
      answered_ended_at_ = ended_at_;
      answered_pause_ = pause_;
    }
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
