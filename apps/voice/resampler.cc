#include "apps/voice/resampler.h"

#include <cmath>
#include <numbers>

namespace rill::apps {

Resampler::Resampler(std::uint32_t rate) : rate_(rate) {
  if (rate == kSampleRate) return;
  taps_.resize((kPhases + 1) * kTaps);
  // Where the input is faster, what its rate can hold and ours cannot is cut off.
  const double cutoff = 0.95 * std::min(1.0, static_cast<double>(kSampleRate) / rate);
  for (std::size_t phase = 0; phase <= kPhases; ++phase) {
    double sum = 0;
    std::array<double, kTaps> taps{};
    for (std::size_t i = 0; i < kTaps; ++i) {
      const double x = static_cast<double>(i) - (kTaps / 2 - 1) - static_cast<double>(phase) / kPhases;
      const double angle = std::numbers::pi * x * cutoff;
      const double window = 0.5 + 0.5 * std::cos(2 * std::numbers::pi * x / kTaps);
      taps[i] = (angle == 0 ? 1 : std::sin(angle) / angle) * window;
      sum += taps[i];
    }
    for (std::size_t i = 0; i < kTaps; ++i) taps_[phase * kTaps + i] = static_cast<float>(taps[i] / sum);
  }
}

std::size_t Resampler::run(std::span<const Sample> in, std::span<Sample> out) {
  if (rate_ == kSampleRate) {
    std::copy(in.begin(), in.end(), out.begin());
    return in.size();
  }
  std::size_t written = 0;
  for (const Sample sample : in) {
    std::copy(recent_.begin() + 1, recent_.end(), recent_.begin());
    recent_.back() = sample;
    for (; position_ < kSampleRate; position_ += rate_) {
      const float* taps = &taps_[(position_ * kPhases / kSampleRate) * kTaps];
      float sum = 0;
      for (std::size_t i = 0; i < kTaps; ++i) sum += taps[i] * recent_[i];
      out[written++] = static_cast<Sample>(std::lround(std::clamp(sum, -32768.0F, 32767.0F)));
    }
    position_ -= kSampleRate;
  }
  return written;
}

}  // namespace rill::apps
