// Saved states on the disk: whatever is cut off, flipped or foreign, a whole state is found, or a sentence.

#include "core/state_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "core/checksum.h"
#include "core/model_format.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/scratch_directory.h"

namespace rill {
namespace {

constexpr std::size_t kPayload = 9000;
constexpr std::size_t kSlot = 12288;

StateIdentity identity() {
  StateIdentity identity;
  format::put_name(identity.purpose, "chat");
  format::put_name(identity.policy, "stream");
  format::put_name(identity.model, "a.rill");
  identity.sinks = 4;
  identity.window = 60;
  identity.model_bytes = 1000;
  identity.model_crc32 = 77;
  return identity;
}

std::string read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_all(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

class StateFileTest : public testing::Test {
 protected:
  /// The payload of the n-th save: different in each of its bytes from those of its neighbours.
  static std::vector<std::byte> payload(unsigned n) {
    std::vector<std::byte> bytes(kPayload);
    for (std::size_t i = 0; i < kPayload; ++i) bytes[i] = static_cast<std::byte>(n * 37U + i % 31 + 1);
    return bytes;
  }
  Result<StateFile> open(const StateIdentity& as = identity()) { return StateFile::open(path_, as, kPayload, slot_); }
  Status save(StateFile& file, unsigned n) {
    const std::vector<std::byte> bytes = payload(n);
    std::memcpy(StateFile::payload_of(slot_).data(), bytes.data(), kPayload);
    return file.write(slot_);
  }
  /// Which save the slot holds; 0 if none of the first nine.
  unsigned found_save() const {
    for (unsigned n = 1; n < 10; ++n) {
      if (std::memcmp(slot_.data() + StateFile::kHeaderBytes, payload(n).data(), kPayload) == 0) return n;
    }
    return 0;
  }
  /// A file with this many saves. @returns its bytes
  std::string make(unsigned saves) {
    std::filesystem::remove(path_);
    Result<StateFile> file = open();
    EXPECT_TRUE(file.ok()) << file.status().message();
    for (unsigned n = 1; n <= saves; ++n) EXPECT_TRUE(save(*file, n).ok());
    return read_all(path_);
  }
  /// Opens what these bytes are. @returns the save found, 0 for a beginning, -1 for a refusal that left the file alone
  int open_bytes(const std::string& bytes) {
    std::filesystem::remove(path_);
    write_all(path_, bytes);
    std::ranges::fill(slot_, std::byte{0xee});
    const Result<StateFile> file = open();
    if (!file.ok()) {
      EXPECT_EQ(file.status().code(), Code::kBadInput) << file.status().message();
      EXPECT_EQ(read_all(path_), bytes) << "a refused file is left alone";
      return -1;
    }
    notice_ = file->notice().view();
    if (!file->found()) return 0;
    const unsigned save = found_save();
    EXPECT_EQ(file->generation(), save);
    return static_cast<int>(save);
  }

  ScratchDirectory scratch_;
  std::string path_ = scratch_.file("talk.state");
  std::vector<std::byte> slot_ = std::vector<std::byte>(kSlot);
  std::string notice_;
};

TEST_F(StateFileTest, GivesBackTheLastSaveAndNeverGrows) {
  for (unsigned saves = 0; saves < 6; ++saves) {
    const std::string bytes = make(saves);
    EXPECT_EQ(bytes.size(), 2 * kSlot);
    EXPECT_EQ(open_bytes(bytes), static_cast<int>(saves));
    EXPECT_EQ(notice_, "") << saves;
  }
}

TEST_F(StateFileTest, GoesOnAfterItWasOpenedAgain) {
  for (unsigned n = 1; n < 8; ++n) {
    Result<StateFile> file = open();
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(file->found(), n > 1);
    EXPECT_EQ(n > 1 ? found_save() : 0, n - 1);
    ASSERT_TRUE(save(*file, n).ok());
  }
}

TEST_F(StateFileTest, BelongsToItsOwnerAlone) {
  make(1);
  struct stat facts {};
  ASSERT_EQ(::stat(path_.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0600U);
}

TEST_F(StateFileTest, ASaveThatIsCutOffAnywhereLeavesTheOneBeforeIt) {
  for (unsigned saves = 2; saves < 5; ++saves) {
    const std::string before = make(saves - 1);
    const std::string after = make(saves);
    const std::size_t slot = saves % 2 == 1 ? 0 : kSlot;
    std::size_t whole = 0;
    for (std::size_t cut = 0; cut <= kSlot; cut += 512) {  // sectors: a header is written whole or not at all
      for (const bool from_the_end : {false, true}) {
        std::string torn = before;
        const std::size_t first = from_the_end ? kSlot - cut : 0;
        torn.replace(slot + first, cut, after, slot + first, cut);
        const int found = open_bytes(torn);
        if (found == static_cast<int>(saves)) {
          ++whole;
          EXPECT_EQ(notice_, "");
        } else {
          EXPECT_EQ(found, static_cast<int>(saves) - 1) << "cut at " << cut;
          EXPECT_EQ(notice_ == "", torn == before) << saves << " cut at " << cut << from_the_end;
        }
      }
    }
    EXPECT_GE(whole, 2U);
  }
}

TEST_F(StateFileTest, TheFirstSaveThatIsCutOffLeavesABeginning) {
  const std::string before = make(0);
  const std::string after = make(1);
  for (std::size_t cut = 512; cut < kPayload; cut += 512) {
    std::string torn = before;
    torn.replace(0, cut, after, 0, cut);
    EXPECT_EQ(open_bytes(torn), 0) << cut;
    EXPECT_NE(notice_.find("its first save was cut off"), std::string::npos) << notice_;
    torn = before;
    torn.replace(cut, kSlot - cut, after, cut, kSlot - cut);  // the payload came before the header
    EXPECT_EQ(open_bytes(torn), 0) << cut;
  }
}

TEST_F(StateFileTest, AFileWhoseMakingWasCutOffIsANewOne) {
  const std::string made = make(0);
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{511}, std::size_t{512}, kSlot, 2 * kSlot}) {
    EXPECT_EQ(open_bytes(std::string(size, '\0')), 0) << size;
    EXPECT_EQ(read_all(path_), made) << size;
  }
  for (const std::size_t slot : {std::size_t{0}, kSlot}) {
    std::string half = made;
    half.replace(slot, 512, 512, '\0');
    EXPECT_EQ(open_bytes(half), 0);
    EXPECT_EQ(read_all(path_), made);
  }
}

TEST_F(StateFileTest, CutToAnyLengthItGivesOneOfItsTwoSavesOrARefusal) {
  for (unsigned saves = 1; saves < 5; ++saves) {
    const std::string bytes = make(saves);
    for (std::size_t size = 1; size < bytes.size(); size += size % 512 < 2 || size % 512 > 509 ? 1 : 127) {
      const int found = open_bytes(bytes.substr(0, size));
      const int in_a = saves % 2 == 1 ? static_cast<int>(saves) : static_cast<int>(saves) - 1;
      if (size >= StateFile::kHeaderBytes + kPayload) {
        EXPECT_TRUE(found == in_a || found == static_cast<int>(saves)) << found << " in " << size << " bytes";
        EXPECT_NE(notice_, "");
      } else {
        EXPECT_EQ(found, -1) << size;
      }
    }
  }
}

TEST_F(StateFileTest, WithFlippedBitsItGivesTheLastSaveTheOneBeforeOrARefusalOfNothing) {
  std::mt19937 random(1);
  for (unsigned saves = 1; saves < 4; ++saves) {
    const std::string bytes = make(saves);
    for (int round = 0; round < 700; ++round) {
      std::string flipped = bytes;
      const int flips = 1 + static_cast<int>(random() % 3);
      for (int i = 0; i < flips; ++i) {
        // Half of them in the headers, where they matter most.
        const std::size_t at = random() % 2 == 0 ? random() % 512 + (random() % 2) * kSlot : random() % flipped.size();
        flipped[at] = static_cast<char>(flipped[at] ^ (1 << random() % 8));
      }
      const int found = open_bytes(flipped);
      EXPECT_TRUE(found == static_cast<int>(saves) || found == static_cast<int>(saves) - 1 || found == -1) << found;
    }
  }
}

TEST_F(StateFileTest, WithOneFlippedBitItGivesTheLastSaveOrTheOneBefore) {
  std::mt19937 random(2);
  const std::string bytes = make(3);
  for (int round = 0; round < 1000; ++round) {
    std::string flipped = bytes;
    const std::size_t at = round % 2 == 0 ? random() % 512 + (random() % 2) * kSlot : random() % flipped.size();
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << random() % 8));
    const int found = open_bytes(flipped);
    EXPECT_TRUE(found == 3 || found == 2) << found << ", byte " << at;
  }
}

