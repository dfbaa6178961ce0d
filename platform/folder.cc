#include "platform/folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace rill {

std::string folder_of(std::string_view path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string_view::npos ? "." : std::string(path.substr(0, slash + 1));
}

Status sync_folder_of(std::string_view path) {
  const std::string folder = folder_of(path);
  const int handle = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (handle < 0) return {};
  Status status;
  if (::fsync(handle) != 0 && errno == EIO) status = system_failure(text(folder), "flushing the folder to the disk");
  ::close(handle);
  return status;
}

}  // namespace rill
