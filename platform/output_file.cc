#include "platform/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace rill {
namespace {

Status write_all(int descriptor, const std::string& path, std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      return system_failure(text(path, " at offset ", offset), "writing", text("free some space and run it again"));
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

std::string folder_of(std::string_view path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string_view::npos ? "." : std::string(path.substr(0, slash + 1));
}

std::string link_to(int descriptor) { return "/proc/self/fd/" + std::to_string(descriptor); }

}  // namespace

OutputFile::OutputFile(std::string path, std::string partial_path, int descriptor, bool has_name)
    : path_(std::move(path)), partial_path_(std::move(partial_path)), descriptor_(descriptor), has_name_(has_name) {}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      partial_path_(std::move(other.partial_path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      has_name_(other.has_name_),
      size_(other.size_) {}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (has_name_) ::unlink(partial_path_.c_str());
}

Result<OutputFile> OutputFile::create(std::string_view path) {
  std::string partial_path = std::string(path) + ".partial-" + std::to_string(::getpid());
  // A file without a name gets one through /proc.
  if (const int file = ::open(folder_of(path).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644); file >= 0) {
    if (::access(link_to(file).c_str(), F_OK) == 0) return OutputFile(std::string(path), partial_path, file, false);
    ::close(file);
  }
  const int descriptor = ::open(partial_path.c_str(), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644);
  if (descriptor < 0) {
    return system_failure(text(partial_path), "creating the file",
                          text("check that its folder exists and is writable"));
  }
  return OutputFile(std::string(path), std::move(partial_path), descriptor, /*has_name=*/true);
}

Status OutputFile::write(std::span<const std::byte> bytes) {
  RILL_TRY(write_all(descriptor_, partial_path_, size_, bytes));
  size_ += bytes.size();
  return {};
}

Status OutputFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  return write_all(descriptor_, partial_path_, offset, bytes);
}

Status OutputFile::commit() {
  if (::fsync(descriptor_) != 0) return system_failure(text(partial_path_), "flushing to the disk");
  if (!has_name_) {
    ::unlink(partial_path_.c_str());  // of a process that had our number, and ended in this place
    if (::linkat(AT_FDCWD, link_to(descriptor_).c_str(), AT_FDCWD, partial_path_.c_str(), AT_SYMLINK_FOLLOW) != 0) {
      return system_failure(text(partial_path_), "giving the finished file a name");
    }
    has_name_ = true;
  }
  if (::close(std::exchange(descriptor_, -1)) != 0 || ::rename(partial_path_.c_str(), path_.c_str()) != 0) {
    const Status status = system_failure(text(path_), "giving the finished file its name");
    ::unlink(partial_path_.c_str());
    return status;
  }
  // The rename itself is on the disk only when its folder is. A file system that cannot sync a folder is no failure.
  if (const int handle = ::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); handle >= 0) {
    ::fsync(handle);
    ::close(handle);
  }
  return {};
}

}  // namespace rill
