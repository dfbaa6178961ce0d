// The cost of a token never grows (DESIGN 2): its instructions are counted one by one, in a process that is traced,
// which no other load on the machine changes.

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "quant/quantizer.h"
#include "tests/support/imported_model.h"
#include "tests/support/synthetic_model.h"

namespace rill {
namespace {

/// What a child process, which runs `body`, executes between each two raises of SIGUSR1; empty where the system traces
/// nobody.
template <typename Body>
std::vector<std::uint64_t> count_instructions_between_marks(const Body& body) {
  // Both on one processor: between two, each instruction would wait for the other one to wake up.
  cpu_set_t allowed;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(::sched_getcpu(), &one);
  const bool is_pinned =
      ::sched_getaffinity(0, sizeof allowed, &allowed) == 0 && ::sched_setaffinity(0, sizeof one, &one) == 0;
  const pid_t child = ::fork();
  if (child == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(1);
    ::raise(SIGSTOP);
    body();
    ::_exit(0);
  }
  std::vector<std::uint64_t> counts;
  bool is_counting = false;
  int state = 0;
  while (::waitpid(child, &state, 0) == child && WIFSTOPPED(state)) {
    if (WSTOPSIG(state) == SIGUSR1) {
      is_counting = !is_counting;
      if (is_counting) counts.push_back(0);
    } else if (is_counting) {
      ++counts.back();
    }
    if (::ptrace(is_counting ? PTRACE_SINGLESTEP : PTRACE_CONT, child, nullptr, nullptr) != 0) break;
  }
  if (is_pinned) ::sched_setaffinity(0, sizeof allowed, &allowed);
  return counts;
}

TEST(TokenCost, IsTheSameWhereverInTheStreamItIs) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers' own instructions would be counted";
#endif
  const ScratchDirectory scratch;
  ModelConfig config = SyntheticModel::small_config();
  config.layers = 1;  // each instruction takes some twenty microseconds
  const SyntheticModel source(config);
  ASSERT_TRUE(quant::quantize(source, scratch.file("model.rill"), {}).ok());
  const Result<ModelFile> model = ModelFile::open(scratch.file("model.rill"));
  ASSERT_TRUE(model.ok());
  Result<Engine> engine = start(*model, {.policy = stream_policy(4, 60), .threads = 1});
  ASSERT_TRUE(engine.ok());
  // The first after the window has filled, and others after it was gone round many times, past the end of positions.
  struct Place {
    std::uint64_t first;  ///< position of the stream's first token
    std::uint64_t token;
  };
  constexpr Place kPlaces[] = {{0, 70}, {0, 3001}, {~std::uint64_t{0} - 2000, 3001}};
  const std::vector<std::uint64_t> counts = count_instructions_between_marks([&] {
    for (const Place& place : kPlaces) {
      Session& session = engine->session(0);
      session.reset(place.first);
      for (std::uint64_t i = 0; i <= place.token; ++i) {
        const Token token = static_cast<Token>(i % 50);
        if (i == place.token) ::raise(SIGUSR1);
        static_cast<void>(session.prefill({&token, 1}).ok());
      }
      ::raise(SIGUSR1);
    }
  });
  if (counts.empty()) GTEST_SKIP() << "no process can be traced here";
  ASSERT_EQ(counts.size(), std::size(kPlaces));
  const auto [least, most] = std::ranges::minmax(counts);
  EXPECT_GT(least, 10'000U);
  EXPECT_LE(static_cast<double>(most), 1.02 * static_cast<double>(least)) << testing::PrintToString(counts);
}

}  // namespace
}  // namespace rill
