// What is left to a process that has entered its sandbox. Each case is a child process that tries one thing.

#include "platform/sandbox.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "tests/support/safetensors_builder.h"
#include "tests/support/scratch_directory.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RILL_SKIP_UNDER_SANITIZERS GTEST_SKIP() << "sanitizers make system calls of their own"
#else
#define RILL_SKIP_UNDER_SANITIZERS static_cast<void>(0)
#endif

namespace rill {
namespace {

constexpr int kCannot = 77;   // the child's word that it could not enter
constexpr int kNoBuild = 78;  // and that this build cannot
constexpr int kDone = 42;

/// Runs work() in a child after `enter`, and returns what waitpid() says of it.
int in_child(const std::function<Status()>& enter, const std::function<void()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    const Status entered = enter();
    if (!entered.ok()) ::_exit(entered.message().find("this build") != std::string_view::npos ? kNoBuild : kCannot);
    work();
    ::_exit(kDone);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

int in_sandbox(const std::function<void()>& work, const SandboxNeeds& needs = {}) {
  return in_child([&] { return enter_sandbox(needs); }, work);
}

bool is_done(int status) { return WIFEXITED(status) && WEXITSTATUS(status) == kDone; }
bool is_killed(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS; }

/// Whether this kernel (a container's, say) lets a process filter its system calls: asked with a filter that allows
/// all, so that a sandbox which fails is not taken for one that cannot be had.
bool kernel_filters() {
  sock_filter allow_all = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  const sock_fprog program = {.len = 1, .filter = &allow_all};
  return is_done(in_child([] { return Status(); },
                          [&] {
                            if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
                                ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
                              ::_exit(1);
                            }
                          }));
}
bool kernel_has_landlock() {
  return ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1;
}

/// Skips where there can be none.
#define RILL_NEED_SANDBOX                                                  \
  RILL_SKIP_UNDER_SANITIZERS;                                              \
  if (!kernel_filters()) GTEST_SKIP() << "this system lets nobody filter"; \
  {                                                                        \
    const int status = in_sandbox([] {});                                  \
    if (WIFEXITED(status) && WEXITSTATUS(status) == kNoBuild) {            \
      GTEST_SKIP() << "this build has no sandbox";                         \
    }                                                                      \
    ASSERT_TRUE(is_done(status)) << status;                                \
  }

TEST(Sandbox, KillsWhoeverOpensMakesOrStartsAnything) {
  RILL_NEED_SANDBOX;
  const ScratchDirectory scratch;
  const std::string path = scratch.file("new");
  const struct {
    const char* what;
    std::function<void()> work;
  } forbidden[] = {
      {"open a file to read", [] { static_cast<void>(::open("/etc/passwd", O_RDONLY)); }},
      {"make a file", [&] { static_cast<void>(::open(path.c_str(), O_CREAT | O_WRONLY, 0600)); }},
      {"remove a file", [&] { static_cast<void>(::unlink(path.c_str())); }},
      {"make a socket", [] { static_cast<void>(::socket(AF_INET, SOCK_STREAM, 0)); }},
      {"make a Unix socket", [] { static_cast<void>(::socket(AF_UNIX, SOCK_STREAM, 0)); }},
      {"start a program", [] { static_cast<void>(::execl("/bin/true", "true", nullptr)); }},
      {"start a process", [] { static_cast<void>(::fork()); }},
      {"look into another process", [] { static_cast<void>(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); }},
      {"send another process a signal", [] { static_cast<void>(::kill(::getppid(), SIGTERM)); }},
      {"take memory",
       [] { static_cast<void>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)); }},
      {"change what memory is for", [] { static_cast<void>(::mprotect(nullptr, 4096, PROT_READ)); }},
      {"type into the terminal",
       [] {
         char c = 'x';
         static_cast<void>(::ioctl(0, TIOCSTI, &c));
       }},
  };
  for (const auto& [what, work] : forbidden) EXPECT_TRUE(is_killed(in_sandbox(work))) << what;
  EXPECT_FALSE(std::ifstream(path).good());
}

