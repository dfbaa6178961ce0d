#include "apps/voice/wav.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "apps/voice/audio.h"
#include "apps/voice/resampler.h"

namespace rill::apps {
namespace {

constexpr std::uint32_t kPcm = 1;
constexpr std::uint32_t kFloat = 3;
constexpr std::uint32_t kExtensible = 0xFFFE;  // the real format stands further on
constexpr std::uint32_t kUnknownSize = 0xFFFFFFFF;

std::uint32_t integer_at(const unsigned char* bytes, std::size_t size) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < size; ++i) value |= static_cast<std::uint32_t>(bytes[i]) << (8 * i);
  return value;
}

Status no_wav(const std::string& name, const Text& what, const Text& expected) {
  return bad_input({.where = text(name),
                    .what = what,
                    .expected = expected,
                    .remedy = text("convert it, for instance: sox FILE -r 16000 -c 1 -b 16 OUT.wav")});
}

/// Reads past bytes that nobody wants, of a pipe as well.
bool skip(std::FILE* file, std::uint64_t bytes) {
  unsigned char dropped[4096];
  while (bytes > 0) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, sizeof dropped));
    if (std::fread(dropped, 1, size, file) != size) return false;
    bytes -= size;
  }
  return true;
}

Result<WavFormat> read_format(std::FILE* file, const std::string& name, std::uint32_t size) {
  unsigned char bytes[40] = {};
  const std::size_t taken = std::min<std::size_t>(size, sizeof bytes);
  if (size < 16 || std::fread(bytes, 1, taken, file) != taken ||
      !skip(file, static_cast<std::uint64_t>(size) - taken + size % 2)) {
    return no_wav(name, text("its format section has ", size, " bytes or ends early"), text("at least 16"));
  }
  std::uint32_t kind = integer_at(bytes, 2);
  if (kind == kExtensible && taken >= 26) kind = integer_at(bytes + 24, 2);
  const WavFormat format{.rate = integer_at(bytes + 4, 4),
                         .channels = integer_at(bytes + 2, 2),
                         .bits = integer_at(bytes + 14, 2),
                         .is_float = kind == kFloat,
                         .bytes = 0};
  const std::uint32_t b = format.bits;
  const bool is_known = kind == kPcm ? b == 8 || b == 16 || b == 24 || b == 32 : kind == kFloat && b == 32;
  if (!is_known) {
    return no_wav(name, text("samples of kind ", kind, " with ", format.bits, " bits"),
                  text("PCM of 8, 16, 24 or 32 bits, or float of 32"));
  }
  if (format.channels < 1 || format.channels > 8) {
    return no_wav(name, text(format.channels, " channels"), text("1 to 8"));
  }
  if (format.rate < Resampler::kLowestRate || format.rate > Resampler::kHighestRate) {
    return no_wav(name, text(format.rate, " samples a second"),
                  text(Resampler::kLowestRate, " to ", Resampler::kHighestRate));
  }
  return format;
}

}  // namespace

Result<WavFormat> read_wav_header(std::FILE* file, const std::string& name) {
  unsigned char head[12] = {};
  if (std::fread(head, 1, sizeof head, file) != sizeof head || std::memcmp(head, "RIFF", 4) != 0 ||
      std::memcmp(head + 8, "WAVE", 4) != 0) {
    return no_wav(name, text("it does not begin like a WAV file"), text("RIFF and WAVE"));
  }
  WavFormat format;
  for (;;) {
    unsigned char section[8] = {};
    if (std::fread(section, 1, sizeof section, file) != sizeof section) {
      return no_wav(name, text("it ends before its samples"), text("sections \"fmt \" and \"data\""));
    }
    const std::uint32_t size = integer_at(section + 4, 4);
    if (std::memcmp(section, "fmt ", 4) == 0) {
      RILL_ASSIGN(format, read_format(file, name, size));
    } else if (std::memcmp(section, "data", 4) == 0) {
      if (format.rate == 0) return no_wav(name, text("its samples come before their format"), {});
      // Writers into a pipe leave a size of 0 or of all ones.
      format.bytes = size == 0 || size == kUnknownSize ? UINT64_MAX : size;
      return format;
    } else if (!skip(file, static_cast<std::uint64_t>(size) + size % 2)) {
      return no_wav(name, text("a section of ", size, " bytes reaches past its end"), {});
    }
  }
}

std::array<unsigned char, 44> wav_header(std::uint32_t bytes) {
  std::array<unsigned char, 44> header{};
  const auto put = [&](std::size_t at, std::uint32_t value, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) header[at + i] = static_cast<unsigned char>(value >> (8 * i));
  };
  std::memcpy(header.data(), "RIFF", 4);
  put(4, bytes + 36, 4);
  std::memcpy(header.data() + 8, "WAVEfmt ", 8);
  put(16, 16, 4);
  put(20, kPcm, 2);
  put(22, 1, 2);
  put(24, kSampleRate, 4);
  put(28, kSampleRate * 2, 4);
  put(32, 2, 2);
  put(34, 16, 2);
  std::memcpy(header.data() + 36, "data", 4);
  put(40, bytes, 4);
  return header;
}

}  // namespace rill::apps
