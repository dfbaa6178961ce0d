#include "quant/gguf_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/gguf_builder.h"

namespace rill::quant {
namespace {

/// A file with a key of each kind and two tensors.
GgufBuilder small_file() {
  GgufBuilder file;
  file.string("name", "a file")
      .key("u8", 0, ByteWriter().put<std::uint8_t>(200))
      .key("i16", 3, ByteWriter().put<std::int16_t>(-3))
      .u32("u32", 4000000000U)
      .key("u64", 10, ByteWriter().put<std::uint64_t>(1ULL << 63U))
      .key("i64", 11, ByteWriter().put<std::int64_t>(77))
      .f32("f32", 0.25F)
      .key("f64", 12, ByteWriter().put(0.1))
      .boolean("yes", 1)
      .boolean("odd", 2)
      .strings("words", {"one", "", "three"})
      .numbers<float>("floats", 6, {1.5F, -2.0F})
      .numbers<std::int32_t>("integers", 5, {7, -1, 3})
      .tensor("matrix", {4, 2}, {1, 2, 3, 4, 5, 6, 7, 8})
      .tensor("vector", {3}, {9, 10, 11});
  return file;
}

Result<GgufFile> parse(const std::vector<std::byte>& bytes) { return GgufFile::parse(bytes, "a.gguf"); }

/// The sentence that a file is refused with; fails if it is not refused as bad input.
std::string refusal(const std::vector<std::byte>& bytes) {
  const auto file = parse(bytes);
  EXPECT_FALSE(file.ok());
  if (file.ok()) return "accepted";
  EXPECT_EQ(file.status().code(), Code::kBadInput);
  return std::string(file.status().message());
}

void expect_refused(const std::vector<std::byte>& bytes, std::string_view part) {
  const std::string message = refusal(bytes);
  EXPECT_NE(message.find(part), std::string::npos) << message;
}

template <typename Number>
void overwrite(std::vector<std::byte>& bytes, std::size_t offset, Number number) {
  std::memcpy(bytes.data() + offset, &number, sizeof number);
}

TEST(GgufFile, GivesEveryValueByItsType) {
  const auto bytes = small_file().build();
  const auto file = parse(bytes);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->version(), 3U);
  EXPECT_EQ(file->find_string("name").value(), "a file");
  EXPECT_EQ(file->find_u64("u8").value(), 200U);
  EXPECT_EQ(file->find_u64("u32").value(), 4000000000U);
  EXPECT_EQ(file->find_u64("u64").value(), 1ULL << 63U);
  EXPECT_EQ(file->find_u64("i64").value(), 77U);
  EXPECT_EQ(file->find_f64("f32").value(), 0.25);
  EXPECT_EQ(file->find_f64("f64").value(), 0.1);
  EXPECT_EQ(file->find_bool("yes").value(), true);

  const auto words = file->find_strings("words").value();
  ASSERT_TRUE(words && words->size() == 3);
  EXPECT_EQ(std::vector<std::string_view>(words->begin(), words->end()),
            (std::vector<std::string_view>{"one", "", "three"}));
  const auto floats = file->find_floats("floats").value();
  ASSERT_TRUE(floats && floats->size() == 2);
  EXPECT_EQ((*floats)[1], -2.0F);
  const auto integers = file->find_integers("integers").value();
  ASSERT_TRUE(integers && integers->size() == 3);
  EXPECT_EQ((*integers)[1], -1);
}

TEST(GgufFile, AnAbsentKeyIsNothingAndAWrongTypeIsASentence) {
  const auto bytes = small_file().build();
  const auto file = parse(bytes);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->find_u64("absent").value(), std::nullopt);
  EXPECT_FALSE(file->find_strings("absent").value().has_value());

  const std::string message(file->find_u64("name").status().message());
  EXPECT_EQ(message, "a.gguf, key name at offset 24: string, expected an integer; convert the model again");
  EXPECT_EQ(file->find_u64("i16").status().code(), Code::kBadInput);  // negative
  EXPECT_EQ(file->find_u64("f32").status().code(), Code::kBadInput);
  EXPECT_EQ(file->find_f64("u32").status().code(), Code::kBadInput);
  EXPECT_EQ(file->find_bool("u8").status().code(), Code::kBadInput);
  EXPECT_EQ(file->find_bool("odd").status().code(), Code::kBadInput);  // neither 0 nor 1
  EXPECT_EQ(file->find_string("words").status().code(), Code::kBadInput);
  EXPECT_EQ(file->find_strings("floats").status().code(), Code::kBadInput);
  EXPECT_EQ(file->find_floats("integers").status().code(), Code::kBadInput);
  EXPECT_EQ(file->find_integers("floats").status().code(), Code::kBadInput);
}

