#include "platform/process_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cinttypes>
#include <cstddef>
#include <cstdio>
#include <string_view>

namespace rill {

std::uint64_t resident_bytes() {
  static const int descriptor = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return 0;
  std::array<char, 128> line{};
  ssize_t size = 0;
  do {
    size = ::pread(descriptor, line.data(), line.size(), 0);
  } while (size < 0 && errno == EINTR);
  if (size <= 0) return 0;
  // "total resident shared ...", in pages.
  const char* end = line.data() + size;
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  const auto first = std::from_chars(line.data(), end, total);
  if (first.ptr == end) return 0;
  std::from_chars(first.ptr + 1, end, resident);
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t peak_resident_bytes() {
  struct rusage usage {};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  // The kernel notes the peak only now and then: it can lag behind what is resident.
  return std::max(static_cast<std::uint64_t>(usage.ru_maxrss) * 1024, resident_bytes());
}

void release_startup_code() {
  std::FILE* const maps = std::fopen("/proc/self/smaps", "re");
  if (maps == nullptr) return;
  std::array<char, 512> line{};
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool is_file = false;
  while (std::fgets(line.data(), line.size(), maps) != nullptr) {
    // "begin-end r-xp offset device inode /path", then a line a figure.
    std::array<char, 5> permissions{};
    unsigned long inode = 0;
    unsigned long dirty_kib = 0;
    if (std::sscanf(line.data(), "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %lu", &begin, &end, permissions.data(), &inode) ==
        4) {
      const std::string_view seen(permissions.data());
      is_file = inode != 0 && (seen == "r-xp" || seen == "r--p");
    } else if (is_file && std::sscanf(line.data(), "Private_Dirty: %lu", &dirty_kib) == 1 && dirty_kib == 0) {
      // Nothing in it was written, by the dynamic linker for one: the file has it all.
      auto* const address =
          reinterpret_cast<void*>(static_cast<std::uintptr_t>(begin));  // NOLINT(performance-no-int-to-ptr)
      ::madvise(address, static_cast<std::size_t>(end - begin), MADV_DONTNEED);
    }
  }
  std::fclose(maps);
}

}  // namespace rill
