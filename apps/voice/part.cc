#include "apps/voice/part.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>

#include "apps/interrupt.h"
#include "apps/wyoming/socket.h"

namespace rill::apps {
namespace {

constexpr int kConnectMs = 3000;
constexpr std::chrono::seconds kTimeToTake{5};
constexpr std::string_view kWyoming = "wyoming:";

/// rill-speech lies beside the program that runs.
std::string speech_program() {
  char path[PATH_MAX] = {};
  const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path - 1);
  const std::string own(path, size > 0 ? static_cast<std::size_t>(size) : 0);
  const char* named = std::getenv("RILL_SPEECH");  // tests of the loop lie elsewhere
  return named != nullptr ? named : own.substr(0, own.rfind('/') + 1) + "rill-speech";
}

enum class Wait : std::uint8_t { kReady, kTimedOut, kAskedToEnd };

/// Waits for a file; looks now and then whether the program was asked to end, since a part may stand still for long.
Wait wait_for(int file, short events, std::chrono::milliseconds most) {
  const auto deadline = std::chrono::steady_clock::now() + most;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd waiting{.fd = file, .events = events, .revents = 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 200)));
    if (ready > 0) return Wait::kReady;
    if (left.count() <= 200 && ready == 0) return Wait::kTimedOut;
    if (stop_pending()) return Wait::kAskedToEnd;
  }
}

Status asked_to_end() {
  return failed({.where = {}, .what = text("the program was asked to end"), .expected = {}, .remedy = {}});
}

}  // namespace

Result<PartAddress> PartAddress::parse(const std::string& written, std::string_view option) {
  PartAddress address{.name = written, .host = {}, .port = 0};
  if (!written.starts_with(kWyoming)) {
    if (!written.empty() && written.find_first_of("/: ") == std::string::npos) return address;
  } else {
    const std::size_t colon = written.rfind(':');
    const char* const end = written.data() + written.size();
    if (colon > kWyoming.size()) {
      const auto parsed = std::from_chars(written.data() + colon + 1, end, address.port);
      address.host = written.substr(kWyoming.size(), colon - kWyoming.size());
      if (address.host.starts_with('[') && address.host.ends_with(']')) {  // of IPv6, as `rill wyoming` prints it
        address.host = address.host.substr(1, address.host.size() - 2);
      }
      if (parsed.ec == std::errc() && parsed.ptr == end && address.port > 0) return address;
    }
  }
  return bad_usage({.where = text(option),
                    .what = text(written),
                    .expected = text("a part of rill-speech, or wyoming:HOST:PORT"),
                    .remedy = {}});
}

Status Part::start() {
  if (file_ >= 0) return {};
  if (std::chrono::steady_clock::now() < not_before_) {
    return failed({.where = text(name()), .what = text("it failed a moment ago"), .expected = {}, .remedy = {}});
  }
  if (!is_own_process()) {
    const Result<int> file = connect_to(address_.host, address_.port, kConnectMs);
    if (!file.ok()) return lose(file.status());
    file_ = *file;
  } else if (const Status status = spawn(); !status.ok()) {
    return lose(status);
  }
  reader_.emplace(most_payload_);
  return {};
}

/// A process of ours with its end of a socket as standard input and a limit on what it may allocate. The limit is set
/// between fork and exec, where only calls that are safe there are made.
Status Part::spawn() {
  const std::string program = speech_program();
  if (::access(program.c_str(), X_OK) != 0) {
    return system_failure(text(program), "starting it", text("rill-speech belongs into the folder of rill"));
  }
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return system_failure(text(name()), "making its socket");
  }
  const char* const arguments[] = {"rill-speech", address_.name.c_str(), nullptr};
  const rlimit limit{.rlim_cur = most_memory_, .rlim_max = most_memory_};
  process_ = ::fork();
  if (process_ == 0) {
    ::dup2(ends[1], STDIN_FILENO);
    ::signal(SIGPIPE, SIG_DFL);
    ::setpgid(0, 0);  // Ctrl-C is the loop's to handle
    if (most_memory_ > 0) ::setrlimit(RLIMIT_DATA, &limit);
    ::execv(program.c_str(), const_cast<char* const*>(arguments));
    ::_exit(127);
  }
  ::close(ends[1]);
  if (process_ < 0) {
    ::close(ends[0]);
    return system_failure(text(name()), "starting its process");
  }
  ::setpgid(process_, process_);  // whoever of the two comes first
  file_ = ends[0];
  ::fcntl(file_, F_SETFL, O_NONBLOCK);
  return {};
}

