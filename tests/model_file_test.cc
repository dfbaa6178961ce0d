#include "core/model_file.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/checksum.h"
#include "core/config_section.h"
#include "tests/support/model_image.h"
#include "tests/support/synthetic_model.h"

namespace rill {
namespace {

using format::ConfigEntry;
using format::FileHeader;
using format::Section;
using format::SectionEntry;
using format::TensorEntry;
using support::ModelImage;

/// One valid file for all tests; each works on a copy.
const ModelImage& valid() {
  static const ModelImage image = ModelImage::make();
  return image;
}

std::string sentence(const ModelImage& image) {
  const auto model = image.open();
  if (model.ok()) return "no error";
  EXPECT_EQ(model.status().code(), Code::kBadInput) << model.status().message();
  return std::string(model.status().message());
}

std::string sentence_of_verify(const ModelImage& image) {
  const auto model = image.open();
  if (!model.ok()) return "open: " + std::string(model.status().message());
  const Status status = model->verify();
  return status.ok() ? "no error" : std::string(status.message());
}

testing::AssertionResult says(const std::string& message, std::string_view part) {
  if (message.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "\"" << part << "\" is not in: " << message;
}

/// Changes a copy, makes the tables' checksums good and returns what open() says.
std::string after(const std::function<void(ModelImage&)>& change) {
  ModelImage image = valid();
  change(image);
  image.seal_tables();
  return sentence(image);
}

/// The same for changes inside of sections.
std::string after_inside(const std::function<void(ModelImage&)>& change) {
  return after([&](ModelImage& image) {
    change(image);
    image.seal_sections();
  });
}

TEST(ModelFile, OpensWhatTheQuantizerWrote) {
  const auto model = valid().open();
  ASSERT_TRUE(model) << model.status().message();
  EXPECT_EQ(model->config(), support::small_config());
  EXPECT_EQ(model->chat_section(), "form: chatml\nsystem: Be brief.");
  EXPECT_EQ(model->tokenizer_section().size(), 300U);
  EXPECT_EQ(model->entries().size(), 16U);  // turns, embedding, two layers of six, last norm, head
  EXPECT_EQ(model->tensor(format::kQkv, 1).entry->rows, 100U);
  EXPECT_FALSE(model->tensor(format::kQkv, 2));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(model->tensor(format::kDown, 0).bytes.data()) % 64, 0U);
  std::size_t intact = 0;
  EXPECT_TRUE(model->verify([&](const TensorEntry&, bool good) { intact += good ? 1 : 0; }).ok());
  EXPECT_EQ(intact, 16U);
}

TEST(ModelFile, SaysWhatAFileIsThatIsNoModel) {
  const auto of_text = [](std::string_view contents) {
    alignas(64) std::array<std::byte, 256> memory{};
    std::memcpy(memory.data(), contents.data(), contents.size());
    return std::string(ModelFile::view(std::span(memory).first(contents.size()), "a.rill").status().message());
  };
  EXPECT_TRUE(says(of_text(""), "the file is empty"));
  EXPECT_TRUE(says(of_text("hello world"), "not a Rill model file"));
  EXPECT_TRUE(says(of_text("GGUF and so on"), "this is a GGUF file"));
  EXPECT_TRUE(says(of_text("RILL\n\x1a\n and more"), "its line ends were changed"));
  EXPECT_TRUE(says(of_text("RIL"), "the file is cut off after 3 bytes"));
}

TEST(ModelFile, SaysHowManyBytesAreMissingWhereverTheFileIsCut) {
  const std::size_t size = valid().bytes().size();
  for (std::size_t length = 0; length < size; ++length) {
    const auto model = ModelFile::view(valid().bytes().first(length), "a.rill");
    ASSERT_EQ(model.status().code(), Code::kBadInput) << length;
    if (length < sizeof(FileHeader)) continue;  // the header itself is cut: it says so
    ASSERT_TRUE(says(std::string(model.status().message()), std::to_string(size - length) + " bytes are missing"));
  }
}

TEST(ModelFile, IsReadFromTheDiskAsFromMemory) {
  const support::TemporaryFile file("from-disk.rill");
  const auto write = [&](std::span<const std::byte> bytes) {
    std::FILE* out = std::fopen(file.path().c_str(), "wb");
    ASSERT_NE(out, nullptr);
    EXPECT_EQ(std::fwrite(bytes.data(), 1, bytes.size(), out), bytes.size());
    EXPECT_EQ(std::fclose(out), 0);
  };
  write(valid().bytes());
  const auto whole = ModelFile::open(file.path());
  ASSERT_TRUE(whole) << whole.status().message();
  EXPECT_EQ(whole->name(), file.path());
  write(valid().bytes().first(5000));
  const auto cut = ModelFile::open(file.path());
  EXPECT_TRUE(says(std::string(cut.status().message()), file.path() + ": the file is cut off"));
  EXPECT_EQ(ModelFile::open("/no/such/file").status().code(), Code::kFailed);
}

TEST(ModelFile, FindsTheMissingPartEvenIfTheHeaderAgreesWithTheCutFile) {
  for (const SectionEntry& entry : ModelImage(valid()).sections()) {
    for (const std::uint64_t end : {entry.offset, entry.offset + 1, entry.offset + entry.stored_bytes - 1}) {
      ModelImage image(valid());
      image.header().file_bytes = end;
      image.seal_tables();
      const auto model = ModelFile::view(image.bytes().first(end), "a.rill");
      ASSERT_EQ(model.status().code(), Code::kBadInput) << end;
      EXPECT_TRUE(says(std::string(model.status().message()), "expected an end within the file"));
    }
  }
}

TEST(ModelFile, RefusesANewerVersionInItsOwnWords) {
  for (const std::uint32_t version : {2U, 3U, 0xffffffffU}) {
    EXPECT_TRUE(says(after([&](ModelImage& i) { i.header().version = version; }),
                     "version " + std::to_string(version) + " of the format, expected version 1, the newest"));
  }
  EXPECT_TRUE(says(after([](ModelImage& i) { i.header().version = 0; }), "field version at offset 8: 0, expected 1"));
}

TEST(ModelFile, ChecksEveryFieldOfTheHeader) {
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_TRUE(says(after([&](ModelImage& image) { image.header().magic[i] ^= 1; }),
                     i < 4 ? "not a Rill model file" : "its line ends were changed"));
  }
  const std::uint64_t size = valid().bytes().size();
  const auto with_size = [](std::uint64_t bytes) {
    return after([&](ModelImage& i) { i.header().file_bytes = bytes; });
  };
  EXPECT_TRUE(says(with_size(size + 1), "1 bytes are missing"));
  EXPECT_TRUE(says(with_size(std::numeric_limits<std::uint64_t>::max()), "bytes are missing"));
  EXPECT_TRUE(says(with_size(size - 1), "as its header says"));
  EXPECT_TRUE(says(with_size(0), "as its header says"));
  for (const std::uint32_t count : {6U, 16U, 0x7fffffffU, 0xffffffffU}) {
    EXPECT_TRUE(says(after([&](ModelImage& i) { i.header().section_count = count; }), "field section_count"));
  }
  EXPECT_TRUE(says(after([](ModelImage& i) { i.header().section_count = 0; }), "there is no section config"));
  for (const std::uint32_t count : {1U, 2U, 3U, 4U}) {
    EXPECT_TRUE(says(after([&](ModelImage& i) { i.header().section_count = count; }), "leaves a gap"));
  }
  for (const char c : {'L', '\x7f', '-', '\x1b', '\0'}) {
    EXPECT_TRUE(says(after([&](ModelImage& i) { i.header().family[0] = c; }), "field family"));
  }
  EXPECT_TRUE(says(after([&](ModelImage& i) { i.header().family[15] = 'x'; }), "field family"));
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(says(after([&](ModelImage& image) { image.header().reserved[i] = 1; }), "field reserved"));
  }
  ModelImage image(valid());
  image.header().header_crc32 ^= 1U;
  EXPECT_TRUE(says(sentence(image), "header: its checksum does not match"));
  image.seal_tables();
  image.header().table_crc32 ^= 1U;
  image.header().header_crc32 = crc32(image.bytes().first(offsetof(FileHeader, header_crc32)));
  EXPECT_TRUE(says(sentence(image), "section table at offset 64: its checksum does not match"));
}

