#include "apps/chat_output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string>
#include <thread>

#include "apps/interrupt.h"

namespace rill::apps {
namespace {

constexpr int kDone = 42;

/// Prints a reply of several pages into a pipe of one.
[[noreturn]] void print_long_reply(bool json, int out) {
  ::dup2(out, STDOUT_FILENO);
  static char buffer[1U << 16U];  // as chat has one
  std::setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
  catch_termination();
  ReplyPrinter printer(json);
  printer.begin();
  for (int i = 0; i < 100 && !termination_pending(); ++i) printer.add(std::string(200, 'x'));
  while (!termination_pending()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  printer.end(Reply{});
  std::fflush(stdout);  // as exit() does
  ::_exit(kDone);
}

/// @returns seconds from SIGTERM to the end; negative if there was none in five
double time_to_end(bool json, std::size_t bytes_read) {
  int ends[2] = {-1, -1};
  if (::pipe(ends) != 0) return -1;
  ::fcntl(ends[1], F_SETPIPE_SZ, 4096);
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  const pid_t child = ::fork();
  if (child == 0) print_long_reply(json, ends[1]);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  std::string page(bytes_read, '\0');
  static_cast<void>(::read(ends[0], page.data(), page.size()) > 0);
  ::kill(child, SIGTERM);
  const auto begin = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  int status = 0;
  pid_t ended = 0;
  while (seconds() < 5 && (ended = ::waitpid(child, &status, WNOHANG)) == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const double taken = seconds();
  if (ended == 0) {
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
  }
  ::close(ends[0]);
  ::close(ends[1]);
  return ended == child && WIFEXITED(status) && WEXITSTATUS(status) == kDone ? taken : -1;
}

TEST(ReplyPrinter, EndsWithAReaderThatHasStopped) {
  for (const bool json : {false, true}) {
    for (const std::size_t bytes_read : {0U, 1U, 4096U}) {
      const double seconds = time_to_end(json, bytes_read);
      EXPECT_GE(seconds, 0) << (json ? "JSON" : "text") << " of which " << bytes_read << " bytes were read: no end";
      EXPECT_LT(seconds, 4);  // half a second, on a busy machine
    }
  }
}

}  // namespace
}  // namespace rill::apps
