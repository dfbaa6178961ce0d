#include "apps/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>

namespace rill::apps {
namespace {

volatile std::sig_atomic_t interrupted = 0;
volatile std::sig_atomic_t terminated = 0;

/// A signal writes into a pipe that whoever waits listens to beside its file: one that comes between looking at the
/// flag and waiting is not missed, whichever thread it comes to.
using SignalPipe = int[2];
SignalPipe interrupt_pipe = {-1, -1};
SignalPipe termination_pipe = {-1, -1};

void note(volatile std::sig_atomic_t& flag, const SignalPipe& pipe) {
  const int error = errno;
  flag = 1;
  static_cast<void>(::write(pipe[1], "s", 1) == 1);  // a full pipe wakes the reader just as well
  errno = error;
}

void catch_signal(int number, SignalPipe& pipe, void (*handler)(int)) {
  if (::pipe2(pipe, O_CLOEXEC | O_NONBLOCK) != 0) return;  // then the signal does what it always did
  struct sigaction action {};
  action.sa_handler = handler;
  ::sigaction(number, &action, nullptr);
}

/// @param files  the first is waited for, any other ends the waiting. @returns false if one of those did
template <std::size_t kCount>
bool wait_for_first(pollfd (&files)[kCount]) {
  for (;;) {
    const int ready = ::poll(files, kCount, -1);
    if (ready < 0 && errno == EINTR) continue;
    for (std::size_t i = 1; ready > 0 && i < kCount; ++i) {
      if (files[i].revents != 0) return false;
    }
    return true;
  }
}

}  // namespace

void catch_interrupts() {
  catch_signal(SIGINT, interrupt_pipe, [](int) { note(interrupted, interrupt_pipe); });
}

bool interrupt_pending() { return interrupted != 0; }

bool take_interrupt() {
  const bool was = interrupt_pending();
  interrupted = 0;
  char dropped[64];
  while (::read(interrupt_pipe[0], dropped, sizeof dropped) > 0) {
  }
  return was;
}

void catch_termination() {
  catch_signal(SIGTERM, termination_pipe, [](int) { note(terminated, termination_pipe); });
}

bool termination_pending() { return terminated != 0; }

int termination_descriptor() { return termination_pipe[0]; }

bool wait_for_input(int descriptor) {
  pollfd files[] = {{.fd = descriptor, .events = POLLIN, .revents = 0},
                    {.fd = termination_pipe[0], .events = POLLIN, .revents = 0}};
  return wait_for_first(files);
}

bool wait_for_key(int descriptor) {
  pollfd files[] = {{.fd = descriptor, .events = POLLIN, .revents = 0},
                    {.fd = termination_pipe[0], .events = POLLIN, .revents = 0},
                    {.fd = interrupt_pipe[0], .events = POLLIN, .revents = 0}};
  return wait_for_first(files);
}

bool wait_for_room(int descriptor) {
  constexpr int kMostMilliseconds = 500;
  pollfd files[] = {{.fd = descriptor, .events = POLLOUT, .revents = 0},
                    {.fd = termination_pipe[0], .events = POLLIN, .revents = 0}};
  return wait_for_first(files) || ::poll(files, 1, kMostMilliseconds) > 0;
}

}  // namespace rill::apps