TEST(ModelFile, ChecksEveryFieldOfEverySection) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  for (std::size_t i = 0; i < format::kSectionKinds; ++i) {
    const format::SectionRule& rule = format::kSections[i];
    SCOPED_TRACE(rule.name);
    const std::string where = "section " + std::string(rule.name);
    const auto with = [&](const std::function<void(SectionEntry&)>& change) {
      return after([&](ModelImage& image) { change(image.sections()[i]); });
    };
    EXPECT_TRUE(says(with([](SectionEntry& e) { e.name[0] = 'X'; }), "unknown section \"X"));
    EXPECT_TRUE(says(with([](SectionEntry& e) { e.name[15] = 'x'; }), "unknown section"));
    EXPECT_TRUE(says(with([](SectionEntry& e) { e.name[0] = '\x1b'; }), "unknown section \"?"));
    for (const std::uint64_t offset : {std::uint64_t{1}, kMost, kMost / 2}) {
      EXPECT_TRUE(says(with([&](SectionEntry& e) { e.offset = offset; }), where + ": offset"));
    }
    EXPECT_TRUE(says(with([](SectionEntry& e) { e.offset += 1; }), "a multiple of"));
    EXPECT_TRUE(says(with([](SectionEntry& e) { e.offset = 0; }), "overlaps what lies before it"));
    EXPECT_TRUE(says(with([&](SectionEntry& e) { e.offset -= rule.alignment; }), "overlaps what lies before it"));
    EXPECT_TRUE(says(with([](SectionEntry& e) { e.offset = kMost - 4095; }), "an end within the file"));
    EXPECT_TRUE(says(with([](SectionEntry& e) { e.stored_bytes = kMost; }), "an end within the file"));
    EXPECT_TRUE(says(with([](SectionEntry& e) { e.stored_bytes = kMost - e.offset + 1; }), "an end within the file"));
    EXPECT_NE(with([](SectionEntry& e) { e.stored_bytes = 0; }), "no error");
    EXPECT_NE(with([](SectionEntry& e) { e.stored_bytes += 1; }), "no error");
    EXPECT_NE(with([](SectionEntry& e) { e.stored_bytes -= 1; }), "no error");
    EXPECT_TRUE(says(with([](SectionEntry& e) { e.raw_bytes = 0; }), where));
    for (const std::uint64_t raw : {kMost, std::uint64_t{1} << 40U, rule.most_raw_bytes + 1}) {
      if (raw == 0) continue;
      EXPECT_TRUE(says(with([&](SectionEntry& e) { e.raw_bytes = raw; }), rule.encoding == format::Encoding::kZlib
                                                                              ? "after decompression, expected at most"
                                                                              : "raw_bytes"));
    }
    if (rule.encoding == format::Encoding::kZlib) {
      EXPECT_TRUE(says(with([](SectionEntry& e) { e.raw_bytes += 32; }), where + ": its compressed data is damaged"));
      EXPECT_TRUE(says(with([](SectionEntry& e) { e.raw_bytes -= 1; }), where + ": its compressed data is damaged"));
    }
    for (const std::uint32_t encoding : {1U - static_cast<std::uint32_t>(rule.encoding), 2U, 0xffffffffU}) {
      EXPECT_TRUE(says(with([&](SectionEntry& e) { e.encoding = static_cast<format::Encoding>(encoding); }),
                       where + ": encoding"));
    }
  }
}

