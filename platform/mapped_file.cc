#include "platform/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>
#include <utility>

#include "platform/cut_off_files.h"

namespace rill {

namespace {

static_assert(sizeof(off_t) == 8 && sizeof(time_t) == 8, "files have 64-bit sizes and times, on 32-bit machines too");

/// A file that cannot be opened is a bad input; one that there is no room for at the moment is not.
Status cannot_open(const Text& where) {
  const bool lacks_room = errno == ENOMEM || errno == EMFILE || errno == ENFILE;
  return system_failure(where, "opening the file", text("check the path and its permissions"),
                        lacks_room ? Code::kFailed : Code::kBadInput);
}

#ifndef MADV_POPULATE_READ  // older headers; the kernel may know it all the same
#define MADV_POPULATE_READ 22
#endif

}  // namespace

Result<MappedFile> MappedFile::open(std::string_view path) {
  const Text where = text(path);
  std::array<char, PATH_MAX> terminated{};
  if (path.size() >= terminated.size()) {
    return bad_input({.where = where,
                      .what = text("the path has ", path.size(), " characters"),
                      .expected = text("fewer than ", terminated.size()),
                      .remedy = {}});
  }
  std::memcpy(terminated.data(), path.data(), path.size());

  const int descriptor = ::open(terminated.data(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe would keep us waiting
  if (descriptor < 0) return cannot_open(where);
  struct Closer {
    int descriptor;
    ~Closer() { ::close(descriptor); }
  } const closer{descriptor};

  struct stat information {};
  if (::fstat(descriptor, &information) != 0) return system_failure(where, "reading the file's size");
  if (!S_ISREG(information.st_mode)) {
    return bad_input(
        {.where = where, .what = text("not a regular file"), .expected = {}, .remedy = text("give a file's path")});
  }
  const auto size = static_cast<std::uint64_t>(information.st_size);
  if (size > PTRDIFF_MAX) {
    return bad_input({.where = where,
                      .what = text(size, " bytes do not fit this machine's address space"),
                      .expected = {},
                      .remedy = text("use a 64-bit system or a smaller file")});
  }

  MappedFile file;
  file.name_ = where;
  if (size == 0) return file;
  const auto bytes = static_cast<std::size_t>(size);
  void* const address = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
  if (address == MAP_FAILED) return system_failure(where, "mapping the file");
  file.bytes_ = {static_cast<const std::byte*>(address), bytes};
  watch_mapping(file.bytes_, path);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})), name_(other.name_) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  std::swap(name_, other.name_);
  return *this;
}

MappedFile::~MappedFile() {
  if (bytes_.empty()) return;
  forget_mapping(bytes_);
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::prefault() const {
  if (bytes_.empty()) return;
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  auto* const address = const_cast<std::byte*>(bytes_.data());
  // A decode step, which reads every weight, is 1.02 to 1.05 times as fast on pages of 2 MiB, and more so beside
  // ordinary pages that lie scattered. They are granted by a kernel with transparent huge pages, for a file system that
  // keeps files in so large pieces (seen on ext4 with Linux 6.18). Not where ordinary pages are larger than 4 KiB:
  // "huge" is then 32 MiB and more, all of which is read for one byte.
  if (page == 4096) ::madvise(address, bytes_.size(), MADV_HUGEPAGE);
  if (::madvise(address, bytes_.size(), MADV_POPULATE_READ) == 0) return;
  // Not known (before Linux 5.14), not there or not allowed; else it is the file that has not all its pages, which
  // whoever touches them will learn.
  if (errno != EINVAL && errno != ENOSYS && errno != EPERM) return;
  for (std::size_t at = 0; at < bytes_.size(); at += page) {
    static_cast<void>(*static_cast<const volatile std::byte*>(address + at));
  }
}

void MappedFile::forget_pages() const {
  if (!bytes_.empty()) ::madvise(const_cast<std::byte*>(bytes_.data()), bytes_.size(), MADV_DONTNEED);
}

}  // namespace rill
