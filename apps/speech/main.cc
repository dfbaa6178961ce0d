// rill-speech: one recogniser or speaker as a process of its own, so that its memory has a limit and its end is not
// Rill's. Started by `rill voice`; speaks Wyoming on the socket that is its standard input.
//
//   rill-speech --list              the parts that this build has
//   rill-speech --write FILE TEXT   a WAV file in flite's voice

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>

#include "apps/speech/backends.h"

namespace rill::apps {

std::optional<WyomingEvent> SpeechService::next() {
  for (;;) {
    Result<std::optional<WyomingEvent>> event = reader_.next();
    if (!event.ok()) return std::nullopt;
    if (event->has_value()) return *std::move(*event);
    const std::span<char> room = reader_.room();
    const ssize_t size = ::read(STDIN_FILENO, room.data(), room.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return std::nullopt;
    reader_.filled(static_cast<std::size_t>(size));
  }
}

void SpeechService::write(std::string_view type, const nlohmann::json& data, std::span<const char> payload) {
  const std::string bytes = to_bytes(type, data, payload);
  for (std::size_t sent = 0; sent < bytes.size();) {
    const ssize_t size = ::send(STDIN_FILENO, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (size < 0 && errno != EINTR) return;  // next() sees the end
    if (size > 0) sent += static_cast<std::size_t>(size);
  }
}

void SpeechService::write_audio(std::uint32_t rate, std::span<const std::int16_t> samples) {
  const nlohmann::json format = {{"rate", rate}, {"width", 2}, {"channels", 1}};
  while (!samples.empty()) {
    const std::span<const std::int16_t> piece = samples.first(std::min<std::size_t>(samples.size(), rate / 5));
    write("audio-chunk", format, {reinterpret_cast<const char*>(piece.data()), piece.size_bytes()});
    samples = samples.subspan(piece.size());
  }
}

int serve_speaker(SpeechService& service, SayText say) {
  while (const std::optional<WyomingEvent> event = service.next()) {
    if (event->type != "synthesize") continue;
    service.write("audio-start", nlohmann::json::object());
    if (say(event->text())) service.write("audio-stop", nlohmann::json::object());  // an error ends it as well
  }
  return 0;
}

}  // namespace rill::apps

int main(int argc, char** argv) {
  using namespace rill::apps;
  struct Backend {
    const char* name;
    int (*run)(SpeechService&);
  };
  constexpr Backend kBackends[] = {
#ifdef RILL_HAS_POCKETSPHINX
      {"pocketsphinx", run_pocketsphinx},
      {"pocketsphinx-wake", run_pocketsphinx_wake},
#endif
#ifdef RILL_HAS_FLITE
      {"flite", run_flite},
#endif
      {"espeak-ng", run_espeak},
  };
  if (argc == 2 && std::strcmp(argv[1], "--list") == 0) {
    for (const Backend& backend : kBackends) std::puts(backend.name);
    return std::fflush(stdout) == 0 ? 0 : 1;
  }
#ifdef RILL_HAS_FLITE
  if (argc == 4 && std::strcmp(argv[1], "--write") == 0) {
    if (write_spoken(argv[2], argv[3])) return 0;
    std::fprintf(stderr, "rill-speech: %s could not be written\n", argv[2]);
    return 1;
  }
#endif
  for (const Backend& backend : kBackends) {
    if (argc != 2 || std::strcmp(argv[1], backend.name) != 0) continue;
    try {
      SpeechService service;
      return backend.run(service);
    } catch (const std::exception& error) {  // out of memory, for one: the limit does what it is for
      std::fprintf(stderr, "rill-speech %s: %s\n", backend.name, error.what());
      return 1;
    }
  }
  std::fprintf(stderr, "rill-speech: started by `rill voice` with the name of a part that this build has:");
  for (const Backend& backend : kBackends) std::fprintf(stderr, " %s", backend.name);
  std::fputs("\n", stderr);
  return 2;
}