TEST(ModelFile, RefusesSectionsOutOfOrderTwiceOrMissing) {
  EXPECT_TRUE(says(after([](ModelImage& i) { i.section(Section::kTensors) = i.section(Section::kConfig); }),
                   "section config: the section appears twice"));
  EXPECT_TRUE(says(after([](ModelImage& i) {
                     std::memcpy(i.section(Section::kConfig).name, "weights\0", 8);
                     i.section(Section::kConfig).encoding = format::Encoding::kRaw;
                     i.section(Section::kConfig).offset = 4096;
                   }),
                   "section weights"));
  EXPECT_TRUE(says(after([](ModelImage& i) { std::swap(i.section(Section::kTokenizer), i.section(Section::kChat)); }),
                   "leaves a gap"));
  EXPECT_TRUE(says(after([](ModelImage& i) {
                     std::swap(i.section(Section::kTokenizer).name, i.section(Section::kChat).name);
                     std::swap(i.section(Section::kTokenizer).encoding, i.section(Section::kChat).encoding);
                   }),
                   "section tokenizer: the section comes after chat"));
}

TEST(ModelFile, FindsABadChecksumInEverySection) {
  for (std::size_t i = 0; i < format::kSectionKinds; ++i) {
    const std::string where = "section " + std::string(format::kSections[i].name);
    ModelImage image(valid());
    image.sections()[i].crc32 ^= 0x80000000U;
    image.seal_tables();
    EXPECT_TRUE(says(sentence_of_verify(image), where)) << where;
    EXPECT_TRUE(says(sentence_of_verify(image), "its checksum does not match")) << where;

    ModelImage damaged(valid());
    damaged.bytes()[damaged.sections()[i].offset + 3] ^= std::byte{1};
    const std::string found = i == static_cast<std::size_t>(Section::kWeights) ? "tensor rope_turns at offset" : where;
    EXPECT_TRUE(says(sentence_of_verify(damaged), found));
  }
}

