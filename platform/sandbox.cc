#include "platform/sandbox.h"

#ifdef RILL_HAS_SECCOMP
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdint>
#endif

namespace rill {

#ifndef RILL_HAS_SECCOMP

Status forbid_writing_outside(std::string_view) { return {}; }

Status enter_sandbox(const SandboxNeeds&) {
  return failed({.where = text("--sandbox"),
                 .what = text("this build has none"),
                 .expected = text("Linux, and a build with libseccomp"),
                 .remedy = text("build with -DRILL_SANDBOX=ON, or run without --sandbox")});
}

#else

namespace {

// Landlock's structures of ABI 6. Older headers have shorter ones; older kernels take longer ones whose end is zero.
struct Ruleset {
  std::uint64_t files = 0;
  std::uint64_t network = 0;
  std::uint64_t scopes = 0;
};
constexpr std::uint64_t kTruncate = 1ULL << 14U;      // ABI 3
constexpr std::uint64_t kTcp = 1ULL | 1ULL << 1U;     // ABI 4: bind, connect
constexpr std::uint64_t kScopes = 1ULL | 1ULL << 1U;  // ABI 6: abstract sockets and signals to others
constexpr std::uint64_t kWriting =
    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
    LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
    LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
    LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_EXECUTE;
constexpr std::uint64_t kReading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t kStateFile = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG;

class Descriptor {
 public:
  explicit Descriptor(long descriptor) : descriptor_(static_cast<int>(descriptor)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  bool ok() const { return descriptor_ >= 0; }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

Status cannot(std::string_view what) {
  return system_failure(text("--sandbox"), what, text("this system does not allow it; run without --sandbox"));
}

/// Restricts this thread by what is in `ruleset` and the kernel knows, but for `allowed` below `folder`.
Status restrict_by_landlock(Ruleset ruleset, std::string_view folder, std::uint64_t allowed) {
  const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return {};
  if (version >= 3 && (ruleset.files & LANDLOCK_ACCESS_FS_WRITE_FILE) != 0) ruleset.files |= kTruncate;
  if (version < 4) ruleset.network = 0;
  if (version < 6) ruleset.scopes = 0;
  const Descriptor rules(::syscall(SYS_landlock_create_ruleset, &ruleset, sizeof ruleset, 0));
  if (!rules.ok()) return cannot("making Landlock's rules");
  if (!folder.empty()) {
    std::array<char, PATH_MAX> path{};
    folder.copy(path.data(), path.size() - 1);
    const Descriptor place(::open(path.data(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!place.ok()) return system_failure(text(folder), "opening the folder of the state");
    const landlock_path_beneath_attr beneath = {
        .allowed_access = (allowed | (version >= 3 ? kTruncate : 0)) & ruleset.files, .parent_fd = place.get()};
    if (::syscall(SYS_landlock_add_rule, rules.get(), LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) != 0) {
      return cannot("adding Landlock's rule for the state");
    }
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return cannot("giving up new privileges");
  if (::syscall(SYS_landlock_restrict_self, rules.get(), 0) != 0) return cannot("entering Landlock's rules");
  return {};
}

// Names, because numbers differ between architectures, and not every one has all of them.
constexpr const char* kAlways[] = {
    // Files that are open: text, and the state.
    "read", "readv", "write", "writev", "pread64", "pwrite64", "lseek", "_llseek", "fsync", "fdatasync", "close",
    "fstat", "fstat64",
    // Threads, clocks and waiting.
    "futex", "futex_time64", "sched_yield", "clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64",
    "clock_nanosleep", "clock_nanosleep_time64", "nanosleep", "gettimeofday", "poll", "ppoll", "ppoll_time64",
    "restart_syscall", "getrusage",
    // Signals: what is caught, and the way back.
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "getpid", "gettid",
    // The end.
    "munmap", "madvise", "exit", "exit_group"};

/// A filter in the making.
class Filter {
 public:
  Filter() : context_(::seccomp_init(SCMP_ACT_KILL_PROCESS)) { is_sound_ = context_ != nullptr; }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;
  ~Filter() {
    if (context_ != nullptr) ::seccomp_release(context_);
  }

  template <typename... Comparisons>
  void allow(const char* name, Comparisons... comparisons) {
    const int number = ::seccomp_syscall_resolve_name(name);
    if (!is_sound_ || number == __NR_SCMP_ERROR || number < 0) return;  // this architecture has no such call
    const std::array<scmp_arg_cmp, sizeof...(comparisons)> list{comparisons...};
    note(::seccomp_rule_add_array(context_, SCMP_ACT_ALLOW, number, sizeof...(comparisons), list.data()));
  }
  /// All threads at once; seccomp_load() also gives up new privileges.
  bool load() {
    if (!is_sound_) return false;
    note(::seccomp_attr_set(context_, SCMP_FLTATR_CTL_TSYNC, 1));
    if (is_sound_) note(::seccomp_load(context_));
    return is_sound_;
  }

 private:
  void note(int result) {
    if (result == 0) return;
    is_sound_ = false;
    errno = -result;
  }
  scmp_filter_ctx context_;
  bool is_sound_;
};

scmp_arg_cmp argument_is(unsigned index, std::uint64_t value) { return {index, SCMP_CMP_EQ, value, 0}; }
scmp_arg_cmp argument_has(unsigned index, std::uint64_t mask, std::uint64_t value) {
  return {index, SCMP_CMP_MASKED_EQ, mask, value};
}

}  // namespace

Status forbid_writing_outside(std::string_view folder) {
  return restrict_by_landlock({.files = kWriting, .network = kTcp}, folder, kStateFile);
}

Status enter_sandbox(const SandboxNeeds& needs) {
  // Landlock knows only the calling thread. The others have what forbid_writing_outside() left them, and the filter.
  RILL_TRY(restrict_by_landlock({.files = kWriting | kReading, .network = kTcp, .scopes = kScopes}, {}, 0));
  Filter filter;
  for (const char* name : kAlways) filter.allow(name);
  // fstat() of newer C libraries: of an open file, whose path is empty. That it is empty no filter can see.
  for (const char* name : {"newfstatat", "fstatat64"})
    filter.allow(name, argument_has(3, AT_EMPTY_PATH, AT_EMPTY_PATH));
  filter.allow("statx", argument_has(2, AT_EMPTY_PATH, AT_EMPTY_PATH));
  // Output that another program left non-blocking is given back as it was (apps/main.cc).
  for (const char* name : {"fcntl", "fcntl64"}) {
    for (const std::uint64_t request : {std::uint64_t{F_GETFL}, std::uint64_t{F_SETFL}}) {
      filter.allow(name, argument_is(1, request));
    }
  }
  filter.allow("tgkill", argument_is(0, static_cast<std::uint64_t>(::getpid())));  // raise() and abort()
  if (needs.memory) {
    filter.allow("brk");
    filter.allow("mremap");
    for (const char* name : {"mmap", "mmap2"}) {
      filter.allow(name, argument_has(2, PROT_EXEC, 0), argument_has(3, MAP_ANONYMOUS, MAP_ANONYMOUS));
    }
    filter.allow("mprotect", argument_has(2, PROT_EXEC, 0));
  }
  if (needs.terminal) {
    // Of files 0 to 3. Not TIOCSTI, which types in the name of whoever sits there.
    constexpr unsigned kTermios2Bytes = 44;  // TCGETS2, TCSETS2, -W2 and -F2 of newer C libraries, by their definition
    constexpr std::uint64_t kRequests[] = {TCGETS,
                                           TCSETS,
                                           TCSETSW,
                                           TCSETSF,
                                           TIOCGWINSZ,
                                           FIONREAD,
                                           _IOC(_IOC_READ, 'T', 0x2A, kTermios2Bytes),
                                           _IOC(_IOC_WRITE, 'T', 0x2B, kTermios2Bytes),
                                           _IOC(_IOC_WRITE, 'T', 0x2C, kTermios2Bytes),
                                           _IOC(_IOC_WRITE, 'T', 0x2D, kTermios2Bytes)};
    for (const std::uint64_t request : kRequests) {
      filter.allow("ioctl", argument_has(0, ~std::uint64_t{3}, 0), argument_is(1, request));
    }
    for (const char* name : {"select", "_newselect", "pselect6", "pselect6_time64"}) filter.allow(name);
  }
  if (needs.clients) {
    for (const char* name : {"accept4", "recv", "recvfrom", "send", "shutdown"}) filter.allow(name);
    filter.allow("sendto", argument_is(4, 0));  // to whom the socket belongs, and nobody else
    for (const int option : {TCP_NODELAY, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT}) {
      filter.allow("setsockopt", argument_is(1, IPPROTO_TCP), argument_is(2, static_cast<std::uint64_t>(option)));
    }
    filter.allow("setsockopt", argument_is(1, SOL_SOCKET), argument_is(2, SO_KEEPALIVE));
  }
  if (!filter.load()) return cannot("filtering system calls");
  return {};
}

#endif

}  // namespace rill
