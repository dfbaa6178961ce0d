#include "apps/voice/talk_key.h"

#include <poll.h>
#include <termios.h>
#include <unistd.h>

namespace rill::apps {
namespace {

class TerminalKey final : public TalkKey {
 public:
  explicit TerminalKey(const termios& before) : before_(before) { take_terminal(); }
  ~TerminalKey() override { ::tcsetattr(STDIN_FILENO, TCSANOW, &before_); }

  bool was_pressed() override {
    bool is_pressed = false;
    // A shell that had the terminal meanwhile (Ctrl-Z, fg) gives it back in its own mode.
    if (++looks_ % kLooksBetweenChecks == 0 && ::tcgetpgrp(STDIN_FILENO) == ::getpgrp()) take_terminal();
    // One byte a look: a terminal that is gone is readable for ever, and must not be read for ever.
    pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    char byte = 0;
    if (::poll(&input, 1, 0) > 0 && ::read(STDIN_FILENO, &byte, 1) == 1) is_pressed = byte == ' ';
    return is_pressed;
  }

 private:
  static constexpr unsigned kLooksBetweenChecks = 100;  // a second's

  void take_terminal() const {
    termios now{};
    if (::tcgetattr(STDIN_FILENO, &now) != 0 || (now.c_lflag & (ICANON | ECHO)) == 0) return;
    now.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);  // Ctrl-C stays what it is
    ::tcsetattr(STDIN_FILENO, TCSANOW, &now);
  }

  termios before_;
  unsigned looks_ = 0;
};

}  // namespace

Status check_talk_key() {
  if (::isatty(STDIN_FILENO) == 1) return {};
  return bad_usage({.where = text("--push-to-talk"),
                    .what = text("standard input is no terminal, so there is no key to press"),
                    .expected = {},
                    .remedy = text("start it from a terminal, or leave it out: then the voice itself tells")});
}

Result<std::unique_ptr<TalkKey>> open_talk_key() {
  RILL_TRY(check_talk_key());
  termios before{};
  ::tcgetattr(STDIN_FILENO, &before);
  return std::unique_ptr<TalkKey>(std::make_unique<TerminalKey>(before));
}

}  // namespace rill::apps