TEST(ModelFile, VerifyNamesTheFirstDamagedTensorAndTellsOfEach) {
  ModelImage image(valid());
  for (const std::size_t tensor : {3U, 15U}) image.bytes()[image.tensors()[tensor].offset] ^= std::byte{16};
  const auto model = image.open();
  ASSERT_TRUE(model) << model.status().message();  // opening reads no weights
  std::vector<std::string> damaged;
  const Status status = model->verify([&](const TensorEntry& entry, bool intact) {
    if (!intact) damaged.emplace_back(format::name_of(entry.name));
  });
  EXPECT_TRUE(says(std::string(status.message()), "a.rill, tensor layers.0.qkv at offset"));
  EXPECT_EQ(status.code(), Code::kBadInput);
  EXPECT_EQ(damaged, (std::vector<std::string>{"layers.0.qkv", "head"}));
}

TEST(ModelFile, VerifyFindsBytesHiddenInThePadding) {
  ModelImage image(valid());
  image.bytes()[image.section(Section::kWeights).offset - 1] = std::byte{1};
  EXPECT_TRUE(says(sentence_of_verify(image), "the padding before section weights is not empty"));
  ModelImage inside(valid());
  const TensorEntry& turns = inside.tensors()[0];  // five numbers, 40 bytes, then 24 of padding
  inside.bytes()[turns.offset + turns.bytes] = std::byte{1};
  EXPECT_TRUE(says(sentence_of_verify(inside), "though every tensor's does"));
}

TEST(ModelFile, ChecksEveryFieldOfEveryTensor) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  const std::size_t count = ModelImage(valid()).tensors().size();
  for (std::size_t i = 0; i < count; ++i) {
    const TensorEntry original = ModelImage(valid()).tensors()[i];
    SCOPED_TRACE(format::name_of(original.name));
    const auto with = [&](const std::function<void(TensorEntry&)>& change) {
      return after_inside([&](ModelImage& image) { change(image.tensors()[i]); });
    };
    EXPECT_TRUE(says(with([](TensorEntry& e) { e.name[0] = '\x07'; }), "tensor \"?"));
    EXPECT_TRUE(says(with([](TensorEntry& e) { e.name[63] = 'x'; }), "section tensors, entry"));
    for (const std::uint32_t format : {static_cast<std::uint32_t>(original.format) ^ 1U, 3U, 0xffffffffU}) {
      EXPECT_TRUE(
          says(with([&](TensorEntry& e) { e.format = static_cast<format::TensorFormat>(format); }), "field format"));
    }
    for (const std::uint32_t group : {original.group ^ 16U, original.group + 1, 0xffffffffU}) {
      EXPECT_TRUE(says(with([&](TensorEntry& e) { e.group = group; }), "field group"));
    }
    for (const std::uint64_t number : {std::uint64_t{0}, kMost, kMost / 2 + 1, std::uint64_t{1} << 32U}) {
      EXPECT_TRUE(says(with([&](TensorEntry& e) { e.rows = number; }), "field rows"));
      EXPECT_TRUE(says(with([&](TensorEntry& e) { e.columns = number; }), "field columns"));
      EXPECT_TRUE(says(with([&](TensorEntry& e) { e.bytes = number; }), "field bytes"));
    }
    for (const std::uint64_t offset : {std::uint64_t{0}, original.offset - 64}) {
      EXPECT_TRUE(says(with([&](TensorEntry& e) { e.offset = offset; }), "overlaps what lies before it"));
    }
    EXPECT_TRUE(says(with([&](TensorEntry& e) { e.offset += 8; }), "a multiple of 64"));
    for (const std::uint64_t offset : {kMost - 63, kMost / 2 + 1}) {
      EXPECT_TRUE(says(with([&](TensorEntry& e) { e.offset = offset; }), "an end within the section weights"));
    }
    EXPECT_TRUE(says(with([](TensorEntry& e) { e.reserved = 1; }), "field reserved"));

    ModelImage image(valid());
    image.tensors()[i].crc32 ^= 1U;
    image.seal_sections();
    image.seal_tables();
    EXPECT_TRUE(
        says(sentence_of_verify(image), "tensor " + std::string(format::name_of(original.name)) + " at offset"));
  }
  EXPECT_TRUE(says(after_inside([](ModelImage& i) { i.tensors()[0].offset += 64; }), "leaves a gap"));
}

