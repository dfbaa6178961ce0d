#include "platform/allocation_watch.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RILL_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define RILL_SANITIZER 1
#endif
#endif

namespace rill {
namespace {
std::atomic<std::uint64_t> allocations{0};
thread_local std::uint64_t of_this_thread = 0;
void count_one() {
  allocations.fetch_add(1, std::memory_order_relaxed);
  ++of_this_thread;
}
}  // namespace
}  // namespace rill

namespace rill {
std::uint64_t allocations_of_this_thread() {
  allocations_so_far();  // starts the watch
  return of_this_thread;
}
}  // namespace rill

#ifdef RILL_SANITIZER

extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void*, size_t),
                                                         void (*free_hook)(const volatile void*));

namespace rill {
std::uint64_t allocations_so_far() {
  [[maybe_unused]] static const int installed = __sanitizer_install_malloc_and_free_hooks(
      [](const volatile void*, size_t) { count_one(); }, [](const volatile void*) {});
  return allocations.load(std::memory_order_relaxed);
}
}  // namespace rill

#else

// glibc's own entry points, under the names that it keeps for replacements like these. In a program that glibc is
// linked into, its malloc comes with them and cannot be replaced: there the linker sends calls of malloc to
// __wrap_malloc.
#ifdef RILL_STATIC
#define malloc __wrap_malloc
#define calloc __wrap_calloc
#define realloc __wrap_realloc
#define memalign __wrap_memalign
#define aligned_alloc __wrap_aligned_alloc
#define posix_memalign __wrap_posix_memalign
#if __SIZEOF_POINTER__ == 4  // with 64-bit offsets, mmap is another name for mmap64
#define mmap __wrap_mmap64
#else
#define mmap __wrap_mmap
#endif
#endif

extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) {
  rill::count_one();
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  rill::count_one();
  return __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) {
  rill::count_one();
  return __libc_realloc(memory, size);
}
void* memalign(size_t alignment, size_t size) {
  rill::count_one();
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  rill::count_one();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, size_t alignment, size_t size) {
  rill::count_one();
  void* const result = __libc_memalign(alignment, size);
  if (result == nullptr) return ENOMEM;
  *memory = result;
  return 0;
}
void* mmap(void* address, size_t size, int protection, int flags, int descriptor, off_t offset) noexcept {
  rill::count_one();
#ifdef SYS_mmap2
  const long result = syscall(SYS_mmap2, address, size, protection, flags, descriptor, offset / 4096);
#else
  const long result = syscall(SYS_mmap, address, size, protection, flags, descriptor, offset);
#endif
  return reinterpret_cast<void*>(result);  // NOLINT(performance-no-int-to-ptr): what the system returns is an address
}
}

namespace rill {
std::uint64_t allocations_so_far() { return allocations.load(std::memory_order_relaxed); }
}  // namespace rill

#endif