TEST(GgufFile, GivesTensorsWithTheirBytes) {
  for (const std::uint32_t version : {2U, 3U}) {
    GgufBuilder builder = small_file();
    builder.version = version;
    const auto bytes = builder.build();
    const auto file = parse(bytes);
    ASSERT_TRUE(file.ok()) << file.status().message();
    ASSERT_EQ(file->tensors().size(), 2U);
    const GgufTensor* matrix = file->find_tensor("matrix");
    ASSERT_NE(matrix, nullptr);
    EXPECT_EQ(matrix->dimension_count, 2U);
    EXPECT_EQ(matrix->dimensions, (std::array<std::uint64_t, 4>{4, 2, 1, 1}));
    EXPECT_EQ(matrix->format->name, "F32");
    EXPECT_EQ(matrix->offset % 32, 0U);
    float last = 0;
    ASSERT_EQ(file->data(*matrix).size(), 32U);
    std::memcpy(&last, file->data(*matrix).data() + 28, sizeof last);
    EXPECT_EQ(last, 8.0F);
    EXPECT_EQ(file->find_tensor("absent"), nullptr);
  }
}

TEST(GgufFile, CutAtAnyByteIsASentence) {
  const auto whole = small_file().build();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    // A copy of exactly this size, so that the address sanitizer sees a read past the end.
    const std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(refusal(cut).rfind("a.gguf", 0), 0U) << size;
  }
}

TEST(GgufFile, AnyByteMayBeAnythingWithoutACrash) {
  const auto whole = small_file().build();
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const unsigned value : {0x00U, 0x01U, 0x7fU, 0x80U, 0xffU}) {
      auto bytes = whole;
      bytes[at] = static_cast<std::byte>(value);
      const auto file = parse(bytes);
      if (!file.ok()) {
        EXPECT_EQ(file.status().code(), Code::kBadInput) << at;
        continue;
      }
      // What was accepted must be readable to its last byte.
      unsigned sum = 0;
      for (const GgufTensor& tensor : file->tensors()) {
        for (const std::byte b : file->data(tensor)) sum += std::to_integer<unsigned>(b);
      }
      if (const auto words = file->find_strings("words"); words.ok() && *words) {
        for (const std::string_view word : **words) sum += static_cast<unsigned>(std::ranges::count(word, 'e'));
      }
      EXPECT_GE(sum, 0U);
    }
  }
}

TEST(GgufFile, EachHeaderFieldIsCheckedAgainstTheFile) {
  const auto whole = small_file().build();
  const auto with = [&](std::size_t offset, auto value) {
    auto bytes = whole;
    overwrite(bytes, offset, value);
    return bytes;
  };
  expect_refused(with(0, 0x46554746U), "not \"GGUF\"");
  expect_refused(with(4, 0U), "version 0");
  expect_refused(with(4, 1U), "version 1 at offset 4");
  expect_refused(with(4, 4U), "version 4");
  expect_refused(with(4, 0x03000000U), "big-endian");
  for (const std::uint64_t count : {1ULL << 20U, 1ULL << 32U, 1ULL << 60U, ~0ULL}) {
    expect_refused(with(8, count), text(count, " tensors at offset 8").view());
    expect_refused(with(16, count), text(count, " metadata keys at offset 16").view());
  }
  // More keys than there are, few enough to pass the first check: tensors are then read as keys.
  EXPECT_NE(refusal(with(16, std::uint64_t{14})), "");
}

TEST(GgufFile, EachFieldOfAKeyIsChecked) {
  constexpr std::uint64_t kHuge[] = {1ULL << 31U, 1ULL << 61U, (1ULL << 63U) - 1, ~0ULL, ~0ULL - 7};
  for (const std::uint64_t huge : kHuge) {
    auto bytes = GgufBuilder().string("k", "value").build();
    overwrite(bytes, 24, huge);
    expect_refused(bytes, "metadata key 0 at offset 24: goes past the file's end");
    expect_refused(GgufBuilder().key("k", 8, ByteWriter().put(huge).raw("value")).build(), "key k at offset 24: goes");
    for (const std::uint32_t element : {0U, 3U, 6U, 8U, 12U}) {
      expect_refused(GgufBuilder().key("k", 9, ByteWriter().put(element).put(huge).raw("value")).build(),
                     "key k at offset 24");
    }
  }
  expect_refused(GgufBuilder().key("k", 13, ByteWriter().put(0ULL)).build(), "value type 13");
  expect_refused(GgufBuilder().key("k", ~0U, ByteWriter().put(0ULL)).build(), "value type 4294967295");
  expect_refused(GgufBuilder().key("k", 9, ByteWriter().put(13U).put(1ULL).put(0U)).build(), "an array of type 13");
  expect_refused(GgufBuilder().u32("k", 1).u32("k", 2).build(), "the key is there twice");
  expect_refused(GgufBuilder().key("k", 9, ByteWriter().put(8U).put(2ULL).string("one").put(99ULL)).build(),
                 "string 1 of 2");
}

