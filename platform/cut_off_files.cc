#include "platform/cut_off_files.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <mutex>

namespace rill {
namespace {

// The handler may run in any thread at any instruction, so it touches only what is written here before `begin` is
// published: (1) `begin` is set last and cleared first; (2) the handler takes no lock, calls only write() and _exit(),
// and allocates nothing; (3) a fault that no watched mapping has goes back to what SIGBUS did before.

struct Watched {
  std::atomic<std::uintptr_t> begin{0};  // 0: free
  std::atomic<std::uintptr_t> end{0};
  std::array<char, 256> name{};
  std::atomic<std::size_t> name_size{0};
};

constinit std::array<Watched, 64> watched;
constinit std::mutex changing;  // of `watched`, by those who add and forget; the handler only reads
std::string_view program_name;

void print(std::string_view part) { static_cast<void>(::write(STDERR_FILENO, part.data(), part.size()) == 0); }

void on_bus_error(int, siginfo_t* info, void*) {
  // What kill() sends has no address. BUS_ADRERR is a page that its file does not have.
  if (info->si_code == BUS_ADRERR) {
    const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
    for (const Watched& mapping : watched) {
      const std::uintptr_t begin = mapping.begin.load(std::memory_order_acquire);
      if (begin == 0 || address < begin || address >= mapping.end.load(std::memory_order_relaxed)) continue;
      print(program_name);
      print(": ");
      print({mapping.name.data(), mapping.name_size.load(std::memory_order_relaxed)});
      print(
          ": the file was cut off, or its disk failed, while it was in use; put it back whole and start again (a model "
          "that runs with --in-ram does not depend on its file)\n");
      ::_exit(1);
    }
  }
  // The default again, and the same signal: at once if it was sent, at the same instruction if it is a fault.
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  ::sigaction(SIGBUS, &action, nullptr);
  if (info->si_code <= 0) ::raise(SIGBUS);
}

}  // namespace

void report_cut_off_files(std::string_view program) {
  program_name = program;
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &action, nullptr);
}

void watch_mapping(std::span<const std::byte> mapping, std::string_view name) {
  const std::lock_guard lock(changing);
  for (Watched& place : watched) {
    if (place.begin.load(std::memory_order_relaxed) != 0) continue;
    const auto begin = reinterpret_cast<std::uintptr_t>(mapping.data());
    place.name_size.store(name.copy(place.name.data(), place.name.size() - 1), std::memory_order_relaxed);
    place.end.store(begin + mapping.size(), std::memory_order_relaxed);
    place.begin.store(begin, std::memory_order_release);
    return;
  }
}

void forget_mapping(std::span<const std::byte> mapping) {
  const std::lock_guard lock(changing);
  for (Watched& place : watched) {
    if (place.begin.load(std::memory_order_relaxed) == reinterpret_cast<std::uintptr_t>(mapping.data())) {
      place.begin.store(0, std::memory_order_release);
      return;
    }
  }
}

}  // namespace rill
