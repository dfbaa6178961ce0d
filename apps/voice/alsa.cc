// Sound cards. Small buffers: what is in them when somebody interrupts is what is heard too long.

#include "apps/voice/audio_io.h"

#include <cerrno>
#include <chrono>
#include <thread>

#ifdef RILL_HAS_ALSA
#include <alsa/asoundlib.h>
#endif

namespace rill::apps {

#ifdef RILL_HAS_ALSA
namespace {

constexpr unsigned kBufferMicroseconds = 80'000;

struct ClosePcm {
  void operator()(snd_pcm_t* pcm) const { snd_pcm_close(pcm); }
};
using Pcm = std::unique_ptr<snd_pcm_t, ClosePcm>;

/// One sentence of ours instead of the library's eight lines.
__attribute__((format(printf, 5, 6))) void keep_quiet(const char* /*file*/, int /*line*/, const char* /*function*/,
                                                      int /*error*/, const char* /*format*/, ...) {}

Result<Pcm> open_pcm(const std::string& device, snd_pcm_stream_t direction) {
  snd_lib_error_set_handler(keep_quiet);
  snd_pcm_t* opened = nullptr;
  int error = snd_pcm_open(&opened, device.c_str(), direction, SND_PCM_NONBLOCK);
  Pcm pcm(opened);
  if (error >= 0) {
    error = snd_pcm_set_params(opened, SND_PCM_FORMAT_S16_LE, SND_PCM_ACCESS_RW_INTERLEAVED, 1, kSampleRate,
                               /*soft_resample=*/1, kBufferMicroseconds);
  }
  if (error < 0) {
    return failed({.where = text("alsa:", device),
                   .what = text("the sound device cannot be used: ", snd_strerror(error)),
                   .expected = text("16 kHz, mono, 16 bits"),
                   .remedy = text("`aplay -L` and `arecord -L` list devices; files need none: --in FILE --out FILE")});
  }
  return pcm;
}

Status gone(const char* what) {
  return failed({.where = text("alsa"),
                 .what = text("the ", what, " went away"),
                 .expected = {},
                 .remedy = text("plug it in again, and start anew")});
}

// Both are opened without waiting, and every wait has an end: a device that stalls would hold the audio thread for
// ever, and a barge-in with it. It is started anew instead.
constexpr int kStalledMs = 200;
constexpr int kMostRestarts = 25;  // 5 s without a sample: it is gone

class AlsaSource final : public AudioSource {
 public:
  explicit AlsaSource(Pcm pcm) : pcm_(std::move(pcm)) { snd_pcm_start(pcm_.get()); }
  bool read(std::span<Sample, kFrameSamples> frame) override {
    int restarts = 0;
    for (std::size_t done = 0; done < frame.size();) {
      const snd_pcm_sframes_t count = snd_pcm_readi(pcm_.get(), &frame[done], frame.size() - done);
      if (count > 0) {
        done += static_cast<std::size_t>(count);
      } else if ((count != 0 && count != -EAGAIN) || snd_pcm_wait(pcm_.get(), kStalledMs) <= 0) {
        is_gone_ = is_gone_ || ++restarts > kMostRestarts;
        if (is_gone_) {
          std::fill(frame.begin(), frame.end(), Sample{0});
          return false;
        }
        snd_pcm_drop(pcm_.get());
        snd_pcm_prepare(pcm_.get());
        snd_pcm_start(pcm_.get());
        if (restarts > 1) std::this_thread::sleep_for(std::chrono::milliseconds(kStalledMs));
      }
    }
    return true;
  }
  Status close() override { return is_gone_ ? gone("microphone") : Status(); }
  bool is_live() const override { return true; }

 private:
  Pcm pcm_;
  bool is_gone_ = false;
};

class AlsaSink final : public AudioSink {
 public:
  explicit AlsaSink(Pcm pcm) : pcm_(std::move(pcm)) {}
  void write(std::span<const Sample, kFrameSamples> frame) override {
    for (std::size_t done = 0; done < frame.size() && !has_failed();) {
      const snd_pcm_sframes_t count = snd_pcm_writei(pcm_.get(), &frame[done], frame.size() - done);
      if (count > 0) {
        done += static_cast<std::size_t>(count);
        restarts_ = 0;
      } else if ((count != 0 && count != -EAGAIN) || snd_pcm_wait(pcm_.get(), kStalledMs) <= 0) {
        // What fails at once must last as long as what is waited for: a card that resumes is there again after a while.
        if (restarts_++ > 0 && count < 0 && count != -EAGAIN)
          std::this_thread::sleep_for(std::chrono::milliseconds(kStalledMs));
        snd_pcm_drop(pcm_.get());
        snd_pcm_prepare(pcm_.get());
      }
    }
  }
  std::uint64_t drop() override {
    const std::uint64_t waiting = unheard();
    snd_pcm_drop(pcm_.get());
    snd_pcm_prepare(pcm_.get());
    return waiting;
  }
  Status close() override {
    for (int i = 0; i < 50 && unheard() > 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    snd_pcm_drop(pcm_.get());
    return has_failed() ? gone("loudspeaker") : Status();
  }
  bool has_failed() const override { return restarts_ > kMostRestarts; }
  bool is_live() const override { return true; }

 private:
  std::uint64_t unheard() {
    snd_pcm_sframes_t waiting = 0;
    return snd_pcm_delay(pcm_.get(), &waiting) < 0 || waiting < 0 ? 0 : static_cast<std::uint64_t>(waiting);
  }

  Pcm pcm_;
  int restarts_ = 0;  // since the last sample that it took
};

}  // namespace

Result<std::unique_ptr<AudioSource>> open_alsa_source(const std::string& device) {
  RILL_ASSIGN(Pcm pcm, open_pcm(device, SND_PCM_STREAM_CAPTURE));
  return std::unique_ptr<AudioSource>(std::make_unique<AlsaSource>(std::move(pcm)));
}
Result<std::unique_ptr<AudioSink>> open_alsa_sink(const std::string& device) {
  RILL_ASSIGN(Pcm pcm, open_pcm(device, SND_PCM_STREAM_PLAYBACK));
  return std::unique_ptr<AudioSink>(std::make_unique<AlsaSink>(std::move(pcm)));
}
#else
namespace {

Status no_alsa(const std::string& device) {
  return bad_usage({.where = text("alsa:", device),
                    .what = text("this build has no sound devices"),
                    .expected = text("a WAV file, or - for raw samples"),
                    .remedy = text("install ALSA's development files and build again")});
}

}  // namespace

Result<std::unique_ptr<AudioSource>> open_alsa_source(const std::string& device) { return no_alsa(device); }
Result<std::unique_ptr<AudioSink>> open_alsa_sink(const std::string& device) { return no_alsa(device); }
#endif

}  // namespace rill::apps
