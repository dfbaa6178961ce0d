#include "apps/machine_limits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

#include "core/memory_plan.h"
#include "platform/process_memory.h"
#include "platform/size.h"
#include "platform/worker_pool.h"

namespace rill::apps {
namespace {

constexpr std::size_t kShare = 64 * 1024;  // buffers are cut among threads at multiples of this
constexpr std::uint64_t kAssumedCache = 32ULL << 20U;
constexpr std::uint64_t kLeastMemoryBuffer = 256ULL << 20U;

/// Memory of huge pages or of ordinary ones, as far as the system does what it is asked.
class Pages {
 public:
  static Result<Pages> take(std::size_t bytes, bool wants_huge) {
    void* address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED) {
      const Status reason = system_failure(text("bench"), "taking memory");
      return over_budget({.where = text("bench"),
                          .what = text("the system does not grant ", bytes, " bytes (", reason.message(), ")"),
                          .expected = {},
                          .remedy = text("free some memory: the read limit is measured beyond the last-level cache")});
    }
    ::madvise(address, bytes, wants_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    Pages pages;
    pages.bytes_ = {static_cast<std::byte*>(address), bytes};
    return pages;
  }
  Pages() = default;
  Pages(Pages&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  Pages& operator=(Pages&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Pages() {
    if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
  }
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  std::span<std::byte> bytes_;
};

/// What one of so many threads touches of the buffer.
template <typename Byte>
std::span<Byte> share_of(std::span<Byte> buffer, std::size_t thread, std::size_t threads) {
  const std::size_t shares = buffer.size() / kShare;
  const std::size_t begin = shares * thread / threads;
  return buffer.subspan(begin * kShare, (shares * (thread + 1) / threads - begin) * kShare);
}

/// One number of threads, its pool, and what was measured with it.
struct Crew {
  PageBlock stacks;
  WorkerPool pool;
  std::vector<double> memory, cache, macs;
  double memory_passes = 1;  // that last as long as a measurement should
  double cache_passes = 1;
  double rounds = 1000;

  Status start(std::uint32_t threads) {
    RILL_ASSIGN(stacks, PageBlock::take((threads - 1) * WorkerPool::stack_bytes()));
    return pool.start(threads, stacks.bytes());
  }
};

std::uint64_t available_bytes() {
  const long pages = ::sysconf(_SC_AVPHYS_PAGES);
  const long page = ::sysconf(_SC_PAGESIZE);
  return pages > 0 && page > 0 ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page) : 0;
}

/// "32768K" of /sys/devices/system/cpu/cpu0/cache/index3/size and the like; 0 if there is no such file.
std::uint64_t cache_file(int index, const char* name) {
  std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/" + name);
  std::uint64_t value = 0;
  char unit = ' ';
  file >> value >> unit;
  return unit == 'K' ? value << 10U : unit == 'M' ? value << 20U : value;
}

}  // namespace

std::string_view pages_of(std::span<const std::byte> mapped) {
  return huge_page_bytes(mapped) > mapped.size() / 2 ? "huge" : "ordinary";
}

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos && (line.starts_with("model name") || line.starts_with("Model"))) {
      return line.substr(colon + 2);
    }
  }
  return "unknown";
}

std::uint64_t last_level_cache_bytes() {
  std::uint64_t largest = 0;
  for (int index = 0; index < 8; ++index) largest = std::max(largest, cache_file(index, "size"));
  if (largest > 0) return largest;
  const long level3 = ::sysconf(_SC_LEVEL3_CACHE_SIZE);
  return level3 > 0 ? static_cast<std::uint64_t>(level3) : 0;
}

const ThreadLimits& MachineLimits::at(std::uint32_t threads) const {
  const auto found = std::ranges::find(by_threads, threads, &ThreadLimits::threads);
  return found == by_threads.end() ? by_threads.back() : *found;
}

struct LimitProbe::State {
  ProbeOptions options;
  std::uint64_t last_level_cache = 0;
  Pages memory;
  std::span<std::byte> cached;  // the part of it that stays in the cache
  bool pinned = true;
  std::vector<std::unique_ptr<Crew>> crews;
  std::uint64_t sum = 0;  // of everything read, so that it was read

  /// Every thread reads its share of the buffer, from its first byte to its last, `passes` times. @returns bytes/s
  double read(Crew& crew, std::span<const std::byte> buffer, double passes) {
    std::array<std::uint64_t, WorkerPool::kMaxThreads> sums{};
    const auto times = static_cast<std::uint64_t>(passes);
    const Stopwatch watch;
    crew.pool.run_on_each([&](const WorkerPool::Part& part) {
      const std::span<const std::byte> share = share_of(buffer, part.thread, crew.pool.threads());
      for (std::uint64_t pass = 0; pass < times; ++pass) {
        sums[part.thread] += options.kernels->read(share.data(), share.size());
      }
    });
    const double seconds = watch.seconds();
    for (const std::uint64_t part : sums) sum += part;
    return static_cast<double>(buffer.size()) * static_cast<double>(times) / seconds;
  }

