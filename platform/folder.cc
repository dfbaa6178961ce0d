#include "platform/folder.h"

#include <fcntl.h>
#include <unistd.h>

namespace rill {

std::string folder_of(std::string_view path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string_view::npos ? "." : std::string(path.substr(0, slash + 1));
}

void sync_folder_of(std::string_view path) {
  const int handle = ::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (handle < 0) return;
  ::fsync(handle);
  ::close(handle);
}

}  // namespace rill