void Part::stop() {
  if (file_ >= 0) ::close(file_);
  file_ = -1;
  reader_.reset();
  if (process_ <= 0) return;
  ::kill(-process_, SIGKILL);  // with what it has started; they hold nothing that could be lost
  while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
  }
  process_ = -1;
}

/// Waits twice as long after each failure as after the one before. @returns `why`, with what happens next
Status Part::lose(const Status& why) {
  stop();
  ++restarts_;
  not_before_ = std::chrono::steady_clock::now() + wait_;
  const Status status = failed({.where = text(name()),
                                .what = text(why.message()),
                                .expected = {},
                                .remedy = has_worked_ ? text("it is started anew in ", wait_.count(), " ms") : Text()});
  wait_ = std::min(wait_ * 2, kLongestWait);
  return status;
}

Status Part::send(std::string_view type, const nlohmann::json& data, std::span<const char> payload) {
  RILL_TRY(start());
  const std::string bytes = to_bytes(type, data, payload);
  for (std::size_t sent = 0; sent < bytes.size();) {
    const ssize_t size = ::send(file_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (size >= 0) {
      sent += static_cast<std::size_t>(size);
      continue;
    }
    if (errno != EAGAIN && errno != EINTR) return lose(system_failure({}, "writing to it"));
    const Wait waited = wait_for(file_, POLLOUT, kTimeToTake);
    if (waited == Wait::kAskedToEnd) return asked_to_end();
    if (waited == Wait::kTimedOut) {
      return lose(failed({.where = {}, .what = text("it took nothing for 5 s"), .expected = {}, .remedy = {}}));
    }
  }
  return {};
}

std::chrono::milliseconds Part::time_to_next_try() const {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(not_before_ - std::chrono::steady_clock::now());
  return file_ >= 0 ? std::chrono::milliseconds(0) : std::max(left, std::chrono::milliseconds(0));
}

Result<std::optional<WyomingEvent>> Part::next(std::chrono::milliseconds wait) {
  RILL_TRY(start());
  const auto deadline = std::chrono::steady_clock::now() + wait;
  for (;;) {
    if (stop_pending()) return asked_to_end();  // whatever is still there to read
    Result<std::optional<WyomingEvent>> event = reader_->next();
    if (!event.ok()) return lose(event.status());
    if (event->has_value()) return event;
    const Wait waited = wait_for(
        file_, POLLIN, std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()));
    if (waited == Wait::kAskedToEnd) return asked_to_end();
    if (waited == Wait::kTimedOut) return event;
    const std::span<char> room = reader_->room();
    const ssize_t size = ::recv(file_, room.data(), room.size(), 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (size <= 0) {
      const Text limit = most_memory_ > 0 ? text(", or took more than its ", most_memory_, " bytes") : Text();
      return lose(failed({.where = {}, .what = text("it ended", limit), .expected = {}, .remedy = {}}));
    }
    reader_->filled(static_cast<std::size_t>(size));
  }
}

Result<WyomingEvent> Part::receive(Clock::time_point deadline) {
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  if (wait.count() > 0) {
    RILL_ASSIGN(std::optional<WyomingEvent> event, next(wait));
    if (event.has_value()) return *std::move(event);
  }
  return lose(failed({.where = {}, .what = text("no whole answer in time"), .expected = {}, .remedy = {}}));
}

}  // namespace rill::apps
