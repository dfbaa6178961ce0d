#include "platform/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "platform/folder.h"

namespace rill {
namespace {

/// What is written at once, up to that much and at a multiple of it, may stay in one piece of memory, and whoever maps
/// the file has pages of that size: MappedFile says what for.
constexpr std::size_t kPieceBytes = std::size_t{2} << 20U;

Status write_all(int descriptor, const std::string& path, std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written == 0) errno = ENOSPC;  // nothing and no reason
    if (written <= 0) return system_failure(text(path, " at offset ", offset), "writing");
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

std::string path_of_descriptor(int descriptor) { return "/proc/self/fd/" + std::to_string(descriptor); }

/// Gives a file without a name one. @returns errno, or 0
int give_name(int descriptor, const std::string& name) {
  const std::string link = path_of_descriptor(descriptor);
  return ::linkat(AT_FDCWD, link.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
}

/// Tried first, as hours of work may come before the name: there are file systems without such files, systems without
/// /proc, and policies that forbid links.
bool can_name_later(const std::string& path, const std::string& name) {
  const int file = ::open(folder_of(path).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
  if (file < 0) return false;
  const bool can = give_name(file, name) == 0;
  ::close(file);
  return can && ::unlink(name.c_str()) == 0;
}

}  // namespace

OutputFile::OutputFile(std::string path, std::string partial_path, int descriptor, bool has_name)
    : path_(std::move(path)), partial_path_(std::move(partial_path)), descriptor_(descriptor), has_name_(has_name) {}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      partial_path_(std::move(other.partial_path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      has_name_(other.has_name_),
      size_(other.size_),
      pending_(std::move(other.pending_)) {}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (has_name_) ::unlink(partial_path_.c_str());
}

Result<OutputFile> OutputFile::create(std::string_view named) {
  namespace fs = std::filesystem;
  std::error_code error;
  std::string path(named);
  if (fs::exists(fs::symlink_status(path, error))) {
    const fs::path target = fs::canonical(path, error);  // behind symbolic links; they may lead nowhere
    if (error || !fs::is_regular_file(target, error)) {
      return failed({.where = text(path),
                     .what = text("no regular file, nor a link to one, and would be replaced"),
                     .expected = {},
                     .remedy = text("name a file")});
    }
    path = target.string();
  }
  std::string partial_path = path + ".partial-" + std::to_string(::getpid());
  if (can_name_later(path, partial_path)) {
    const int file = ::open(folder_of(path).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
    if (file >= 0) return OutputFile(path, std::move(partial_path), file, /*has_name=*/false);
  }
  const int descriptor = ::open(partial_path.c_str(), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644);
  if (descriptor < 0) {
    return system_failure(text(path), "creating the file", text("check that its folder exists and is writable"));
  }
  return OutputFile(path, std::move(partial_path), descriptor, /*has_name=*/true);
}

Status OutputFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto in_piece = static_cast<std::size_t>(size_ % kPieceBytes);
    const auto taken = bytes.first(std::min(bytes.size(), kPieceBytes - in_piece));
    pending_.insert(pending_.end(), taken.begin(), taken.end());
    size_ += taken.size();
    bytes = bytes.subspan(taken.size());
    if (size_ % kPieceBytes == 0) RILL_TRY(flush());
  }
  return {};
}

Status OutputFile::flush() {
  RILL_TRY(write_all(descriptor_, partial_path_, size_ - pending_.size(), pending_));
  pending_.clear();
  return {};
}

Status OutputFile::rewind(std::uint64_t offset) {
  RILL_TRY(flush());
  size_ = offset;
  return {};
}

Status OutputFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  RILL_TRY(flush());
  return write_all(descriptor_, partial_path_, offset, bytes);
}

std::string OutputFile::unfinished_path() const { return has_name_ ? partial_path_ : path_of_descriptor(descriptor_); }

Status OutputFile::commit() {
  RILL_TRY(flush());
  if (::fsync(descriptor_) != 0) return system_failure(text(partial_path_), "flushing to the disk");
  if (!has_name_) {
    ::unlink(partial_path_.c_str());  // of a process that had our number, and ended in this place
    if ((errno = give_name(descriptor_, partial_path_)) != 0) {
      return system_failure(text(partial_path_), "giving the finished file a name");
    }
    has_name_ = true;
  }
  if (::close(std::exchange(descriptor_, -1)) != 0 || ::rename(partial_path_.c_str(), path_.c_str()) != 0) {
    const Status status = system_failure(text(path_), "giving the finished file its name");
    ::unlink(partial_path_.c_str());
    return status;
  }
  return sync_folder_of(path_);
}

}  // namespace rill
