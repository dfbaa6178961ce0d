#pragma once
// Where audio comes from and goes to: a WAV file, raw samples on standard input and output, or ALSA.

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "apps/voice/audio.h"
#include "platform/status.h"

namespace rill::apps {

/// Gives frames. Allocates nothing after it was opened.
class AudioSource {
 public:
  AudioSource() = default;
  AudioSource(const AudioSource&) = delete;
  AudioSource& operator=(const AudioSource&) = delete;
  virtual ~AudioSource() = default;
  /// The next frame; waits for it where the source is live. @returns false at the end: `frame` is then silence
  virtual bool read(std::span<Sample, kFrameSamples> frame) = 0;
  /// The end. kFailed if it ended because the device did.
  virtual Status close() { return {}; }
  /// True where frames come at the pace of the world.
  virtual bool is_live() const = 0;
};

/// Takes frames. Allocates nothing after it was opened.
class AudioSink {
 public:
  AudioSink() = default;
  AudioSink(const AudioSink&) = delete;
  AudioSink& operator=(const AudioSink&) = delete;
  virtual ~AudioSink() = default;
  virtual void write(std::span<const Sample, kFrameSamples> frame) = 0;
  /// Forgets what was written and not heard yet. @returns samples that will not be heard
  virtual std::uint64_t drop() { return 0; }
  /// True once nothing more can be written, and close() will say why: there is no sense in listening on.
  virtual bool has_failed() const { return false; }
  /// The end: what was written is there. kFailed if it could not be.
  virtual Status close() = 0;
  /// True where frames leave at the pace of the world.
  virtual bool is_live() const = 0;
};

/// @param place  a WAV file, "-" or "alsa:DEVICE". kUsage, kBadInput or kFailed with what was wrong.
Result<std::unique_ptr<AudioSource>> open_source(const std::string& place);
Result<std::unique_ptr<AudioSink>> open_sink(const std::string& place);

// In alsa.cc; kUsage where the build has no ALSA.
Result<std::unique_ptr<AudioSource>> open_alsa_source(const std::string& device);
Result<std::unique_ptr<AudioSink>> open_alsa_sink(const std::string& device);

}  // namespace rill::apps
