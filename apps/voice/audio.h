#pragma once
// Audio inside the voice loop: 16 kHz, mono, 16 bits, in frames of 10 ms. What comes from outside is brought to this
// form where it enters.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rill::apps {

using Sample = std::int16_t;

constexpr std::uint32_t kSampleRate = 16000;
constexpr std::size_t kFrameSamples = kSampleRate / 100;
constexpr double kFrameSeconds = 0.01;

/// The last samples of a stream that never ends, addressed by their number in the stream. Its memory is taken once.
/// Whoever shares one between threads guards it.
class SampleRing {
 public:
  explicit SampleRing(std::size_t capacity) : samples_(capacity) {}

  std::size_t capacity() const { return samples_.size(); }
  std::uint64_t end() const { return end_; }  ///< samples ever appended
  /// The oldest that is still there.
  std::uint64_t begin() const { return end_ > samples_.size() ? end_ - samples_.size() : 0; }

  /// Overwrites the oldest where there is no room.
  void append(std::span<const Sample> samples) {
    for (const Sample sample : samples) samples_[slot(end_++)] = sample;
  }
  /// Copies from `position`, which must not be before begin(), as many as there are and fit. @returns how many
  std::size_t copy(std::uint64_t position, std::span<Sample> out) const {
    const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(end_ - position, out.size()));
    for (std::size_t i = 0; i < count; ++i) out[i] = samples_[slot(position + i)];
    return count;
  }

 private:
  std::size_t slot(std::uint64_t position) const { return static_cast<std::size_t>(position % samples_.size()); }

  std::vector<Sample> samples_;
  std::uint64_t end_ = 0;
};

}  // namespace rill::apps
