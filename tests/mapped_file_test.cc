#include "platform/mapped_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "platform/output_file.h"
#include "platform/process_memory.h"
#include "tests/support/scratch_directory.h"

namespace rill {
namespace {

/// @returns whether some of a mapping of the file is on huge pages
bool is_mapped_by_huge_pages(const std::string& path) {
  const Result<MappedFile> file = MappedFile::open(path);
  if (!file.ok()) return false;
  file->prefault();
  return huge_page_bytes(file->bytes()) > 0;
}

/// By one call of the system.
bool write_at_once(const std::string& path, std::span<const std::byte> bytes) {
  const int file = ::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
  const bool is_whole = ::write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  ::close(file);
  return is_whole;
}

Status write_in_small_pieces(const std::string& path, std::span<const std::byte> bytes) {
  RILL_ASSIGN(OutputFile file, OutputFile::create(path));
  constexpr std::size_t kPiece = 8192;
  for (std::size_t at = 0; at < bytes.size(); at += kPiece) RILL_TRY(file.write(bytes.subspan(at, kPiece)));
  return file.commit();
}

TEST(MappedFile, OfWhatWasWrittenInSmallPiecesHasHugePages) {
  const ScratchDirectory scratch;
  const std::vector<std::byte> bytes(std::size_t{8} << 20U, std::byte{1});
  const auto system_gives_them = [&](const char* name) {
    return write_at_once(scratch.file(name), bytes) && is_mapped_by_huge_pages(scratch.file(name));
  };
  if (!system_gives_them("before")) GTEST_SKIP() << "this kernel or file system gives files no huge pages";
  ASSERT_TRUE(write_in_small_pieces(scratch.file("in pieces"), bytes).ok());
  const bool has_them = is_mapped_by_huge_pages(scratch.file("in pieces"));
  if (!has_them && !system_gives_them("after")) GTEST_SKIP() << "this machine has run out of huge pages";
  EXPECT_TRUE(has_them);
}

}  // namespace
}  // namespace rill
