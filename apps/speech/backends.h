#pragma once
// What rill-speech can be: each function is a whole service on one descriptor, until its other side is gone.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "apps/wyoming/event.h"
#include "platform/function_ref.h"

namespace rill::apps {

/// Reads events from standard input and writes them there: it is a socket.
class SpeechService {
 public:
  explicit SpeechService() : reader_(std::size_t{1024} * 1024) {}
  /// The next event; none when the other side is gone.
  std::optional<WyomingEvent> next();
  void write(std::string_view type, const nlohmann::json& data, std::span<const char> payload = {});
  /// Samples of 16 bits, mono, in pieces of a fifth of a second.
  void write_audio(std::uint32_t rate, std::span<const std::int16_t> samples);

 private:
  WyomingReader reader_;
};

/// Answers every `synthesize` with what `say` makes of its text. @returns false if it wrote an error instead
using SayText = FunctionRef<bool(const std::string& text)>;
int serve_speaker(SpeechService& service, SayText say);

int run_pocketsphinx(SpeechService& service);
/// Its keyphrase search: answers `detect` and the audio after it with `detection` or `not-detected`.
int run_pocketsphinx_wake(SpeechService& service);
/// Writes a WAV file in flite's voice: a question for whoever has no microphone.
bool write_spoken(const std::string& file, const std::string& words);
int run_flite(SpeechService& service);
int run_espeak(SpeechService& service);

}  // namespace rill::apps
