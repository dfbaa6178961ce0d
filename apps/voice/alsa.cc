// Sound cards. Small buffers: what is in them when somebody interrupts is what is heard too long.

#include "apps/voice/audio_io.h"

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
  int error = snd_pcm_open(&opened, device.c_str(), direction, 0);
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

class AlsaSource final : public AudioSource {
 public:
  explicit AlsaSource(Pcm pcm) : pcm_(std::move(pcm)) {}
  bool read(std::span<Sample, kFrameSamples> frame) override {
    for (std::size_t done = 0; done < frame.size();) {
      const snd_pcm_sframes_t count = snd_pcm_readi(pcm_.get(), &frame[done], frame.size() - done);
      if (count < 0 && snd_pcm_recover(pcm_.get(), static_cast<int>(count), 1) < 0) {
        std::fill(frame.begin(), frame.end(), Sample{0});
        return false;
      }
      if (count > 0) done += static_cast<std::size_t>(count);
    }
    return true;
  }
  bool is_live() const override { return true; }

 private:
  Pcm pcm_;
};

class AlsaSink final : public AudioSink {
 public:
  explicit AlsaSink(Pcm pcm) : pcm_(std::move(pcm)) {}
  void write(std::span<const Sample, kFrameSamples> frame) override {
    const snd_pcm_sframes_t count = snd_pcm_writei(pcm_.get(), frame.data(), frame.size());
    if (count < 0) is_gone_ = snd_pcm_recover(pcm_.get(), static_cast<int>(count), 1) < 0;
  }
  std::uint64_t drop() override {
    snd_pcm_sframes_t waiting = 0;
    if (snd_pcm_delay(pcm_.get(), &waiting) < 0 || waiting < 0) waiting = 0;
    snd_pcm_drop(pcm_.get());
    snd_pcm_prepare(pcm_.get());
    return static_cast<std::uint64_t>(waiting);
  }
  Status close() override {
    snd_pcm_drain(pcm_.get());
    if (!is_gone_) return {};
    return failed({.where = text("alsa"), .what = text("the sound device went away"), .expected = {}, .remedy = {}});
  }
  bool is_live() const override { return true; }

 private:
  Pcm pcm_;
  bool is_gone_ = false;
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
