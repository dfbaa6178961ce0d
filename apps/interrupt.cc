#include "apps/interrupt.h"

#include <csignal>

namespace rill::apps {
namespace {

volatile std::sig_atomic_t interrupted = 0;

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

}  // namespace rill::apps
