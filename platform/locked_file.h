#pragma once
// A file that is written in place, again and again, by one process at a time.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "platform/status.h"

namespace rill {

/// An open file, exclusively locked until it is closed, by whatever end the process takes. Only open() may allocate.
/// Every error is kFailed with the path and the system's reason, but for kBadInput where the path is no regular file.
class LockedFile {
 public:
  /// Opens for reading and writing, or creates with mode 0600. A file that another process has locked is refused, and
  /// so is one without any write permission, even for a user whom permissions do not bind.
  static Result<LockedFile> open(std::string_view path);

  LockedFile() = default;
  LockedFile(LockedFile&& other) noexcept;
  LockedFile& operator=(LockedFile&& other) noexcept;
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;
  ~LockedFile();

  /// Bytes that it has now.
  Result<std::uint64_t> size() const;
  /// Makes it `bytes` long at least, with room for all of them on the disk, and both lasting: a later write() in it
  /// finds no full disk. Fails with the file as it was.
  Status reserve(std::uint64_t bytes);
  /// Reads; beyond its end are zeros.
  Status read(std::uint64_t offset, std::span<std::byte> bytes) const;
  Status write(std::uint64_t offset, std::span<const std::byte> bytes);
  /// Makes it end here.
  Status cut(std::uint64_t bytes);
  /// Returns when what was written is on the disk. Fails if the file has lost its name, so that nobody will find it.
  Status sync();

  const Text& name() const { return name_; }  ///< the path, for messages

 private:
  Text name_;
  int descriptor_ = -1;
  bool had_name_ = false;  // a file in memory has none
};

}  // namespace rill
