#include "apps/voice/audio_io.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "apps/interrupt.h"
#include "apps/voice/resampler.h"
#include "apps/voice/wav.h"

namespace rill::apps {
namespace {

constexpr std::string_view kAlsa = "alsa:";

struct CloseFile {
  void operator()(std::FILE* file) const {
    if (file != stdin && file != stdout) std::fclose(file);
  }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

/// One channel's sample at `bytes`, as 16 bits.
int sample_at(const unsigned char* bytes, const WavFormat& format) {
  if (format.is_float) {
    float value = 0;
    std::memcpy(&value, bytes, sizeof value);
    return value >= -1 && value <= 1 ? static_cast<int>(value * 32767) : value > 1 ? 32767 : value < -1 ? -32768 : 0;
  }
  if (format.bits == 8) return (bytes[0] - 128) * 256;
  const unsigned char* top = bytes + format.bits / 8 - 2;  // the two highest bytes
  return static_cast<Sample>(top[0] | top[1] << 8);
}

/// A WAV file or, without a header, samples in our own form.
class FileSource final : public AudioSource {
 public:
  FileSource(File file, const WavFormat& format, bool is_live)
      : file_(std::move(file)),
        format_(format),
        is_live_(is_live),
        left_(format.bytes),
        resampler_(format.rate),
        bytes_(std::size_t{kBlock} * format.frame_bytes()),
        mono_(kBlock),
        ready_(resampler_.most_output(kBlock) + kFrameSamples) {}

  bool read(std::span<Sample, kFrameSamples> frame) override {
    while (ready_count_ < frame.size() && refill()) {
    }
    const std::size_t count = std::min(ready_count_, frame.size());
    std::copy_n(ready_.begin(), count, frame.begin());
    std::fill(frame.begin() + static_cast<std::ptrdiff_t>(count), frame.end(), Sample{0});
    std::copy(ready_.begin() + static_cast<std::ptrdiff_t>(count),
              ready_.begin() + static_cast<std::ptrdiff_t>(ready_count_), ready_.begin());
    ready_count_ -= count;
    return count > 0;
  }
  bool is_live() const override { return is_live_; }
  Status close() override {
    errno = error_;
    return error_ == 0 ? Status() : system_failure(text(is_live_ ? "standard input" : "--in"), "reading the recording");
  }

 private:
  static constexpr std::size_t kBlock = kFrameSamples;

  /// @returns bytes that came: fewer at the end. A live source ends when the program is asked to.
  std::size_t fill(std::span<unsigned char> bytes) {
    std::size_t filled = 0;
    if (!is_live_) {
      filled = std::fread(bytes.data(), 1, bytes.size(), file_.get());
      if (error_ == 0 && std::ferror(file_.get()) != 0) error_ = errno;
      return filled;
    }
    while (filled < bytes.size() && wait_for_input(STDIN_FILENO)) {
      const ssize_t size = ::read(STDIN_FILENO, &bytes[filled], bytes.size() - filled);
      if (size < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (size < 0) error_ = errno;
      if (size <= 0) break;
      filled += static_cast<std::size_t>(size);
    }
    return filled;
  }

  bool refill() {
    const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes_.size()));
    const std::size_t frames = fill(std::span(bytes_).first(wanted)) / format_.frame_bytes();
    left_ -= wanted;
    for (std::size_t i = 0; i < frames; ++i) {
      int sum = 0;
      for (std::uint32_t c = 0; c < format_.channels; ++c) {
        sum += sample_at(&bytes_[i * format_.frame_bytes() + c * format_.bits / 8], format_);
      }
      mono_[i] = static_cast<Sample>(sum / static_cast<int>(format_.channels));
    }
    ready_count_ += resampler_.run(std::span(mono_).first(frames), std::span(ready_).subspan(ready_count_));
    return frames > 0;
  }

  File file_;
  WavFormat format_;
  bool is_live_;
  std::uint64_t left_;
  Resampler resampler_;
  std::vector<unsigned char> bytes_;
  std::vector<Sample> mono_;
  std::vector<Sample> ready_;
  std::size_t ready_count_ = 0;
  int error_ = 0;  // of the first read that failed
};

/// A WAV file, whose header learns its size at the end, or raw samples.
class FileSink final : public AudioSink {
 public:
  FileSink(File file, std::string name, bool is_wav) : file_(std::move(file)), name_(std::move(name)), is_wav_(is_wav) {
    std::setvbuf(file_.get(), nullptr, _IOFBF, 1U << 15U);
    if (is_wav_) write_header();
  }
  void write(std::span<const Sample, kFrameSamples> frame) override {
    bytes_ += std::fwrite(frame.data(), 1, frame.size_bytes(), file_.get());
    if (!is_wav_) write_for_reader(file_.get(), is_read_);
    if (error_ == 0 && std::ferror(file_.get()) != 0) error_ = errno;
  }
  bool has_failed() const override { return error_ != 0; }
  Status close() override {
    if (is_wav_ && std::fseek(file_.get(), 0, SEEK_SET) == 0) write_header();
    if (std::fflush(file_.get()) != 0 || std::ferror(file_.get()) != 0) {
      if (error_ != 0) errno = error_;  // the first time
      return system_failure(text(name_), "writing the answer", text("free some room, or choose another --out"));
    }
    return {};
  }
  bool is_live() const override { return false; }

 private:
  void write_header() {
    const auto header = wav_header(static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes_, UINT32_MAX - 36)));
    static_cast<void>(std::fwrite(header.data(), 1, header.size(), file_.get()));
  }

  File file_;
  std::string name_;
  bool is_wav_;
  bool is_read_ = true;  // false from when nobody read what was left after a signal
  int error_ = 0;        // errno of the first write that failed
  std::uint64_t bytes_ = 0;
};

}  // namespace

Result<std::unique_ptr<AudioSource>> open_source(const std::string& place) {
  if (place.starts_with(kAlsa)) return open_alsa_source(place.substr(kAlsa.size()));
  if (place == "-") {
    const WavFormat raw{.rate = kSampleRate, .channels = 1, .bits = 16, .is_float = false, .bytes = UINT64_MAX};
    return std::unique_ptr<AudioSource>(std::make_unique<FileSource>(File(stdin), raw, /*is_live=*/true));
  }
  File file(std::fopen(place.c_str(), "rb"));
  if (file == nullptr) {
    const Status status = system_failure(text(place), "opening the recording",
                                         text("give a WAV file, - for raw 16 kHz mono s16le, or alsa:DEVICE"));
    return bad_input({.where = {}, .what = text(status.message()), .expected = {}, .remedy = {}});
  }
  RILL_ASSIGN(const WavFormat format, read_wav_header(file.get(), place));
  return std::unique_ptr<AudioSource>(std::make_unique<FileSource>(std::move(file), format, /*is_live=*/false));
}

Result<std::unique_ptr<AudioSink>> open_sink(const std::string& place) {
  if (place.starts_with(kAlsa)) return open_alsa_sink(place.substr(kAlsa.size()));
  if (place == "-") return std::unique_ptr<AudioSink>(std::make_unique<FileSink>(File(stdout), place, false));
  File file(std::fopen(place.c_str(), "wb"));
  if (file == nullptr) return system_failure(text(place), "opening the answer's file");
  return std::unique_ptr<AudioSink>(std::make_unique<FileSink>(std::move(file), place, true));
}

}  // namespace rill::apps
