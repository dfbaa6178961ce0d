// What a program does to its state file, seen from inside: LD_PRELOAD puts it between the program and the C library.
// `w` for each pwrite() and `s` for each fdatasync() that has returned go to the file RILL_DISK_LOG; a sync takes
// RILL_DISK_DELAY_MS longer. A pread() of any of the bytes in RILL_DISK_LOST (offsets, with spaces between) fails. After RILL_DISK_AFTER writes the program does what RILL_DISK_THEN says, as whoever had
// taken it over would: it opens a file, or makes a socket.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int log_file = -1;
static long delay_ms = 0;
static const char* then = "";
static int writes = 0;
static int last_write = 0;

__attribute__((constructor)) static void begin(void) {
  const char* const log = getenv("RILL_DISK_LOG");
  const char* const delay = getenv("RILL_DISK_DELAY_MS");
  if (log != NULL) log_file = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (delay != NULL) delay_ms = atol(delay);
  if (getenv("RILL_DISK_THEN") != NULL) then = getenv("RILL_DISK_THEN");
  if (getenv("RILL_DISK_AFTER") != NULL) last_write = atoi(getenv("RILL_DISK_AFTER"));
}

static void note(char what) {
  if (log_file >= 0 && write(log_file, &what, 1) != 1) abort();
}

ssize_t pwrite64(int file, const void* bytes, size_t size, off64_t offset) {
  note('w');
  ++writes;
  if (writes > last_write && strcmp(then, "open") == 0) syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY, 0);
  if (writes > last_write && strcmp(then, "socket") == 0) syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
  return syscall(SYS_pwrite64, file, bytes, size, offset);
}

ssize_t pread64(int file, void* bytes, size_t size, off64_t offset) {
  const char* lost = getenv("RILL_DISK_LOST");
  while (lost != NULL && *lost != '\0') {
    char* end = NULL;
    const long long place = strtoll(lost, &end, 10);
    if (end == lost) abort();
    lost = end;
    if (place >= offset && place < offset + (off64_t)size) {
      errno = EIO;
      return -1;
    }
  }
  return syscall(SYS_pread64, file, bytes, size, offset);
}

ssize_t pread(int file, void* bytes, size_t size, off_t offset) { return pread64(file, bytes, size, offset); }

ssize_t pwrite(int file, const void* bytes, size_t size, off_t offset) { return pwrite64(file, bytes, size, offset); }

int fdatasync(int file) {
  const struct timespec delay = {delay_ms / 1000, delay_ms % 1000 * 1000000};
  if (delay_ms > 0) nanosleep(&delay, NULL);
  const int result = (int)syscall(SYS_fdatasync, file);
  note('s');
  return result;
}
