#include "platform/process_memory.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstddef>

namespace rill {

std::uint64_t resident_bytes() {
  const int descriptor = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return 0;
  std::array<char, 128> line{};
  const ssize_t size = ::read(descriptor, line.data(), line.size());
  ::close(descriptor);
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
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace rill
