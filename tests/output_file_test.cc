#include "platform/output_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "tests/support/file_size_limit.h"
#include "tests/support/scratch_directory.h"

namespace rill {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// So that a part of it has reached the file.
std::string more_than_a_piece() { return std::string(3'000'000, '?'); }

TEST(OutputFile, AppearsWholeOrNotAtAll) {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("x");
  {
    Result<OutputFile> file = OutputFile::create(path);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->write(bytes_of(more_than_a_piece())).ok());
    EXPECT_FALSE(std::filesystem::exists(path));
  }
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path())) << "something was left behind";
  Result<OutputFile> file = OutputFile::create(path);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(file->write(bytes_of("0123456789")).ok());
  ASSERT_TRUE(file->write_at(2, bytes_of("ab")).ok());
  ASSERT_TRUE(file->commit().ok());
  EXPECT_EQ(content(path), "01ab456789");
}

TEST(OutputFile, CanBeReadAndWrittenAnewBeforeItHasItsName) {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("x");
  Result<OutputFile> file = OutputFile::create(path);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(file->write(bytes_of("???? draft")).ok());
  ASSERT_TRUE(file->write_at(0, bytes_of("head")).ok());
  EXPECT_EQ(content(file->unfinished_path()), "head draft");
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_TRUE(file->rewind(5).ok());
  EXPECT_EQ(file->size(), 5U);
  ASSERT_TRUE(file->write(bytes_of("final")).ok());
  ASSERT_TRUE(file->commit().ok());
  EXPECT_EQ(content(path), "head final");
}

/// kill -9 and a power cut call no destructor.
TEST(OutputFile, LeavesNothingBehindWhenTheProcessEnds) {
  const ScratchDirectory scratch;
  const pid_t child = ::fork();
  if (child == 0) {
    Result<OutputFile> file = OutputFile::create(scratch.file("x"));
    ::_exit(file.ok() && file->write(bytes_of(more_than_a_piece())).ok() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path())) << "or this file system has no files without names";
}

TEST(OutputFile, ReplacesNoDeviceAndNoLink) {
  const ScratchDirectory scratch;
  ASSERT_EQ(::mkfifo(scratch.file("pipe").c_str(), 0600), 0);
  std::filesystem::create_symlink("absent", scratch.file("dangling"));
  std::filesystem::create_symlink("loop", scratch.file("loop"));
  int ends[2] = {-1, -1};
  ASSERT_EQ(::pipe(ends), 0);  // as standard output may be, to which /dev/stdout leads
  std::filesystem::create_symlink("/proc/self/fd/" + std::to_string(ends[1]), scratch.file("to a pipe"));
  for (const std::string& path : {std::string("/dev/null"), scratch.file("pipe"), scratch.path(),
                                  scratch.file("dangling"), scratch.file("loop"), scratch.file("to a pipe")}) {
    EXPECT_EQ(OutputFile::create(path).status().code(), Code::kFailed) << path;
  }
  ::close(ends[0]);
  ::close(ends[1]);
  std::ofstream(scratch.file("target")) << "old";
  std::filesystem::create_symlink("target", scratch.file("link"));
  Result<OutputFile> file = OutputFile::create(scratch.file("link"));
  ASSERT_TRUE(file.ok() && file->write(bytes_of("new")).ok() && file->commit().ok());
  EXPECT_TRUE(std::filesystem::is_symlink(scratch.file("link")));
  EXPECT_EQ(content(scratch.file("target")), "new");
}

TEST(OutputFile, LeavesTheOldFileUntilTheNewOneIsWhole) {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("x");
  std::ofstream(path) << "old";
  {
    Result<OutputFile> file = OutputFile::create(path);
    ASSERT_TRUE(file.ok() && file->write(bytes_of(more_than_a_piece())).ok());
    EXPECT_EQ(content(path), "old");
  }
  EXPECT_EQ(content(path), "old");
}

TEST(OutputFile, SaysWhyItCannotBeMade) {
  const Result<OutputFile> file = OutputFile::create("/nonexistent/folder/x");
  ASSERT_FALSE(file.ok());
  EXPECT_NE(file.status().message().find("No such file or directory"), std::string_view::npos);
}

