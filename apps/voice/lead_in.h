#pragma once
// The silence before a voice's first sound: flite makes 0.2 s of it, which somebody who waits for an answer would hear
// as more waiting.

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <span>

#include "apps/voice/audio.h"

namespace rill::apps {

/// Drops that silence from samples that come in pieces, all but the last 40 ms: first sounds begin softly.
class LeadIn {
 public:
  static constexpr int kQuietest = 150;  ///< what is louder is a sound; flite's silence is noise of up to 95
  static constexpr std::size_t kKept = kFrameSamples * 4;

  /// @returns what of the piece is to be played; where the first sound is in the next one, its own beginning is all
  std::span<const Sample> after_silence(std::span<const Sample> piece) {
    if (has_begun_) return piece;
    const auto loud = std::find_if(piece.begin(), piece.end(), [](Sample s) { return std::abs(int{s}) > kQuietest; });
    has_begun_ = loud != piece.end();
    if (!has_begun_) return {};
    const auto quiet = static_cast<std::size_t>(loud - piece.begin());
    return piece.subspan(quiet - std::min(quiet, kKept));
  }

 private:
  bool has_begun_ = false;
};

}  // namespace rill::apps
