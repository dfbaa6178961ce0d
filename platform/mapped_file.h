#pragma once
// A file's bytes, read-only, without a copy.

#include <cstddef>
#include <span>
#include <string_view>

#include "platform/status.h"

namespace rill {

/// A whole file mapped read-only. Owns the mapping; views of bytes() end with it.
class MappedFile {
 public:
  /// kBadInput with the system's reason if the file cannot be opened, is no regular file, or is larger than any address
  /// space; kFailed if the system lacks the memory or the descriptors at the moment. An empty file maps to an empty
  /// span.
  static Result<MappedFile> open(std::string_view path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }
  /// The path as given to open(), for messages; cut if it is very long.
  std::string_view name() const { return name_.view(); }
  /// Reads all pages now, and not each when it is first touched: on huge pages, where the system gives them and nothing
  /// was touched before.
  void prefault() const;
  /// Tells the system that these pages are not needed soon (a converter's way through a file larger than RAM, a model
  /// whose engine ends). They come back when they are read.
  void forget_pages() const;

 private:
  std::span<const std::byte> bytes_;
  Text name_;
};

}  // namespace rill
