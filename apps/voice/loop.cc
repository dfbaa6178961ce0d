#include "apps/voice/loop.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <thread>
#include <utility>

#include "apps/voice/lead_in.h"

namespace rill::apps {
namespace {

constexpr std::chrono::milliseconds kLongestLook{100};  // between two looks whether the program was asked to end
constexpr std::size_t kChunk = kFrameSamples * 10;      // what the recogniser is given at a time

double seconds(std::chrono::steady_clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

/// The end of what was said, in whole words where there are spaces between them: speech that goes on for ever (a
/// radio's) does not grow from turn to turn.
std::string last_words(std::string_view words) {
  constexpr std::size_t kMostBytes = 1000;
  if (words.size() <= kMostBytes) return std::string(words);
  const std::size_t begin = words.size() - kMostBytes;
  if (const std::size_t space = words.find(' ', begin - 1); space != std::string_view::npos) {
    return std::string(words.substr(space + 1));
  }
  const auto is_within_character = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; };
  return std::string(
      std::find_if_not(words.begin() + static_cast<std::ptrdiff_t>(begin), words.end(), is_within_character),
      words.end());
}

/// Whisper's words begin with a space, which would be a part of the question.
std::string trimmed(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n";
  const std::size_t begin = std::min(text.find_first_not_of(kSpaces), text.size());
  const std::size_t end = text.find_last_not_of(kSpaces) + 1;  // npos + 1 is 0
  return std::string(text.substr(begin, std::max(begin, end) - begin));
}

}  // namespace

VoiceLoop::VoiceLoop(const LoopSetting& setting, const Parts& parts, std::function<void(const VoiceReport&)> report)
    : setting_(setting), parts_(parts), report_(std::move(report)) {
  changes_.reserve(kMostChanges);
  telling_.reserve(kMostChanges);
}

Status VoiceLoop::start(std::vector<std::thread>& threads) try {
  threads.emplace_back([this] { audio_main(); });
  threads.emplace_back([this] { mouth_main(); });
  if (parts_.wake_word != nullptr) threads.emplace_back([this] { wake_main(); });
  return {};
} catch (const std::system_error& error) {
  return failed({.where = text("voice"),
                 .what = text("starting a thread failed: ", error.what()),
                 .expected = {},
                 .remedy = text("raise the limit on threads (ulimit -u)")});
}

Status VoiceLoop::run(bool (*is_stopped)()) {
  is_stopped_ = is_stopped;
  std::vector<std::thread> threads;
  const Status started = start(threads);
  while (started.ok() && wait_for_speech()) take_turn();
  {
    const std::scoped_lock lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads) thread.join();
  tell_changes();
  const Status written = parts_.sink->close();
  const Status read = parts_.source->close();
  RILL_TRY(started);
  return written.ok() ? read : written;
}

VoiceLoop::Meter VoiceLoop::meter() {
  const std::scoped_lock lock(mutex_);
  return {.state = state_, .peak = peak_.exchange(0)};
}

// ---- the mouth thread

void VoiceLoop::mouth_main() {
  for (;;) {
    std::string sentence;
    std::uint64_t turn = 0;
    bool is_first = false;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return is_ending_ || !sentences_.empty(); });
      if (is_ending_) return;
      turn = turn_;
      sentence = std::move(sentences_.front());
      sentences_.pop_front();
      is_first = clips_.empty();
      clips_.push_back({.text = sentence, .begin = playback_.end(), .end = playback_.end()});
    }
    const std::string words = spoken_form(sentence);
    Status status;
    LeadIn lead_in;  // between two sentences it is their pause
    if (std::any_of(words.begin(), words.end(), [](char c) { return (c & 0x80) != 0 || std::isalnum(c) != 0; })) {
      status = parts_.speaker->say(words, [&](std::span<const Sample> samples) {
        return play(turn, is_first ? lead_in.after_silence(samples) : samples);
      });
    }
    {
      const std::scoped_lock lock(mutex_);
      if (turn == turn_) {
        clips_.back().is_whole = status.ok();
        --unsaid_;
      }
    }
    changed_.notify_all();
    if (!status.ok()) tell_failure(status);
  }
}

bool VoiceLoop::play(std::uint64_t turn, std::span<const Sample> samples) {
  while (!samples.empty()) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
      return is_ending_ || turn != turn_ || playback_.end() - played_ < kPlaybackSamples - kFrameSamples;
    });
    if (is_ending_ || turn != turn_) return false;
    const std::size_t room = kPlaybackSamples - static_cast<std::size_t>(playback_.end() - played_);
    const std::size_t count = std::min(samples.size(), room);
    playback_.append(samples.first(count));
    clips_.back().end = playback_.end();
    samples = samples.subspan(count);
    lock.unlock();
    changed_.notify_all();
  }
  return true;
}

// ---- the caller's thread

