#include "apps/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio_ext.h>
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
SignalPipe terminal_pipe = {-1, -1};
volatile std::sig_atomic_t resumed = 0;
volatile std::sig_atomic_t resized = 0;

void note(volatile std::sig_atomic_t& flag, const SignalPipe& pipe) {
  const int error = errno;
  flag = 1;
  static_cast<void>(::write(pipe[1], "s", 1) == 1);  // a full pipe wakes the reader just as well
  errno = error;
}

void drain(const SignalPipe& pipe) {
  char dropped[64];
  while (::read(pipe[0], dropped, sizeof dropped) > 0) {
  }
}

/// @param flags  of sigaction(): SA_RESTART where what was being written goes on
void catch_signal(int number, SignalPipe& pipe, void (*handler)(int), int flags = 0) {
  // Without a pipe the signal does what it always did.
  if (pipe[0] < 0 && ::pipe2(pipe, O_CLOEXEC | O_NONBLOCK) != 0) return;
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  ::sigaction(number, &action, nullptr);
}

/// Waits for what `file` asks for; a signal that was caught ends the waiting. @returns false if one did
bool wait_for(const pollfd& file) {
  pollfd files[] = {file,
                    {.fd = termination_pipe[0], .events = POLLIN, .revents = 0},
                    {.fd = interrupt_pipe[0], .events = POLLIN, .revents = 0},
                    {.fd = file.events == POLLIN ? terminal_pipe[0] : -1, .events = POLLIN, .revents = 0}};
  int ready = 0;
  do {
    ready = ::poll(files, 4, -1);
  } while (ready < 0 && errno == EINTR);
  return ready < 0 || (files[1].revents == 0 && files[2].revents == 0 && files[3].revents == 0);
}

}  // namespace

void catch_interrupts() {
  catch_signal(SIGINT, interrupt_pipe, [](int) { note(interrupted, interrupt_pipe); });
}

bool interrupt_pending() { return interrupted != 0; }

bool take_interrupt() {
  const bool was = interrupt_pending();
  interrupted = 0;
  drain(interrupt_pipe);
  return was;
}

void catch_termination() {
  catch_signal(SIGTERM, termination_pipe, [](int) { note(terminated, termination_pipe); });
}

bool termination_pending() { return terminated != 0; }

bool stop_pending() { return interrupt_pending() || termination_pending(); }

int termination_descriptor() { return termination_pipe[0]; }

void catch_terminal_changes() {
  catch_signal(
      SIGCONT, terminal_pipe, [](int) { note(resumed, terminal_pipe); }, SA_RESTART);
  catch_signal(
      SIGWINCH, terminal_pipe, [](int) { note(resized, terminal_pipe); }, SA_RESTART);
}

TerminalChange take_terminal_change() {
  drain(terminal_pipe);
  const TerminalChange change{.has_resumed = resumed != 0, .has_resized = resized != 0};
  resumed = 0;
  resized = 0;
  return change;
}

bool wait_for_input(int descriptor) { return wait_for({.fd = descriptor, .events = POLLIN, .revents = 0}); }

void write_for_reader(std::FILE* file, bool& is_read) {
  constexpr int kMostMilliseconds = 500;
  pollfd room = {.fd = ::fileno(file), .events = POLLOUT, .revents = 0};
  is_read = is_read && (wait_for(room) || ::poll(&room, 1, kMostMilliseconds) > 0);
  if (is_read) {
    std::fflush(file);
  } else {
    __fpurge(file);  // what exit() would wait for
  }
}

}  // namespace rill::apps
