// The .rill file: what was written is what is read, and whatever else stands in it is refused with a sentence.

#include "core/model_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/checksum.h"
#include "core/config_section.h"
#include "quant/packed_matrix.h"
#include "quant/quantizer.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/synthetic_model.h"

namespace rill {
namespace {

using format::FileHeader;
using format::SectionEntry;
using format::TensorEntry;

/// A whole file in memory, with its checksums mended on demand: so that a check behind them is reached.
class FileImage {
 public:
  FileImage() {
    static const std::string all = write();
    size_ = all.size();
    words_.resize(size_ / 8 + 16);
    std::memcpy(words_.data(), all.data(), size_);
    const std::size_t misaligned = reinterpret_cast<std::uintptr_t>(words_.data()) % 64;
    shift_ = misaligned == 0 ? 0 : 64 - misaligned;
    std::memmove(data(), words_.data(), size_);
  }

  std::byte* data() { return reinterpret_cast<std::byte*>(words_.data()) + shift_; }
  std::size_t size() const { return size_; }
  FileHeader& header() { return *reinterpret_cast<FileHeader*>(data()); }
  std::span<SectionEntry> sections() {
    return {reinterpret_cast<SectionEntry*>(data() + sizeof(FileHeader)), header().section_count};
  }
  SectionEntry& section(format::Section which) { return sections()[static_cast<std::size_t>(which)]; }
  std::span<TensorEntry> tensors() {
    const SectionEntry& entry = section(format::Section::kTensors);
    return {reinterpret_cast<TensorEntry*>(data() + entry.offset), entry.stored_bytes / sizeof(TensorEntry)};
  }
  /// Makes every checksum hold that the mutation has not put out of reach.
  void mend() {
    if (header().section_count == 5) {
      SectionEntry& tensors = section(format::Section::kTensors);
      if (tensors.offset + tensors.stored_bytes <= size_)
        tensors.crc32 = crc32({data() + tensors.offset, tensors.stored_bytes});
    }
    mend_table();
  }
  void mend_table() {
    if (header().section_count <= 5) header().table_crc32 = crc32(std::as_bytes(sections()));
    header().header_crc32 = crc32({data(), offsetof(FileHeader, header_crc32)});
  }
  Result<ModelFile> view(std::size_t bytes) { return ModelFile::view({data(), bytes}, "m.rill"); }
  Result<ModelFile> view() { return view(size_); }

