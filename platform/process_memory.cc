#include "platform/process_memory.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cinttypes>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string_view>

namespace rill {

namespace {

/// Reads a small file of /proc from its beginning. @returns what there is of it; empty if it cannot be read
std::string_view read_anew(int descriptor, std::span<char> buffer) {
  ssize_t size = 0;
  do {
    size = descriptor < 0 ? -1 : ::pread(descriptor, buffer.data(), buffer.size(), 0);
  } while (size < 0 && errno == EINTR);
  return {buffer.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
}

/// A mapping, as /proc/self/smaps tells of it.
struct Mapping {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool is_read_only_file = false;
  std::uint64_t own_kib = 0;   ///< what was written there (by the dynamic linker, before it made it read-only)
  std::uint64_t huge_kib = 0;  ///< on huge pages

  /// Lets its pages go if the file has them all. One that is written and swapped out is no dirty page any more.
  void release() const {
    if (!is_read_only_file || own_kib > 0) return;
    auto* const address =
        reinterpret_cast<void*>(static_cast<std::uintptr_t>(begin));  // NOLINT(performance-no-int-to-ptr)
    ::madvise(address, static_cast<std::size_t>(end - begin), MADV_DONTNEED);
  }
};

/// Calls visit(mapping) for all there are.
template <typename Visit>
void for_each_mapping(Visit visit) {
  std::FILE* const maps = std::fopen("/proc/self/smaps", "re");
  if (maps == nullptr) return;
  std::array<char, 512> line{};
  Mapping mapping;
  while (std::fgets(line.data(), line.size(), maps) != nullptr) {
    // "begin-end r-xp offset device inode /path", then a line a figure.
    Mapping next;
    std::array<char, 5> permissions{};
    unsigned long inode = 0;
    unsigned long kib = 0;
    if (std::sscanf(line.data(), "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %lu", &next.begin, &next.end, permissions.data(),
                    &inode) == 4) {
      visit(mapping);
      mapping = next;
      const std::string_view seen(permissions.data());
      mapping.is_read_only_file = inode != 0 && (seen == "r-xp" || seen == "r--p");
    } else if (std::sscanf(line.data(), "Private_Dirty: %lu", &kib) == 1 ||
               std::sscanf(line.data(), "Anonymous: %lu", &kib) == 1 ||
               std::sscanf(line.data(), "Swap: %lu", &kib) == 1) {
      mapping.own_kib += kib;
    } else if (std::sscanf(line.data(), "AnonHugePages: %lu", &kib) == 1 ||
               std::sscanf(line.data(), "FilePmdMapped: %lu", &kib) == 1 ||
               std::sscanf(line.data(), "ShmemPmdMapped: %lu", &kib) == 1) {
      mapping.huge_kib += kib;
    }
  }
  visit(mapping);
  std::fclose(maps);
}

}  // namespace

std::uint64_t resident_bytes() {
  static const int descriptor = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  std::array<char, 128> buffer{};
  const std::string_view line = read_anew(descriptor, buffer);
  // "total resident shared ...", in pages.
  const char* const end = line.data() + line.size();
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  const auto first = std::from_chars(line.data(), end, total);
  if (first.ptr == end) return 0;
  std::from_chars(first.ptr + 1, end, resident);
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t peak_resident_bytes() {
  // Not getrusage()'s: that one is inherited from whatever program started this one.
  static const int descriptor = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  std::array<char, 4096> buffer{};
  const std::string_view status = read_anew(descriptor, buffer);
  constexpr std::string_view kLabel = "VmHWM:";
  std::uint64_t peak_kib = 0;
  if (const std::size_t at = status.find(kLabel); at != std::string_view::npos) {
    const std::size_t number = std::min(status.find_first_not_of(" \t", at + kLabel.size()), status.size());
    std::from_chars(status.data() + number, status.data() + status.size(), peak_kib);
  }
  // The kernel notes the peak only now and then: it can lag behind what is resident.
  return std::max(peak_kib * 1024, resident_bytes());
}

std::uint64_t huge_page_bytes(std::span<const std::byte> mapped) {
  const auto begin = reinterpret_cast<std::uintptr_t>(mapped.data());
  std::uint64_t kib = 0;
  for_each_mapping([&](const Mapping& mapping) {
    if (mapping.begin < begin + mapped.size() && begin < mapping.end) kib += mapping.huge_kib;
  });
  return std::min<std::uint64_t>(kib * 1024, mapped.size());  // it may be a part of its mapping
}

void release_startup_memory() {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
  for_each_mapping([](const Mapping& mapping) { mapping.release(); });
}

}  // namespace rill