TEST(ModelFile, RefusesATensorTooFewTooManyTwiceOrInAnotherOrder) {
  const std::vector<std::byte> table = valid().raw(Section::kTensors);
  const auto with_table = [&](std::span<const std::byte> changed) {
    return sentence(valid().with_section(Section::kTensors, changed));
  };
  EXPECT_EQ(with_table(table), "no error");
  EXPECT_TRUE(says(with_table(std::span(table).first(table.size() - sizeof(TensorEntry))), "tensor head is missing"));
  EXPECT_TRUE(says(with_table(std::span(table).first(table.size() - 1)), "a multiple of 112"));
  std::vector<std::byte> more = table;
  more.insert(more.end(), table.begin(), table.begin() + sizeof(TensorEntry));
  EXPECT_TRUE(says(with_table(more), "unknown tensor \"rope_turns\", expected 16 tensors"));
  EXPECT_TRUE(says(after_inside([](ModelImage& i) { i.tensors()[4] = i.tensors()[3]; }),
                   "entry 4: tensor \"layers.0.qkv\", expected \"layers.0.out\""));
}

/// The file with another config section.
std::string with_config(const std::function<void(std::vector<ConfigEntry>&)>& change) {
  std::vector<ConfigEntry> entries = make_config_section(support::small_config());
  change(entries);
  return sentence(valid().with_section(Section::kConfig, std::as_bytes(std::span(entries))));
}

TEST(ModelFile, ChecksEveryFieldOfTheConfiguration) {
  ModelConfig fields;
  std::size_t index = 0;
  for_each_field(fields, [&](std::string_view name, auto value, double least, double most) {
    SCOPED_TRACE(name);
    const std::string where = "section config, field " + std::string(name) + ": ";
    const auto with_bits = [&](std::uint64_t bits) {
      return with_config([&](std::vector<ConfigEntry>& entries) { entries[index].bits = bits; });
    };
    if constexpr (std::is_same_v<decltype(value), double>) {
      const double infinity = std::numeric_limits<double>::infinity();
      for (const double hostile :
           {std::numeric_limits<double>::quiet_NaN(), infinity, -infinity, least - 1.0, most * 2.0}) {
        EXPECT_TRUE(says(with_bits(std::bit_cast<std::uint64_t>(hostile)), where));
      }
    } else {
      for (const std::uint64_t hostile :
           {std::uint64_t{1} << 32U, std::uint64_t{1} << 63U, std::numeric_limits<std::uint64_t>::max(),
            std::bit_cast<std::uint64_t>(1.5)}) {
        EXPECT_TRUE(says(with_bits(hostile), where + std::to_string(hostile) + ", expected a whole number"));
      }
      if (least > 0.0) EXPECT_TRUE(says(with_bits(static_cast<std::uint64_t>(least) - 1), where));
      if (most < 4294967295.0) EXPECT_TRUE(says(with_bits(static_cast<std::uint64_t>(most) + 1), where));
    }
    const auto at = static_cast<std::ptrdiff_t>(index);
    EXPECT_TRUE(says(with_config([&](auto& entries) { entries.erase(entries.begin() + at); }), "the field is missing"));
    EXPECT_TRUE(
        says(with_config([&](auto& entries) { entries.push_back(entries[index]); }), "the field appears twice"));
    ++index;
  });
  EXPECT_TRUE(says(with_config([](auto& entries) { entries.push_back({.name = "\033[31mred", .bits = 0}); }),
                   "unknown field \"?[31mred\""));
}