TEST(GgufFile, NestedArraysAreRefusedHoweverDeep) {
  ByteWriter nested;
  for (int depth = 0; depth < 100000; ++depth) nested.put<std::uint32_t>(9).put<std::uint64_t>(1);
  expect_refused(GgufBuilder().key("deep", 9, nested).build(), "an array of arrays");
}

TEST(GgufFile, EachFieldOfATensorIsChecked) {
  const auto one = [](const std::vector<std::uint64_t>& dimensions, std::uint32_t type, std::uint64_t offset) {
    return GgufBuilder().describe("t", dimensions, type, offset, ByteWriter().put(1.0).put(2.0)).build();
  };
  ASSERT_TRUE(parse(one({4}, 0, 0)).ok());
  expect_refused(one({}, 0, 0), "tensor t at offset 24: 0 dimensions, expected 1 to 4");
  expect_refused(one({1, 1, 1, 1, 1}, 0, 0), "5 dimensions");
  expect_refused(one({4, 0}, 0, 0), "dimension 1 is 0");
  expect_refused(one({4}, 5, 0), "type 5 is not known, expected one of F32");
  expect_refused(one({4}, ~0U, 0), "type 4294967295 is not known");
  expect_refused(one({4}, 8, 0), "rows of 4 elements, expected a multiple of 32 for type Q8_0");
  expect_refused(one({5}, 0, 0), "20 bytes at data offset 0: goes past the file's end");
  expect_refused(one({1ULL << 40U}, 0, 0), "no more bytes than the file's");
  expect_refused(one({1ULL << 62U}, 0, 0), "no more bytes than the file's");  // times 4 wraps to 0
  expect_refused(one({1ULL << 32U, 1ULL << 32U}, 0, 0), "no more bytes than the file's");
  expect_refused(one({~0ULL, ~0ULL, ~0ULL, ~0ULL}, 1, 0), "no more bytes than the file's");
  expect_refused(one({4}, 0, 4), "data offset 4, expected a multiple of 32");
  expect_refused(one({4}, 0, 32), "goes past the file's end");
  expect_refused(one({4}, 0, ~0ULL - 31), "goes past the file's end");
  expect_refused(one({4}, 0, 1ULL << 63U), "goes past the file's end");

  GgufBuilder twice;
  expect_refused(twice.tensor("t", {1}, {1}).tensor("t", {1}, {1}).build(), "a tensor of this name is there twice");
  GgufBuilder overlapping;
  overlapping.tensor("first", {16}, std::vector<float>(16)).describe("second", {4}, 0, 32);
  expect_refused(overlapping.build(), "tensor second at offset 61: its data overlaps that of first");
}

TEST(GgufFile, AlignmentIsThatOfTheFileAndIsChecked) {
  GgufBuilder wide;
  wide.alignment = 128;
  wide.u32("general.alignment", 128).tensor("a", {1}, {1}).tensor("b", {1}, {2});
  const auto bytes = wide.build();
  const auto file = parse(bytes);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->find_tensor("b")->offset % 128, 0U);
  for (const std::uint32_t alignment : {0U, 1U, 4U, 24U, 33U, 1U << 21U, ~0U}) {
    expect_refused(GgufBuilder().u32("general.alignment", alignment).tensor("a", {1}, {1}).build(),
                   "key general.alignment at offset 24: ");
  }
  expect_refused(GgufBuilder().string("general.alignment", "32").tensor("a", {1}, {1}).build(), "expected an integer");
}

TEST(GgufFile, NamesInMessagesAreCutAndHaveNoControlCharacters) {
  const std::string name = "\x1b[31m" + std::string(300, 'x');
  const std::string message = refusal(GgufBuilder().u32(name, 1).u32(name, 2).build());
  EXPECT_EQ(message.find('\x1b'), std::string::npos);
  EXPECT_NE(message.find("?[31mxxx"), std::string::npos) << message;
  EXPECT_NE(message.find("twice"), std::string::npos) << message;
}

TEST(GgufFile, AFileThatIsNotThereIsASentenceWithItsPath) {
  const auto file = GgufFile::open("/nonexistent/a.gguf");
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.status().code(), Code::kBadInput);
  EXPECT_NE(file.status().message().find("/nonexistent/a.gguf"), std::string_view::npos);
}

}  // namespace
}  // namespace rill::quant