 private:
  static std::string write() {
    const ScratchDirectory scratch;
    const SyntheticModel source(SyntheticModel::small_config());
    const std::string chat = "form: chatml\nsystem: Be kind.";
    const std::vector<std::byte> tokenizer(1000, std::byte{7});  // what is in it is the tokenizer's to check
    const auto report =
        quant::quantize(source, scratch.file("m.rill"),
                        {.tokenizer_section = tokenizer, .chat_section = std::as_bytes(std::span(chat))});
    EXPECT_TRUE(report.ok()) << report.status().message();
    std::ifstream file(scratch.file("m.rill"), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::vector<std::uint64_t> words_;
  std::size_t shift_ = 0;
  std::size_t size_ = 0;
};

/// Expects a refusal that begins with the file's name; returns its sentence.
std::string expect_refused(const Result<ModelFile>& file, const std::string& about) {
  EXPECT_FALSE(file.ok()) << about;
  if (file.ok()) return {};
  EXPECT_EQ(file.status().code(), Code::kBadInput) << about;
  std::string sentence(file.status().message());
  EXPECT_EQ(sentence.rfind("m.rill", 0), 0U) << about << ": " << sentence;
  return sentence;
}

TEST(ModelFile, HoldsWhatTheSourceHadWithinHalfAScaleStep) {
  const ScratchDirectory scratch;
  const SyntheticModel source(SyntheticModel::small_config());
  quant::QuantizeOptions options;
  options.calibrates = false;
  ASSERT_TRUE(quant::quantize(source, scratch.file("m.rill"), options).ok());
  const Result<ModelFile> file = ModelFile::open(scratch.file("m.rill"));
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->config(), source.config());
  EXPECT_TRUE(file->verify().ok());
  SyntheticModel copy(SyntheticModel::small_config());
  const TensorView down = file->tensor(format::kDown, 1);
  ASSERT_TRUE(down);
  std::vector<float> row(80);
  for (std::size_t r = 0; r < 48; ++r) {
    quant::unpack_row(down.bytes.subspan(r / 16 * down.tiles().block_bytes()), down.tiles(), r % 16, row);
    for (std::size_t c = 0; c < 80; ++c) {
      const float expected = copy.values("down.1")[r * 80 + c];
      EXPECT_NEAR(row[c], expected, 1.0F / 127 * 0.75F) << r << ", " << c;  // |w| < 1 or so: a step is below 1/127
    }
  }
}

TEST(ModelFile, CutOffAnywhereIsRefused) {
  FileImage image;
  ASSERT_TRUE(image.view().ok());
  std::set<std::size_t> cuts = {0, 1, 8, 63, 64, image.size() - 1};
  for (const SectionEntry& entry : image.sections()) {
    for (const std::uint64_t border : {entry.offset, entry.offset + entry.stored_bytes}) {
      for (const int around : {-1, 0, 1})
        cuts.insert(static_cast<std::size_t>(border) + static_cast<std::size_t>(around));
    }
  }
  for (const std::size_t cut : cuts) {
    if (cut >= image.size()) continue;
    const std::string sentence = expect_refused(image.view(cut), "cut at " + std::to_string(cut));
    if (cut >= sizeof(FileHeader)) {
      EXPECT_NE(sentence.find(std::to_string(image.size() - cut) + " bytes are missing"), std::string::npos)
          << sentence;
    }
  }
}

TEST(ModelFile, ANewerAndAnOlderVersionAreNamedWithTheOneThatIsRead) {
  const std::string read = "version " + std::to_string(format::kVersion);
  for (const std::uint32_t version : {format::kVersion + 1, format::kVersion - 1}) {
    FileImage image;
    image.header().version = version;
    image.mend();
    const std::string sentence = expect_refused(image.view(), "version " + std::to_string(version));
    EXPECT_NE(sentence.find("version " + std::to_string(version)), std::string::npos);
    EXPECT_NE(sentence.find(read), std::string::npos);
  }
}

TEST(ModelFile, EveryWordOfHeaderAndTablesIsCheckedOnceItsChecksumHolds) {
  FileImage original;
  struct Range {
    std::size_t begin;
    std::size_t end;
    const char* name;
  };
  const std::size_t tensors = original.section(format::Section::kTensors).offset;
  const Range ranges[] = {{8, offsetof(FileHeader, table_crc32), "header"},
                          {offsetof(FileHeader, reserved), offsetof(FileHeader, header_crc32), "header, reserved"},
                          {sizeof(FileHeader), sizeof(FileHeader) + original.sections().size_bytes(), "section table"},
                          {tensors, tensors + 3 * sizeof(TensorEntry), "tensor table"}};
  std::set<std::string> sentences;
  for (const Range& range : ranges) {
    for (std::size_t at = range.begin; at < range.end; at += 4) {
      for (const std::uint32_t hostile : {0xffffffffU, 0x80000000U, 0x7fffffffU, 1U, 0U}) {
        FileImage image;
        std::uint32_t before = 0;
        std::memcpy(&before, image.data() + at, 4);
        if (before == hostile) continue;
        std::memcpy(image.data() + at, &hostile, 4);
        if (std::string_view(range.name) == "section table") {
          image.mend_table();
        } else {
          image.mend();
        }
        const Result<ModelFile> file = image.view();
        if (file.ok()) {  // the one thing that only verify() reads: a tensor's, or the weights', checksum
          EXPECT_FALSE(file->verify().ok()) << range.name << " at " << at << " = " << hostile;
        } else {
          sentences.insert(expect_refused(file, std::string(range.name) + " at " + std::to_string(at)));
        }
      }
    }
  }
  EXPECT_GT(sentences.size(), 60U) << "sentences that name what they found";
}

TEST(ModelFile, OverlappingSectionsAndTensorsAreRefused) {
  {
    FileImage image;
    image.section(format::Section::kTokenizer).offset = image.section(format::Section::kTensors).offset;
    image.mend();
    EXPECT_NE(expect_refused(image.view(), "sections").find("overlaps"), std::string::npos);
  }
  FileImage image;
  image.tensors()[3].offset = image.tensors()[2].offset;
  image.mend();
  EXPECT_NE(expect_refused(image.view(), "tensors").find("overlaps"), std::string::npos);
}

TEST(ModelFile, AFlippedBitInAnySectionIsFound) {
  FileImage original;
  for (std::size_t s = 0; s < original.sections().size(); ++s) {
    FileImage image;
    const SectionEntry& entry = image.sections()[s];
    image.data()[entry.offset + entry.stored_bytes / 2] ^= std::byte{4};
    const Result<ModelFile> file = image.view();
    if (s == static_cast<std::size_t>(format::Section::kWeights)) {
      ASSERT_TRUE(file.ok()) << "weights are not read at open";
      const Status status = file->verify();
      EXPECT_EQ(status.code(), Code::kBadInput);
      EXPECT_NE(status.message().find("checksum"), std::string_view::npos) << status.message();
    } else {
      EXPECT_NE(expect_refused(file, "section " + std::to_string(s)).find("checksum"), std::string::npos);
    }
  }
}

TEST(ModelFile, RandomDamageNeverGetsFurtherThanASentence) {
  std::mt19937 generator(7);
  FileImage image;
  std::vector<std::byte> intact(image.data(), image.data() + image.size());
  for (int round = 0; round < 2000; ++round) {
    std::memcpy(image.data(), intact.data(), intact.size());
    // Half of the flips in the first 2 KB, where the tables are, and with mended checksums.
    const std::size_t reach = round % 2 == 0 ? std::min<std::size_t>(2048, image.size()) : image.size();
    for (int flips = 0; flips < 3; ++flips)
      image.data()[generator() % reach] ^= static_cast<std::byte>(1U << (generator() % 8));
    if (round % 2 == 0) image.mend();
    if (const Result<ModelFile> file = image.view(); file.ok()) (void)file->verify().ok();
  }
}

TEST(ConfigSection, EveryFieldIsNeededOnceAndInItsRange) {
  const Text where = text("m.rill, section config");
  const ModelConfig config = SyntheticModel::small_config();
  const std::vector<format::ConfigEntry> good = make_config_section(config);
  const auto read = [&](const std::vector<format::ConfigEntry>& entries) {
    return read_config_section(std::as_bytes(std::span(entries)), where);
  };
  ASSERT_TRUE(read(good).ok());
  EXPECT_EQ(*read(good), config);
  std::set<std::string> sentences;
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const std::uint64_t hostile :
         {~std::uint64_t{0}, std::bit_cast<std::uint64_t>(1e300), std::bit_cast<std::uint64_t>(-1.0),
          std::bit_cast<std::uint64_t>(std::numeric_limits<double>::quiet_NaN())}) {
      auto entries = good;
      entries[i].bits = hostile;
      const auto result = read(entries);
      EXPECT_EQ(result.status().code(), Code::kBadInput) << good[i].name;
      sentences.insert(std::string(result.status().message()));
      EXPECT_NE(result.status().message().find(good[i].name), std::string_view::npos) << result.status().message();
    }
    auto missing = good;
    missing.erase(missing.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_FALSE(read(missing).ok()) << good[i].name;
    auto twice = good;
    twice.push_back(good[i]);
    EXPECT_FALSE(read(twice).ok()) << good[i].name;
    auto unknown = good;
    unknown[i].name[0] = 'X';
    EXPECT_FALSE(read(unknown).ok()) << good[i].name;
  }
  EXPECT_GE(sentences.size(), good.size());
}

TEST(PackedMatrix, LiesByteForByteAsTheLayoutSays) {
  // 17 rows x 20 columns in groups of 16: two row blocks, two groups, padding in both directions.
  const kernels::TileShape shape = {.rows = 17, .columns = 20, .group = 16};
  EXPECT_EQ(shape.row_blocks(), 2U);
  EXPECT_EQ(shape.padded_columns(), 32U);
  EXPECT_EQ(shape.block_bytes(), 576U);  // 2 groups x 16 rows x 2 bytes + 512
  std::vector<float> rows(16 * 20, 0.0F);
  rows[3 * 20 + 5] = 127.0F;  // row 3, column 5: after 64 bytes of scales, tile 1, byte 3 * 4 + 1
  rows[3 * 20 + 6] = -64.0F;
  rows[15 * 20 + 19] = 0.5F;  // row 15, column 19: tile 4, byte 15 * 4 + 3, alone in its group: 127 steps of 0.5 / 127
  std::vector<std::byte> block(shape.block_bytes(), std::byte{0xee});
  quant::pack_row_block(rows, shape, block);
  EXPECT_EQ(block[64 + 64 + 13], std::byte{127});
  EXPECT_EQ(static_cast<std::int8_t>(block[64 + 64 + 14]), -64);
  std::uint16_t scale = 0;
  std::memcpy(&scale, block.data() + 3 * 2, 2);  // group 0, row 3
  EXPECT_EQ(scale, 0x3c00) << "1.0 as binary16";
  EXPECT_NE(block[64 + 4 * 64 + 63], std::byte{0});
  std::memcpy(&scale, block.data() + 32, 2);  // group 1, row 0: zeros
  EXPECT_EQ(scale, 0);
  EXPECT_EQ(block[64], std::byte{0});

  // Three groups of 64: the last has a line of its own.
  const kernels::TileShape odd = {.rows = 16, .columns = 192, .group = 64};
  EXPECT_EQ(odd.block_bytes(), 64U + 2048U + 64U + 1024U);
  EXPECT_EQ(odd.scales_offset(2), 2112U);
  EXPECT_EQ(odd.tiles_offset(2), 2176U);
}

}  // namespace
}  // namespace rill