bool VoiceLoop::wait_for_speech() {
  for (;;) {
    tell_changes();
    std::unique_lock lock(mutex_);
    if (is_stopped_()) return false;
    if (turn_ != served_turn_) return true;
    if (state_ == VoiceState::kListening) {
      const double quiet = static_cast<double>(captured_.end() - last_active_) / kSampleRate;
      if (input_is_over_ || (setting_.idle_seconds > 0 && quiet >= setting_.idle_seconds)) return false;
    }
    changed_.wait_for(lock, kLongestLook);
  }
}

/// Gives the recogniser what is said while it is said.
Result<std::string> VoiceLoop::recognize(std::uint64_t turn) {
  RILL_TRY(parts_.recognizer->begin());
  std::array<Sample, kChunk> chunk{};
  for (;;) {
    std::size_t count = 0;
    bool is_last = false;
    {
      std::unique_lock lock(mutex_);
      const auto has_more = [&] {
        return turn_ != turn || speech_is_over_ || captured_.end() - heard_up_to_ >= kChunk || is_stopped_();
      };
      while (!changed_.wait_for(lock, kLongestLook, has_more)) {
      }
      if (is_stopped_()) return std::string();
      if (turn_ != turn) break;  // only if a new speech began before the end of this one was taken: it has all of it
      heard_up_to_ = std::max(heard_up_to_, captured_.begin());
      const std::uint64_t end = speech_is_over_ ? speech_end_ : captured_.end();
      const std::uint64_t rest =
          end > heard_up_to_ ? end - heard_up_to_ : 0;  // none that is still there, if we are late
      count = captured_.copy(heard_up_to_,
                             std::span(chunk).first(static_cast<std::size_t>(std::min<std::uint64_t>(kChunk, rest))));
      heard_up_to_ += count;
      is_last = speech_is_over_ && heard_up_to_ >= speech_end_;
    }
    changed_.notify_all();
    tell_changes();
    RILL_TRY(parts_.recognizer->hear(std::span(chunk).first(count)));
    if (is_last) break;
  }
  return parts_.recognizer->end();
}

/// The wake phrase is taken off what was heard. @returns true if it was there, or is not needed now
bool VoiceLoop::is_for_us(std::string& words) {
  if (setting_.wake.empty()) return true;
  const std::optional<std::size_t> question = behind_phrase(words, setting_.wake);
  const std::scoped_lock lock(mutex_);
  if (!question.has_value()) return now() < awake_until_;
  awake_until_ = now() + setting_.awake_seconds;
  words.erase(0, *question);
  return true;
}

void VoiceLoop::take_turn() {
  {
    const std::scoped_lock lock(mutex_);
    served_turn_ = turn_;
  }
  const std::uint64_t turn = served_turn_;
  Result<std::string> heard = recognize(turn);
  std::string words;
  if (heard.ok()) {
    words = trimmed(*heard);
  } else {
    tell_failure(heard.status());
  }
  heard_ = words;
  heard_turn_ = turn;
  is_heard_told_ = false;
  tell_changes();
  const bool answers = is_for_us(words) && !words.empty();
  if (!unanswered_.empty() && !words.empty()) words.insert(0, unanswered_ + ' ');
  if (answers) {
    reply_to(words, turn);
    return;
  }
  {
    const std::scoped_lock lock(mutex_);
    if (turn_ == turn) reply_is_over_ = true;
    given_up_turn_ = turn;
    if (turn_ == turn && state_ == VoiceState::kThinking) enter(VoiceEvent::kNothingToSay);
  }
  changed_.notify_all();
  wait_for_end(turn);  // it may only be a guess that it is over
}

void VoiceLoop::queue(const std::string& sentence, std::uint64_t turn) {
  if (sentence.find_first_not_of(" \n\t\r") == std::string::npos) return;
  {
    const std::scoped_lock lock(mutex_);
    if (turn_ != turn) return;
    if (clips_.empty() && unsaid_ == 0) first_sentence_at_ = Clock::now();
    sentences_.push_back(sentence);
    ++unsaid_;
  }
  changed_.notify_all();
}

/// What of the reply reached the loudspeaker. Under the lock.
std::string VoiceLoop::said_aloud() const {
  std::string said;
  const std::uint64_t heard = is_cut_ ? cut_at_ : played_;
  for (const Clip& clip : clips_) {
    if (heard >= clip.end && clip.is_whole) {
      said += clip.text;
    } else if (heard > clip.begin && clip.end > clip.begin) {
      // A clip that is still being made is longer than what there is of it: it counts as twice that.
      const auto length = static_cast<double>(clip.end - clip.begin) * (clip.is_whole ? 1 : 2);
      said += first_words(clip.text, static_cast<double>(std::min(heard, clip.end) - clip.begin) / length);
    }
  }
  return said;
}

