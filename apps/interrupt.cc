#include "apps/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace rill::apps {
namespace {

volatile std::sig_atomic_t interrupted = 0;
volatile std::sig_atomic_t terminated = 0;

// SIGTERM writes into a pipe that wait_for_input() listens to beside its file: a signal that comes between looking at
// the flag and waiting is not missed.
int termination_pipe[2] = {-1, -1};

void note_termination(int) {
  const int error = errno;
  terminated = 1;
  static_cast<void>(::write(termination_pipe[1], "t", 1) == 1);  // a full pipe wakes the reader just as well
  errno = error;
}

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  ::sigaction(SIGINT, &action, nullptr);
}

bool interrupt_pending() { return interrupted != 0; }

bool take_interrupt() {
  const bool was = interrupt_pending();
  interrupted = 0;
  return was;
}

void catch_termination() {
  if (::pipe2(termination_pipe, O_CLOEXEC | O_NONBLOCK) != 0) return;  // then SIGTERM ends the program as it always did
  struct sigaction action {};
  action.sa_handler = note_termination;
  ::sigaction(SIGTERM, &action, nullptr);
}

bool termination_pending() { return terminated != 0; }

int termination_descriptor() { return termination_pipe[0]; }

bool wait_for_input(int descriptor) {
  pollfd files[2] = {{.fd = descriptor, .events = POLLIN, .revents = 0},
                     {.fd = termination_pipe[0], .events = POLLIN, .revents = 0}};
  while (!termination_pending()) {
    const int ready = ::poll(files, 2, -1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0 || files[0].revents != 0) return !termination_pending();
  }
  return false;
}

bool wait_for_room(int descriptor) {
  constexpr int kMostMilliseconds = 500;
  pollfd files[2] = {{.fd = descriptor, .events = POLLOUT, .revents = 0},
                     {.fd = termination_pipe[0], .events = POLLIN, .revents = 0}};
  while (!termination_pending()) {
    const int ready = ::poll(files, 2, -1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0 || files[0].revents != 0) return true;
  }
  return ::poll(files, 1, kMostMilliseconds) > 0;
}

}  // namespace rill::apps