  /// @returns multiply-adds per second, of all threads
  double multiply(Crew& crew, double rounds) {
    std::array<std::uint64_t, WorkerPool::kMaxThreads> macs{};
    const Stopwatch watch;
    crew.pool.run_on_each([&](const WorkerPool::Part& part) {
      macs[part.thread] = options.kernels->dot_products(static_cast<std::uint64_t>(rounds));
    });
    const double seconds = watch.seconds();
    double all = 0;
    for (const std::uint64_t part : macs) all += static_cast<double>(part);
    return all / seconds;
  }

  /// Runs everything once, and finds out how much of it lasts long enough.
  void warm_up(Crew& crew) {
    const auto passes = [&](std::span<const std::byte> buffer) {
      read(crew, buffer, 1);
      return std::max(1.0, std::ceil(options.seconds * read(crew, buffer, 1) / static_cast<double>(buffer.size())));
    };
    crew.memory_passes = passes(memory.bytes());
    crew.cache_passes = passes(cached);
    multiply(crew, crew.rounds);
    for (double seconds = 0; seconds < options.seconds; crew.rounds *= 2) {
      const Stopwatch watch;
      multiply(crew, crew.rounds);
      seconds = 2 * watch.seconds();
    }
  }
};

LimitProbe::LimitProbe(std::unique_ptr<State> state) : state_(std::move(state)) {}
LimitProbe::LimitProbe(LimitProbe&& other) noexcept = default;
LimitProbe::~LimitProbe() = default;

Result<LimitProbe> LimitProbe::start(const ProbeOptions& options, const ThreadPinning& pinning) {
  auto state = std::make_unique<State>();
  state->options = options;
  state->last_level_cache = last_level_cache_bytes();
  const std::uint64_t cache = state->last_level_cache > 0 ? state->last_level_cache : kAssumedCache;
  std::uint64_t most = std::min(std::max(4 * cache, kLeastMemoryBuffer), options.most_bytes);
  if (const std::uint64_t available = available_bytes(); available > 0) most = std::min(most, available / 4);
  most = std::clamp<std::uint64_t>(most, std::uint64_t{WorkerPool::kMaxThreads} * kShare, SIZE_MAX / 4);
  const std::size_t bytes = round_up(static_cast<std::size_t>(most), kShare);
  RILL_ASSIGN(state->memory, Pages::take(bytes, options.on_huge_pages));
  const std::uint64_t working_set = options.working_set_bytes;
  const std::uint64_t wanted = working_set > 0 && working_set <= cache ? working_set : cache / 2;
  const std::size_t cached = round_up(static_cast<std::size_t>(std::min<std::uint64_t>(wanted, bytes)), kShare);
  state->cached = state->memory.bytes().first(std::min(bytes, cached));
  for (const std::uint32_t threads : options.threads) {
    auto crew = std::make_unique<Crew>();
    RILL_TRY(crew->start(threads));
    state->pinned = pinning.pin(crew->pool) && state->pinned;
    state->crews.push_back(std::move(crew));
  }
  // Whoever touches a page first has it near: the largest crew, each thread its share.
  const auto largest =
      std::ranges::max_element(state->crews, {}, [](const auto& crew) { return crew->pool.threads(); });
  (*largest)->pool.run_on_each([&](const WorkerPool::Part& part) {
    std::ranges::fill(share_of(state->memory.bytes(), part.thread, (*largest)->pool.threads()), std::byte{1});
  });
  for (const auto& crew : state->crews) state->warm_up(*crew);
  return LimitProbe(std::move(state));
}

void LimitProbe::repeat() {
  State& s = *state_;
  for (const auto& crew : s.crews) crew->memory.push_back(s.read(*crew, s.memory.bytes(), crew->memory_passes));
  for (const auto& crew : s.crews) {
    s.read(*crew, s.cached, 1);  // back into the cache
    crew->cache.push_back(s.read(*crew, s.cached, crew->cache_passes));
  }
  for (const auto& crew : s.crews) crew->macs.push_back(s.multiply(*crew, crew->rounds));
}

MachineLimits LimitProbe::limits() const {
  const State& s = *state_;
  MachineLimits limits{.cpu = cpu_name(),
                       .last_level_cache_bytes = s.last_level_cache,
                       .memory_buffer_bytes = s.memory.bytes().size(),
                       .cache_buffer_bytes = s.cached.size(),
                       .pages = pages_of(s.memory.bytes()),
                       .pinned = s.pinned,
                       .by_threads = {}};
  for (const auto& crew : s.crews) {
    limits.by_threads.push_back({.threads = static_cast<std::uint32_t>(crew->pool.threads()),
                                 .memory_bytes_per_s = spread_of(crew->memory),
                                 .cache_bytes_per_s = spread_of(crew->cache),
                                 .macs_per_s = spread_of(crew->macs)});
  }
  return limits;
}

}  // namespace rill::apps
