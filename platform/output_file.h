#pragma once
// Files that are either whole or absent: written without a name, flushed to the disk, then named.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "platform/status.h"

namespace rill {

/// A file being written. Until commit() returns Ok nothing stands under its name (or what stood there before still
/// does); destroyed without commit(), it leaves nothing behind. Every error names the path and the system's reason.
class OutputFile {
 public:
  /// Creates a file without a name in the path's folder, so that whatever ends the process leaves nothing behind; where
  /// the file system knows none, "PATH.partial-PID". A symbolic link stays, and what it leads to is replaced. kFailed
  /// for what is there and is no regular file: a device would be replaced.
  static Result<OutputFile> create(std::string_view path);

  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  /// Appends bytes. They reach the file in large pieces: an error may be about those of an earlier call. After an error
  /// of any call the file can only be destroyed.
  Status write(std::span<const std::byte> bytes);
  /// Overwrites bytes at an offset that lies in what has been written; whatever was appended before reaches the file.
  Status write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  /// Bytes appended so far.
  std::uint64_t size() const { return size_; }
  /// Where this process can open what has reached the file, before commit() gives it its name.
  std::string unfinished_path() const;
  /// What is appended next goes there, over what was written; all of it has to be written again before commit().
  Status rewind(std::uint64_t offset);
  /// fsync, rename to the path, fsync of its folder. Call once, last.
  Status commit();

 private:
  OutputFile(std::string path, std::string partial_path, int descriptor, bool has_name);
  Status flush();

  std::string path_;
  std::string partial_path_;
  int descriptor_;
  bool has_name_;  // partial_path_ is there
  std::uint64_t size_ = 0;
  std::vector<std::byte> pending_;  // the last of them, which are not yet in the file
};

}  // namespace rill
