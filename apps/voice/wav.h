#pragma once
// WAV files: what a stranger's header says, and our own.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "platform/status.h"

namespace rill::apps {

/// How a WAV file's samples lie.
struct WavFormat {
  std::uint32_t rate = 0;      ///< 4000 to 192000 a second
  std::uint32_t channels = 0;  ///< 1 to 8
  std::uint32_t bits = 0;      ///< 8 (unsigned), 16, 24 or 32; 32 with is_float
  bool is_float = false;
  std::uint64_t bytes =
      0;  ///< of samples; a size that was not known when the header was written counts as "to the end"

  std::uint32_t frame_bytes() const { return channels * bits / 8; }
};

/// Reads up to the first sample. The file is untrusted: nothing of it is believed that is not checked.
/// @param name  for messages. kBadInput says what is no WAV file, or one that we do not read.
Result<WavFormat> read_wav_header(std::FILE* file, const std::string& name);

/// The header of 16-bit mono at 16 kHz with so many bytes of samples.
std::array<unsigned char, 44> wav_header(std::uint32_t bytes);

}  // namespace rill::apps
