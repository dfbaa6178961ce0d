#pragma once
// The voice loop: microphone, recogniser, model, speaker, loudspeaker, and the right to interrupt.
//
//   audio thread    source -> voice activity -> capture ring        playback ring -> sink        every 10 ms; allocates
//                                                                                                nothing, waits for
//                                                                                                nobody
//   caller's        capture ring -> recogniser -> answerer -> sentences
//   mouth thread    sentences -> speaker -> playback ring
//   wake thread     capture ring -> wake word, as long as nobody is talked with; only with a detector of its own
//
// loop_audio.cc is the first of them, loop_wake.cc the last, loop.cc the others.
//
// apps/voice/state.h draws the states. The audio thread makes every change of state but "nothing to say", so that
// speech stops the reply within the frame that it is noticed in, whatever the model is doing.
//
// A guess hides most of the work in the pause that tells a question's end: half-way through it the question is taken
// for over, and everything goes its way but the sound. The pause's end makes the guess true, and the reply is there; a
// voice before that takes it back (Answerer::retell with nothing said), and the same question goes on.

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "apps/voice/activity.h"
#include "apps/voice/audio_io.h"
#include "apps/voice/speech.h"
#include "apps/voice/speech_text.h"
#include "apps/voice/state.h"
#include "apps/voice/talk_key.h"
#include "apps/voice/wake_word.h"
#include "platform/function_ref.h"
#include "platform/status.h"

namespace rill::apps {

/// What replies: a conversation with the model.
class Answerer {
 public:
  using Listener = FunctionRef<bool(std::string_view text)>;
  Answerer() = default;
  Answerer(const Answerer&) = delete;
  Answerer& operator=(const Answerer&) = delete;
  virtual ~Answerer() = default;
  /// Replies piece by piece; the listener's false ends it.
  virtual Status answer(std::string_view user, Listener listener) = 0;
  /// The last turn anew: only `said` of its reply was. With nothing said it is as if the turn had not been.
  virtual Status retell(std::string_view user, std::string_view said) = 0;
};

/// Where the time went between the end of a question and the first sample of its answer, in seconds.
struct VoiceLatency {
  double activity = 0;    ///< silence that told the end
  double recognizer = 0;  ///< from there to the words
  double prefill = 0;     ///< to the reply's first text
  double clause = 0;      ///< to its first clause
  double speaker = 0;     ///< to that clause's first samples
  double total = 0;
};

/// What the loop tells; fields that do not apply are empty.
struct VoiceReport {
  double t = 0;  ///< seconds of audio since the start
  VoiceState state = VoiceState::kListening;
  const std::string* heard = nullptr;
  const std::string* reply = nullptr;
  const std::string* spoken = nullptr;
  const std::string* wake = nullptr;  ///< the word that woke it
  const VoiceLatency* latency = nullptr;
  const Status* failure = nullptr;
};

struct LoopSetting {
  double pause_seconds = 0.5;  ///< of silence that end a question
  double most_seconds = 20;    ///< of one question
  double idle_seconds = 0;     ///< without speech that end the loop; 0: never
  bool guesses = false;        ///< that a question is over, half-way through the pause that tells it
  bool is_lockstep = false;    ///< the audio's clock stands still while somebody is waited for
  bool keeps_time = false;     ///< silence is written, too
  bool is_clocked = false;     ///< frames of a file at the pace of the world
  std::string wake;            ///< a phrase, looked for in what the recogniser wrote, without which nothing is answered
  double awake_seconds = 10;   ///< after a reply, or the wake word, in which none is needed
};

class VoiceLoop {
 public:
  /// All borrowed. Takes its rings here.
  struct Parts {
    AudioSource* source;
    AudioSink* sink;
    VoiceActivity* activity;
    Recognizer* recognizer;
    Speaker* speaker;
    Answerer* answerer;
    TalkKey* key = nullptr;         ///< push-to-talk: it says when a question begins and ends, not the voice
    WakeWord* wake_word = nullptr;  ///< until it is heard, and some time after a reply, nobody is listened to
  };
  static constexpr std::size_t kCaptureSamples = std::size_t{kSampleRate} * 40;
  static constexpr std::size_t kPlaybackSamples = std::size_t{kSampleRate} * 40;

  VoiceLoop(const LoopSetting& setting, const Parts& parts, std::function<void(const VoiceReport&)> report);
  /// Until the input ends, nobody spoke for too long, or is_stopped says so.
  Status run(bool (*is_stopped)());

  struct Meter {
    VoiceState state;
    int peak;  ///< the loudest sample that came in since the last look, 0 to 32768
  };
  /// For any thread, while the loop runs.
  Meter meter();

 private:
  Status start(std::vector<std::thread>& threads);
  using Clock = std::chrono::steady_clock;
  struct Clip {  // a sentence on its way to the loudspeaker; positions in the playback ring
    std::string text;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    bool is_whole = false;
  };
  struct Change {
    double t;
    VoiceState state;
    std::optional<std::string> wake = {};  // the word that woke it, which changes no state
  };