TEST_F(StateFileTest, OfFilesThatAreNoneOfOursNotAByteIsTouched) {
  EXPECT_EQ(open_bytes("my diary"), -1);
  EXPECT_EQ(open_bytes(std::string(3 * kSlot, 'x')), -1);
  EXPECT_EQ(open_bytes(std::string(3 * kSlot, '\0')), -1) << "zeros, but more of them than we would have made";
  EXPECT_EQ(open_bytes(std::string(5000, '\0').append("a disk image begins with zeros")), -1);
}

TEST_F(StateFileTest, AStateOfAnotherRunIsRefusedByName) {
  const std::string bytes = make(3);
  const auto expect = [&](const StateIdentity& other, std::string_view what) {
    const Result<StateFile> file = open(other);
    ASSERT_FALSE(file.ok()) << what;
    EXPECT_EQ(file.status().code(), Code::kBadInput);
    EXPECT_NE(file.status().message().find(what), std::string_view::npos) << file.status().message();
    EXPECT_EQ(read_all(path_), bytes);
  };
  StateIdentity other = identity();
  format::put_name(other.purpose, "perplexity");
  expect(other, "a state of `rill chat`, expected one of `rill perplexity`");
  other = identity();
  other.model_crc32 = 78;
  expect(other, "a state of another model, a.rill of 1000 bytes");
  other = identity();
  other.window = 61;
  expect(other, "a state of policy stream with 4 sinks and window 60, expected stream, 4 sinks, window 61");
  other = identity();
  format::put_name(other.policy, "window");
  expect(other, "a state of policy stream");
}

