#pragma once
// Brings audio of any common rate to that of the voice loop.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "apps/voice/audio.h"

namespace rill::apps {

/// A windowed sinc of 32 taps, its table made once; streams, so that cuts between calls are not heard. Allocates in the
/// constructor only.
class Resampler {
 public:
  static constexpr std::uint32_t kLowestRate = 4000;
  static constexpr std::uint32_t kHighestRate = 192000;

  /// @param rate  of what comes in, kLowestRate to kHighestRate; kSampleRate passes through
  explicit Resampler(std::uint32_t rate);

  std::uint32_t rate() const { return rate_; }
  /// Begins anew: nothing of what went before is heard in what follows.
  void restart() {
    recent_ = {};
    position_ = 0;
  }
  /// Most samples that `count` of the input become.
  std::size_t most_output(std::size_t count) const { return (count + 1) * kSampleRate / rate_ + 2; }
  /// @param out  room for most_output(in.size()). @returns samples written
  std::size_t run(std::span<const Sample> in, std::span<Sample> out);

 private:
  static constexpr std::size_t kTaps = 32;
  static constexpr std::size_t kPhases = 128;

  std::uint32_t rate_;
  std::vector<float> taps_;            // [kPhases + 1][kTaps]
  std::array<float, kTaps> recent_{};  // the last inputs, oldest first
  std::uint32_t position_ = 0;         // of the next output between two inputs, in 1 / kSampleRate of an input
};

}  // namespace rill::apps