  // The audio thread.
  void audio_main();
  void wait_for_others(std::unique_lock<std::mutex>& lock);
  void take_frame(std::span<Sample, kFrameSamples> frame, Endpointer::Change change);
  std::size_t give_frame(std::span<Sample, kFrameSamples> frame);
  void guess(std::size_t silent_frames);
  void interrupt();
  void forget_reply();
  void enter(VoiceEvent event);
  Endpointer::Change unless_asleep(Endpointer::Change change, Endpointer& endpointer);
  std::uint64_t where_speech_began() const;

  // The mouth thread.
  void mouth_main();
  bool play(std::uint64_t turn, std::span<const Sample> samples);

  // The wake thread.
  void wake_main();
  bool listen_for_wake_word();
  std::size_t next_of_sleep(std::span<Sample> samples);
  void advance_sleep(std::size_t count, const std::optional<WakeWord::Detection>& detection);

  // The caller's thread.
  bool wait_for_speech();
  Result<std::string> recognize(std::uint64_t turn);
  void take_turn();
  bool is_for_us(std::string& words);
  void reply_to(const std::string& words, std::uint64_t turn);
  VoiceLatency latency_of_reply(Clock::time_point heard_at) const;
  void queue(const std::string& sentence, std::uint64_t turn);
  void wait_for_end(std::uint64_t turn);
  std::string said_aloud() const;
  void tell_changes();
  void tell(VoiceReport report);
  void tell_failure(const Status& status);

  /// What `turn` was told is true: its question is over. Under the lock.
  bool is_sure(std::uint64_t turn) const { return sure_[turn % kRemembered]; }
  bool nothing_left() const { return reply_is_over_ && unsaid_ == 0 && playback_.end() == played_; }
  double now() const { return static_cast<double>(captured_.end()) / kSampleRate; }

  static constexpr std::size_t kMostChanges = 1024;
  static constexpr std::size_t kRemembered = 64;                // turns, far more than can be under way
  static constexpr std::size_t kWakeChunk = kFrameSamples * 4;  // what the wake word's detector is given at a time

  LoopSetting setting_;
  Parts parts_;
  std::function<void(const VoiceReport&)> report_;
  bool (*is_stopped_)() = nullptr;

  std::atomic<int> peak_ = 0;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  VoiceState state_ = VoiceState::kListening;
  std::vector<Change> changes_;  // not told yet; its memory is taken at the start
  bool input_is_over_ = false;
  bool is_ending_ = false;

  SampleRing captured_{kCaptureSamples};
  std::uint64_t turn_ = 0;                // counts speech that began, and guesses that were wrong
  std::array<bool, kRemembered> sure_{};  // of the last turns, by number: whether the question is over
  bool is_guessed_ = false;               // that it is over
  std::uint64_t given_up_turn_ = 0;       // the last one with nothing to answer, maybe known before its end
  std::uint64_t speech_begin_ = 0;        // in the capture ring
  std::uint64_t speech_end_ = 0;          // there, once speech_is_over_
  bool speech_is_over_ = true;            // or guessed to be
  std::uint64_t heard_up_to_ = 0;         // what the recogniser has had
  std::uint64_t last_active_ = 0;         // when somebody spoke or was spoken to
  double pause_ = 0;                      // that told the end of the speech, seconds; 0 if something else did
  Clock::time_point ended_at_;            // when its end was noticed

  bool is_asleep_ = false;         // only the wake word is listened for
  bool is_woken_ = false;          // it was heard, which the audio thread has not seen yet
  std::uint64_t woken_at_ = 0;     // the word's end, in the capture ring
  std::uint64_t woken_by_ = 0;     // when that was known
  std::uint64_t sleep_begin_ = 0;  // of what the detector hears, in the capture ring
  std::uint64_t sleep_heard_ = 0;  // up to where it has had it
  double awake_until_ = 0;         // seconds of audio

  SampleRing playback_{kPlaybackSamples};
  std::uint64_t played_ = 0;  // in the playback ring
  std::deque<std::string> sentences_;
  std::size_t unsaid_ = 0;  // sentences that wait or are being made
  bool reply_is_over_ = true;
  std::vector<Clip> clips_;
  Clock::time_point first_sample_at_;
  double answered_pause_ = 0;            // pause_ and ended_at_ of the question that it answers
  Clock::time_point answered_ended_at_;  // by the time it is told there may be another
  bool is_cut_ = false;                  // the reply was interrupted
  std::uint64_t cut_at_ = 0;             // where, in the playback ring, if it was

  // Of the caller's thread alone.
  std::vector<Change> telling_;  // as changes_
  std::uint64_t served_turn_ = 0;
  std::string heard_;  // by turn heard_turn_, not told yet
  std::uint64_t heard_turn_ = 0;
  bool is_heard_told_ = true;
  std::string unanswered_;  // what was said before, when the speaker went on
  Clock::time_point first_text_at_, first_sentence_at_;
};

}  // namespace rill::apps
