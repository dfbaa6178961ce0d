// espeak-ng: many languages. Its licence is the GPL, so its program is run and its library is never linked.

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>

#include "apps/speech/backends.h"
#include "apps/voice/wav.h"

namespace rill::apps {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

/// Runs espeak-ng on one text, which it gets as an argument after "--", and hands its samples on as they come.
Status say_once(SpeechService& service, const std::string& words) {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return system_failure(text("espeak-ng"), "making a pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  std::string arguments[] = {"espeak-ng", "--stdout", "--", words};
  char* const argv[] = {arguments[0].data(), arguments[1].data(), arguments[2].data(), arguments[3].data(), nullptr};
  pid_t child = -1;
  const int error = ::posix_spawnp(&child, "espeak-ng", &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  const std::unique_ptr<std::FILE, CloseFile> wave(::fdopen(ends[0], "rb"));
  if (error != 0) {
    errno = error;
    return system_failure(text("espeak-ng"), "starting it", text("install the package espeak-ng"));
  }
  const Result<WavFormat> format = read_wav_header(wave.get(), "espeak-ng");
  if (format.ok() && format->bits == 16 && format->channels == 1) {
    std::int16_t samples[4096];
    while (const std::size_t count = std::fread(samples, sizeof samples[0], std::size(samples), wave.get())) {
      service.write_audio(format->rate, std::span(samples).first(count));
    }
  }
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return format.status();
}

}  // namespace

int run_espeak(SpeechService& service) {
  return serve_speaker(service, [&](const std::string& words) {
    const Status status = say_once(service, words);
    if (!status.ok()) service.write("error", {{"text", status.message()}});
    return status.ok();
  });
}

}  // namespace rill::apps