TEST(ModelFile, RefusesAConfigurationThatTheTensorsDoNotFit) {
  const auto with_field = [](std::string_view name, std::uint64_t bits) {
    return with_config([&](std::vector<ConfigEntry>& entries) {
      for (ConfigEntry& entry : entries) {
        if (format::name_of(entry.name) == name) entry.bits = bits;
      }
    });
  };
  EXPECT_EQ(with_field("hidden", 40), "no error");
  EXPECT_TRUE(says(with_field("hidden", 41), "tensor embedding, field columns: 40, expected 41"));
  EXPECT_TRUE(says(with_field("hidden", 65536), "tensor embedding, field columns"));
  EXPECT_TRUE(says(with_field("vocabulary", 16777216), "tensor embedding, field rows: 67, expected 16777216"));
  EXPECT_TRUE(says(with_field("layers", 1), "expected \"final_norm\""));
  EXPECT_TRUE(says(with_field("layers", 1024), "expected \"layers.2.attention_norm\""));
  EXPECT_TRUE(says(with_field("heads", 8), "tensor layers.0.qkv, field rows"));
  EXPECT_TRUE(says(with_field("heads", 7), "field kv_heads"));
  EXPECT_TRUE(says(with_field("head_size", 12), "tensor rope_turns, field columns"));
  EXPECT_TRUE(says(with_field("head_size", 11), "an even number"));
  EXPECT_TRUE(says(with_field("mlp_width", 1048576), "tensor layers.0.gate_up, field rows"));
  EXPECT_TRUE(says(with_field("group", 64), "tensor embedding, field group"));
  EXPECT_TRUE(says(with_field("group", 40), "a multiple of 16"));
  EXPECT_TRUE(says(with_field("tied_head", 1), "unknown tensor \"head\""));
}

TEST(ModelFile, InflatesNoMoreThanTheFormatAllows) {
  const std::vector<std::byte> bomb(1024 * 1024);
  EXPECT_TRUE(says(sentence(valid().with_section(Section::kConfig, bomb)),
                   "section config: 1048576 bytes after decompression, expected at most 8192"));
  EXPECT_TRUE(says(sentence(valid().with_section(Section::kChat, bomb)),
                   "section chat: 1048576 bytes after decompression, expected at most 65536"));
  // The same bomb behind a small number: the data says more than the table.
  ModelImage image = valid().with_section(Section::kChat, bomb);
  image.section(Section::kChat).raw_bytes = 1000;
  image.seal_tables();
  EXPECT_TRUE(says(sentence(image), "section chat: its compressed data is damaged"));
}

TEST(ModelFile, FindsEveryFlippedByteWhereverItIs) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    ModelImage image(valid());
    // Half of them in the first pages, where the structure is.
    const std::size_t range = i % 2 == 0 ? image.bytes().size() : image.section(Section::kWeights).offset;
    const std::size_t at = random() % range;
    image.bytes()[at] ^= std::byte(1U << (random() % 8));
    ASSERT_NE(sentence_of_verify(image), "no error") << "byte " << at;
  }
}

TEST(ModelFile, SurvivesFlippedBytesWhoseChecksumsWereMadeGood) {
  std::mt19937 random(2);
  for (int i = 0; i < 2000; ++i) {
    ModelImage image(valid());
    for (unsigned flips = 1 + random() % 6; flips > 0; --flips) {
      image.bytes()[random() % image.section(Section::kWeights).offset % image.bytes().size()] ^=
          std::byte(random() % 256);
    }
    image.seal_sections();
    if (i % 4 != 0) image.header().file_bytes = image.bytes().size();
    image.seal_tables();
    const auto model = image.open();
    if (!model.ok()) {
      ASSERT_EQ(model.status().code(), Code::kBadInput);
      continue;
    }
    for (const TensorEntry& entry : model->entries()) {
      const auto bytes = model->tensor(entry).bytes;
      ASSERT_GE(bytes.data(), image.bytes().data());
      ASSERT_LE(bytes.data() + bytes.size(), image.bytes().data() + image.bytes().size());
    }
    (void)model->verify().ok();
  }
}

}  // namespace
}  // namespace rill
