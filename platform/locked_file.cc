#include "platform/locked_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "platform/folder.h"

namespace rill {

Result<LockedFile> LockedFile::open(std::string_view path) {
  LockedFile file;
  file.name_ = text(path);
  file.descriptor_ = ::open(std::string(path).c_str(), O_CREAT | O_RDWR | O_CLOEXEC | O_NONBLOCK, 0600);
  const auto no_file = [&file] {
    return bad_input({.where = file.name_,
                      .what = text("no regular file"),
                      .expected = text("a file, or a path where none is yet"),
                      .remedy = {}});
  };
  if (file.descriptor_ < 0 && errno == EISDIR) return no_file();
  if (file.descriptor_ < 0) {
    return system_failure(file.name_, "opening it for reading and writing",
                          text("check the path, its folder and its permissions"));
  }
  struct stat facts {};
  if (::fstat(file.descriptor_, &facts) != 0) return system_failure(file.name_, "looking at it");
  if (!S_ISREG(facts.st_mode)) return no_file();
  file.had_name_ = facts.st_nlink > 0;
  if ((facts.st_mode & (S_IWUSR | S_IWGRP | S_IWOTH)) == 0) {
    return failed({.where = file.name_,
                   .what = text("the file is read-only"),
                   .expected = {},
                   .remedy = text("`chmod u+w` lets it be written, or name another")});
  }
  if (::flock(file.descriptor_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return system_failure(file.name_, "locking it");
    return failed({.where = file.name_,
                   .what = text("another process has locked it"),
                   .expected = {},
                   .remedy = text("end that one, or name another file")});
  }
  if (facts.st_size == 0) RILL_TRY(sync_folder_of(path));
  return file;
}

LockedFile::LockedFile(LockedFile&& other) noexcept
    : name_(other.name_), descriptor_(std::exchange(other.descriptor_, -1)), had_name_(other.had_name_) {}

LockedFile& LockedFile::operator=(LockedFile&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(had_name_, other.had_name_);
  return *this;
}

LockedFile::~LockedFile() {
  if (descriptor_ >= 0) ::close(descriptor_);  // which unlocks it
}

Result<std::uint64_t> LockedFile::size() const {
  struct stat facts {};
  if (::fstat(descriptor_, &facts) != 0) return system_failure(name_, "looking at it");
  return static_cast<std::uint64_t>(facts.st_size);
}

Status LockedFile::reserve(std::uint64_t bytes) {
  RILL_ASSIGN(const std::uint64_t before, size());
  errno = ::posix_fallocate(descriptor_, 0, static_cast<off_t>(bytes));
  if (errno != 0) {
    const Status status = system_failure(text(name_, ", ", bytes, " bytes"), "taking its room on the disk");
    RILL_TRY(cut(before));
    return status;
  }
  return before < bytes ? sync() : Status();
}

Status LockedFile::read(std::uint64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t size = ::pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return system_failure(text(name_, " at offset ", offset), "reading");
    if (size == 0) break;
    bytes = bytes.subspan(static_cast<std::size_t>(size));
    offset += static_cast<std::uint64_t>(size);
  }
  std::fill(bytes.begin(), bytes.end(), std::byte{0});
  return {};
}

Status LockedFile::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t size = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (size < 0 && errno == EINTR) continue;
    if (size == 0) errno = ENOSPC;  // nothing and no reason
    if (size <= 0) return system_failure(text(name_, " at offset ", offset), "writing");
    bytes = bytes.subspan(static_cast<std::size_t>(size));
    offset += static_cast<std::uint64_t>(size);
  }
  return {};
}

Status LockedFile::cut(std::uint64_t bytes) {
  if (::ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) return system_failure(name_, "shortening it");
  return {};
}

Status LockedFile::sync() {
  if (::fdatasync(descriptor_) != 0) return system_failure(name_, "flushing to the disk");
  struct stat facts {};
  if (::fstat(descriptor_, &facts) != 0) return system_failure(name_, "looking at it");
  if (had_name_ && facts.st_nlink == 0) {
    return failed({.where = name_,
                   .what = text("the file was removed, or another took its name"),
                   .expected = text("the one that was opened"),
                   .remedy = text("what was saved in it is lost with the end of this process")});
  }
  return {};
}

}  // namespace rill
