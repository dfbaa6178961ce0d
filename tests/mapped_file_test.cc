#include "platform/mapped_file.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "platform/output_file.h"
#include "platform/process_memory.h"
#include "tests/support/scratch_directory.h"

namespace rill {
namespace {

/// @returns how much of a mapping of the file is on large pages; 0 if it cannot be mapped
std::uint64_t mapped_on_huge_pages(const std::string& path) {
  const Result<MappedFile> file = MappedFile::open(path, Prefault::kYes);
  return file.ok() ? huge_page_bytes(file->bytes()) : 0;
}

TEST(MappedFile, OfWhatWasWrittenInSmallPiecesHasLargePages) {
  const ScratchDirectory scratch;
  const std::vector<std::byte> all(std::size_t{8} << 20U, std::byte{1});
  {
    std::ofstream at_once(scratch.file("at once"), std::ios::binary);
    at_once.rdbuf()->pubsetbuf(nullptr, 0);
    at_once.write(reinterpret_cast<const char*>(all.data()), static_cast<std::streamsize>(all.size()));
  }
  if (mapped_on_huge_pages(scratch.file("at once")) == 0) GTEST_SKIP() << "this file system or kernel gives none";

  const std::string path = scratch.file("in pieces");
  Result<OutputFile> file = OutputFile::create(path);
  ASSERT_TRUE(file.ok());
  for (std::size_t at = 0; at < all.size(); at += 8192) {
    ASSERT_TRUE(file->write(std::span(all).subspan(at, 8192)).ok());
  }
  ASSERT_TRUE(file->commit().ok());
  EXPECT_GT(mapped_on_huge_pages(path), 0U);
}

}  // namespace
}  // namespace rill