/// Until the reply is said or interrupted; what happens meanwhile is told when it does.
void VoiceLoop::wait_for_end(std::uint64_t turn) {
  const auto is_over = [&] {
    return turn_ != turn || (state_ == VoiceState::kListening && nothing_left()) || is_stopped_();
  };
  for (;;) {
    tell_changes();
    std::unique_lock lock(mutex_);
    // For a time: nobody tells of a signal.
    changed_.wait_for(lock, kLongestLook, [&] { return is_over() || !changes_.empty(); });
    if (is_over()) return;
  }
}

/// What came before the question's end was sure cost nobody any time. Under the lock.
VoiceLatency VoiceLoop::latency_of_reply(Clock::time_point heard_at) const {
  const auto waited = [&](Clock::time_point from, Clock::time_point to) {
    return seconds(std::max(to, answered_ended_at_) - std::max(from, answered_ended_at_));
  };
  return {.activity = answered_pause_,
          .recognizer = waited(answered_ended_at_, heard_at),
          .prefill = waited(heard_at, first_text_at_),
          .clause = waited(first_text_at_, first_sentence_at_),
          .speaker = waited(first_sentence_at_, first_sample_at_),
          .total = answered_pause_ + waited(answered_ended_at_, first_sample_at_)};
}

void VoiceLoop::reply_to(const std::string& words, std::uint64_t turn) {
  const Clock::time_point heard_at = Clock::now();
  {
    const std::scoped_lock lock(mutex_);
    if (turn_ != turn) {  // the speaker went on already
      if (is_sure(turn)) unanswered_ = last_words(words);
      return;
    }
    clips_.clear();
    is_cut_ = false;
    first_sample_at_ = {};
  }
  std::string reply;
  SentenceCutter cutter;
  const auto is_current = [&] {
    const std::scoped_lock lock(mutex_);
    return turn_ == turn && !is_stopped_();
  };
  const Status status = parts_.answerer->answer(words, [&](std::string_view text) {
    if (reply.empty()) first_text_at_ = Clock::now();
    reply += text;
    cutter.add(text);
    while (const std::optional<std::string> sentence = cutter.next()) queue(*sentence, turn);
    tell_changes();
    return is_current();
  });
  if (!status.ok()) tell_failure(status);
  queue(cutter.rest(), turn);

  {
    const std::scoped_lock lock(mutex_);
    if (turn_ == turn) reply_is_over_ = true;
  }
  changed_.notify_all();
  wait_for_end(turn);
  std::string spoken;
  bool was_interrupted = false;
  bool was_asked = false;
  VoiceLatency latency;
  bool had_sound = false;
  {
    const std::scoped_lock lock(mutex_);
    had_sound = first_sample_at_ != Clock::time_point();
    was_asked = is_sure(turn);
    was_interrupted = is_cut_ || !was_asked || is_stopped_();  // speech after the last word interrupts nothing
    spoken = was_asked ? said_aloud() : std::string();
    latency = latency_of_reply(heard_at);
  }
  const bool was_heard = !spoken.empty();
  tell_changes();
  if (was_asked) {
    tell({.reply = &reply, .spoken = &spoken, .latency = was_heard && had_sound ? &latency : nullptr});
    unanswered_ = was_interrupted && !was_heard ? last_words(words) : "";
  }
  if (!was_interrupted || (spoken == reply && was_heard) || !status.ok() || is_stopped_()) return;
  if (const Status retold = parts_.answerer->retell(words, spoken); !retold.ok()) tell_failure(retold);
}

/// Changes that other threads made, in order; then what was heard, once that is no guess.
void VoiceLoop::tell_changes() {
  VoiceReport heard{.heard = &heard_};
  {
    const std::scoped_lock lock(mutex_);
    telling_.swap(changes_);  // both keep their memory
    heard.t = now();
    heard.state = state_;
    if (is_heard_told_ || !is_sure(heard_turn_)) heard.heard = nullptr;
  }
  for (const Change& change : telling_) {
    report_({.t = change.t, .state = change.state, .wake = change.wake ? &*change.wake : nullptr});
    if (heard.heard == nullptr || change.state != VoiceState::kThinking) continue;
    report_({.t = change.t, .state = change.state, .heard = std::exchange(heard.heard, nullptr)});
    is_heard_told_ = true;
  }
  telling_.clear();
  if (heard.heard == nullptr) return;
  report_(heard);
  is_heard_told_ = true;
}

void VoiceLoop::tell(VoiceReport report) {
  tell_changes();
  {
    const std::scoped_lock lock(mutex_);
    report.t = now();
    report.state = state_;
  }
  report_(report);
}

void VoiceLoop::tell_failure(const Status& status) {
  if (is_stopped_()) return;  // parts that were waited for fail then
  VoiceReport report{.failure = &status};
  {
    const std::scoped_lock lock(mutex_);
    report.t = now();
    report.state = state_;
  }
  report_(report);
}

}  // namespace rill::apps