TEST(OutputFile, ReplacesTheOldFileWhenItIsCommittedAndLeavesNothingElse) {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("x");
  std::ofstream(path) << "a longer old file";
  Result<OutputFile> file = OutputFile::create(path);
  ASSERT_TRUE(file.ok() && file->write(bytes_of("new")).ok());
  ASSERT_TRUE(file->commit().ok());
  EXPECT_EQ(content(path), "new");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(scratch.path()), {}), 1);
}

TEST(OutputFile, CountsWhatIsAppendedAndMovesWithItsBytes) {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("x");
  {
    Result<OutputFile> created = OutputFile::create(path);
    ASSERT_TRUE(created.ok() && created->write(bytes_of("abc")).ok());
    OutputFile file(std::move(*created));
    EXPECT_EQ(file.size(), 3U);
    ASSERT_TRUE(file.write_at(0, bytes_of("A")).ok());
    EXPECT_EQ(file.size(), 3U) << "overwriting appends nothing";
    ASSERT_TRUE(file.write({}).ok());
    ASSERT_TRUE(file.write(bytes_of("def")).ok());
    EXPECT_EQ(file.size(), 6U);
    ASSERT_TRUE(file.commit().ok());
  }
  EXPECT_EQ(content(path), "Abcdef") << "destroying a committed file takes nothing away";
}

/// Bytes go to the system in pieces of 2 MiB, whatever the pieces are in which they are appended.
TEST(OutputFile, HoldsWhatWasAppendedHoweverItWasCut) {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("x");
  std::string all(7'000'003, '\0');
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<char>(i * 2'654'435'761U >> 13U);
  const std::string_view view = all;
  Result<OutputFile> file = OutputFile::create(path);
  ASSERT_TRUE(file.ok());
  std::size_t at = 0;
  for (const std::size_t piece : {1U, 2'097'151U, 1U, 2'097'151U, 5U, 2'500'000U}) {
    ASSERT_TRUE(file->write(bytes_of(view.substr(at, piece))).ok());
    at += piece;
    ASSERT_EQ(file->size(), at);
    if (piece == 5) {
      ASSERT_TRUE(file->write_at(at - 3, bytes_of("!!!")).ok());
      at -= 4;
      ASSERT_TRUE(file->rewind(at).ok());
    }
  }
  while (at < all.size()) {
    const std::string_view piece = view.substr(at, 9'973);
    ASSERT_TRUE(file->write(bytes_of(piece)).ok());
    at += piece.size();
  }
  ASSERT_TRUE(file->commit().ok());
  EXPECT_TRUE(content(path) == all);
}

/// What was appended waits for its piece: whichever call brings it to the file says that there is no room.
TEST(OutputFile, SaysThatTheDiskIsFullAtTheLatestWhenItIsCommitted) {
  const ScratchDirectory scratch;
  const auto fails = [&](const char* which, auto call) {
    const std::string path = scratch.file("x");
    Result<OutputFile> file = OutputFile::create(path);
    ASSERT_TRUE(file.ok());
    const FileSizeLimit limit(1000);
    ASSERT_TRUE(file->write(bytes_of(std::string(1001, '?'))).ok()) << which;
    const Status status = call(*file);
    EXPECT_EQ(status.code(), Code::kFailed) << which;
    EXPECT_NE(status.message().find("File too large"), std::string_view::npos) << which << ": " << status.message();
  };
  fails("commit", [](OutputFile& file) { return file.commit(); });
  fails("write_at", [](OutputFile& file) { return file.write_at(0, bytes_of("!")); });
  fails("rewind", [](OutputFile& file) { return file.rewind(5); });
  fails("write", [](OutputFile& file) { return file.write(bytes_of(more_than_a_piece())); });
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

TEST(OutputFile, ThatCannotTakeItsNameSaysSoAndLeavesNothing) {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("folder");
  ASSERT_TRUE(std::filesystem::create_directory(path));
  std::ofstream(path + "/kept") << "kept";
  const Status status = OutputFile::create(path).status();
  EXPECT_EQ(status.code(), Code::kFailed);
  EXPECT_TRUE(status.message().starts_with(path)) << status.message();
  EXPECT_EQ(content(path + "/kept"), "kept");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(scratch.path()), {}), 1);
}

}  // namespace
}  // namespace rill