TEST(Sandbox, LeavesWhatACommandNeedsAndNoMore) {
  RILL_NEED_SANDBOX;
  const auto take = [] {
    if (::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) ::_exit(1);
  };
  const auto take_code = [] {
    static_cast<void>(::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  };
  EXPECT_TRUE(is_done(in_sandbox(take, {.memory = true})));
  EXPECT_TRUE(is_killed(in_sandbox(take_code, {.memory = true})));
  EXPECT_TRUE(is_killed(in_sandbox(
      [] {
        char c = 'x';
        static_cast<void>(::ioctl(0, TIOCSTI, &c));
      },
      {.terminal = true})));
}

/// A socket that listens on this machine, and a client's that is about to be taken in.
struct Sockets {
  Sockets() : listening(::socket(AF_INET, SOCK_STREAM, 0)), client(::socket(AF_INET, SOCK_STREAM, 0)) {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    is_there = ::bind(listening, generic(), size) == 0 && ::listen(listening, 1) == 0 &&
               ::getsockname(listening, generic(), &size) == 0 && ::connect(client, generic(), size) == 0;
  }
  Sockets(const Sockets&) = delete;
  Sockets& operator=(const Sockets&) = delete;
  ~Sockets() {
    ::close(listening);
    ::close(client);
  }
  sockaddr* generic() { return reinterpret_cast<sockaddr*>(&address); }

  sockaddr_in address{};
  int listening;
  int client;
  bool is_there = false;
};

TEST(Sandbox, LeavesAServerItsClientsAndNobodyElse) {
  RILL_NEED_SANDBOX;
  Sockets sockets;
  ASSERT_TRUE(sockets.is_there);
  const SandboxNeeds needs{.clients = true};
  const auto serve = [&] {
    const int served = ::accept4(sockets.listening, nullptr, nullptr, SOCK_CLOEXEC);
    const int on = 1;
    char c = 'x';
    const bool has_worked = served >= 0 && ::setsockopt(served, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
                            ::setsockopt(served, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) == 0 &&
                            ::send(served, &c, 1, MSG_NOSIGNAL) == 1 && ::recv(sockets.client, &c, 1, 0) == 1 &&
                            ::shutdown(served, SHUT_WR) == 0 && ::recv(sockets.client, &c, 1, 0) == 0;
    if (!has_worked) ::_exit(1);
  };
  const int status = in_sandbox(serve, needs);
  EXPECT_TRUE(is_done(status)) << status;
  const struct {
    const char* what;
    std::function<void()> work;
  } forbidden[] = {
      {"make a socket", [] { static_cast<void>(::socket(AF_INET, SOCK_STREAM, 0)); }},
      {"connect", [&] { static_cast<void>(::connect(sockets.client, sockets.generic(), sizeof sockets.address)); }},
      {"bind", [&] { static_cast<void>(::bind(sockets.client, sockets.generic(), sizeof sockets.address)); }},
      {"send to an address",
       [&] { static_cast<void>(::sendto(sockets.client, "x", 1, 0, sockets.generic(), sizeof sockets.address)); }},
      {"set another option",
       [&] {
         const int on = 1;
         static_cast<void>(::setsockopt(sockets.client, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
       }},
  };
  for (const auto& [what, work] : forbidden) EXPECT_TRUE(is_killed(in_sandbox(work, needs))) << what;
}

TEST(Sandbox, LeavesOpenFilesClocksAndTheEnd) {
  RILL_NEED_SANDBOX;
  const ScratchDirectory scratch;
  write_file(scratch.file("state"), "before");
  const int file = ::open(scratch.file("state").c_str(), O_RDWR);
  ASSERT_GE(file, 0);
  const int status = in_sandbox([&] {
    if (::pwrite(file, "after!", 6, 0) != 6 || ::fdatasync(file) != 0) ::_exit(1);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (std::chrono::steady_clock::now().time_since_epoch().count() == 0) ::_exit(2);
    if (::fcntl(file, F_SETFL, ::fcntl(file, F_GETFL) | O_NONBLOCK) != 0) ::_exit(3);
  });
  EXPECT_TRUE(is_done(status)) << status;
  ::close(file);
  std::string content;
  std::getline(std::ifstream(scratch.file("state")), content);
  EXPECT_EQ(content, "after!");
}

TEST(Sandbox, HoldsForThreadsThatWereThereBefore) {
  RILL_NEED_SANDBOX;
  std::atomic<bool> is_in{false};
  const auto enter_with_a_thread = [&] {
    std::thread([&] {
      is_in.wait(false);
      static_cast<void>(::open("/etc/passwd", O_RDONLY));
    }).detach();
    return enter_sandbox({});
  };
  const int status = in_child(enter_with_a_thread, [&] {
    is_in = true;
    is_in.notify_all();
    std::this_thread::sleep_for(std::chrono::seconds(10));
  });
  EXPECT_TRUE(is_killed(status)) << status;
}

TEST(Sandbox, BeforeItIsClosedWritesOnlyInTheStatesFolder) {
  RILL_NEED_SANDBOX;
  if (!kernel_has_landlock()) GTEST_SKIP() << "this kernel has no Landlock";
  const ScratchDirectory allowed;
  const ScratchDirectory elsewhere;
  const auto enter = [&] { return forbid_writing_outside(allowed.path()); };
  const int status = in_child(enter, [&] {
    if (::open(allowed.file("state").c_str(), O_CREAT | O_RDWR, 0600) < 0) ::_exit(1);
    if (::open("/etc/passwd", O_RDONLY) < 0) ::_exit(2);
    if (::open(elsewhere.file("new").c_str(), O_CREAT | O_WRONLY, 0600) >= 0) ::_exit(3);
    if (::unlink(allowed.file("state").c_str()) == 0) ::_exit(4);
  });
  EXPECT_TRUE(is_done(status)) << status;
}

}  // namespace
}  // namespace rill