TEST_F(StateFileTest, AStateOfAnotherVersionIsRefusedByName) {
  std::string bytes = make(3);
  for (const std::size_t slot : {std::size_t{0}, kSlot}) {
    const std::uint32_t version = 9;
    std::uint32_t checksum = 0;
    bytes.replace(slot + 8, 4, reinterpret_cast<const char*>(&version), 4);
    bytes.replace(slot + 12, 4, reinterpret_cast<const char*>(&checksum), 4);
    checksum = crc32(std::as_bytes(std::span(bytes).subspan(slot, 512)));
    bytes.replace(slot + 12, 4, reinterpret_cast<const char*>(&checksum), 4);
  }
  EXPECT_EQ(open_bytes(bytes), -1);
  EXPECT_NE(open().status().message().find("a state of version 9, expected version 2"), std::string_view::npos);
}

TEST_F(StateFileTest, IsOpenInOneProcessAtATime) {
  make(1);
  {
    const Result<StateFile> first = open();
    ASSERT_TRUE(first.ok());
    std::vector<std::byte> slot(kSlot);
    const Result<StateFile> second = StateFile::open(path_, identity(), kPayload, slot);
    EXPECT_EQ(second.status().code(), Code::kFailed);
    EXPECT_NE(second.status().message().find("another process has locked it"), std::string_view::npos);
  }
  EXPECT_TRUE(open().ok()) << "the lock goes with the file";
}

TEST_F(StateFileTest, ThatIsReadOnlyOrNoFileSaysSo) {
  make(1);
  ASSERT_EQ(::chmod(path_.c_str(), 0400), 0);
  EXPECT_EQ(open().status().code(), Code::kFailed);
  EXPECT_NE(open().status().message().find("read-only"), std::string_view::npos);
  path_ = scratch_.file("absent/talk.state");
  EXPECT_EQ(open().status().code(), Code::kFailed);
  path_ = "/dev/null";
  EXPECT_EQ(open().status().code(), Code::kBadInput);
  EXPECT_NE(open().status().message().find("no regular file"), std::string_view::npos);
}

TEST_F(StateFileTest, AFullDiskIsFoundAtOnceAndLeavesAnEmptyFile) {
  {
    const FileSizeLimit limit(kSlot + 100);
    const Result<StateFile> file = open();
    EXPECT_EQ(file.status().code(), Code::kFailed);
    EXPECT_NE(file.status().message().find("taking its room on the disk failed"), std::string_view::npos)
        << file.status().message();
  }
  EXPECT_EQ(std::filesystem::file_size(path_), 0U);
  EXPECT_TRUE(open().ok()) << "there is room again";
}

TEST_F(StateFileTest, ASaveThatTheDiskRefusesIsSaidAndTheOneBeforeItStays) {
  make(2);
  {
    Result<StateFile> file = open();
    ASSERT_TRUE(file.ok());
    const FileSizeLimit limit(1000);  // slot A, which is next
    const Status status = save(*file, 3);
    EXPECT_EQ(status.code(), Code::kFailed);
    EXPECT_NE(status.message().find("writing failed"), std::string_view::npos) << status.message();
  }
  const Result<StateFile> file = open();
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(found_save(), 2U);
  EXPECT_NE(file->notice().view().find("a slot is damaged"), std::string_view::npos);
}

}  // namespace
}  // namespace rill
