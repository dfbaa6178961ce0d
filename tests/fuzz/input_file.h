#pragma once
// A file in memory with a path, for what only opens paths: a target may run a hundred thousand times a second.

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <string>

#include "tests/fuzz/target.h"

namespace rill::fuzz {

class InputFile {
 public:
  InputFile()
      : descriptor_(::memfd_create("input", MFD_CLOEXEC)), path_("/proc/self/fd/" + std::to_string(descriptor_)) {
    require(descriptor_ >= 0, "this system has files in memory");
  }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile() { ::close(descriptor_); }

  /// The file with these bytes and no others. @returns its path
  const std::string& with(std::string_view bytes) const {
    require(::ftruncate(descriptor_, 0) == 0, "the file can be emptied");
    for (std::size_t done = 0; done < bytes.size();) {
      const ssize_t size = ::pwrite(descriptor_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
      require(size > 0, "the file can be written");
      done += static_cast<std::size_t>(size);
    }
    return path_;
  }
  const std::string& path() const { return path_; }

 private:
  int descriptor_;
  std::string path_;
};

}  // namespace rill::fuzz
