// A recording: its header and what comes of its samples. There are never more of them than the file has bytes for.

#include <array>

#include "apps/voice/audio_io.h"
#include "apps/voice/resampler.h"
#include "tests/fuzz/input_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using rill::apps::kFrameSamples;
  static const rill::fuzz::InputFile file;
  const auto source = rill::apps::open_source(file.with(rill::fuzz::text_of(data, size)));
  if (!source.ok()) return 0;
  // A sample takes a byte or more and becomes the most samples at the lowest rate; the last frame is filled up.
  const std::size_t most = size * (rill::apps::kSampleRate / rill::apps::Resampler::kLowestRate) + 2 * kFrameSamples;
  std::array<rill::apps::Sample, kFrameSamples> frame{};
  std::size_t samples = 0;
  while ((*source)->read(frame)) {
    samples += frame.size();
    rill::fuzz::require(samples <= most, "a recording ends");
  }
  for (const rill::apps::Sample sample : frame) rill::fuzz::require(sample == 0, "after its end there is silence");
  rill::fuzz::require((*source)->close().ok(), "it can be closed");
  return 0;
}
