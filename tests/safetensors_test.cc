// Safetensors files: read against bytes laid out by hand from the format's definition, and everything that is wrong
// with a file has its own sentence.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "quant/safetensors_file.h"
#include "quant/safetensors_writer.h"
#include "tests/support/golden.h"
#include "tests/support/safetensors_builder.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/shared_data.h"

namespace rill::quant {
namespace {

Result<SafetensorsFile> parse(std::string_view bytes) {
  return SafetensorsFile::parse(std::as_bytes(std::span(bytes)), "a.safetensors");
}

TEST(SafetensorsFile, ReadsEveryRealTypeAtAnyAlignment) {
  SafetensorsBuilder builder;
  builder.add("a byte that unaligns the rest", "U8", {1}, "x");
  builder.add("f32", "F32", {2}, bytes_of(1.5F) + bytes_of(-0.0F));
  // binary16: 0x3c00 is 1, 0xc000 -2, 0x0001 2^-24; bfloat16: 0x3f80 is 1, 0xc040 -3.
  builder.add("f16", "F16", {1, 3},
              bytes_of(std::uint16_t{0x3c00}) + bytes_of(std::uint16_t{0xc000}) + bytes_of(std::uint16_t{1}));
  builder.add("bf16", "BF16", {2, 1}, bytes_of(std::uint16_t{0x3f80}) + bytes_of(std::uint16_t{0xc040}));
  builder.add("f64", "F64", {1}, bytes_of(0.1));
  const std::string bytes = builder.file();
  const auto file = parse(bytes);
  ASSERT_TRUE(file.ok()) << file.status().message();

  const auto read = [&](std::string_view name) {
    const SafetensorsTensor* tensor = file->find(name);
    EXPECT_NE(tensor, nullptr) << name;
    std::vector<float> out(tensor == nullptr ? 0 : tensor->elements);
    if (tensor == nullptr) return out;
    EXPECT_TRUE(file->read_floats(*tensor, 0, out).ok()) << name;
    return out;
  };
  EXPECT_EQ(read("f32"), (std::vector<float>{1.5F, -0.0F}));
  EXPECT_EQ(read("f16"), (std::vector<float>{1.0F, -2.0F, 0x1p-24F}));
  EXPECT_EQ(read("bf16"), (std::vector<float>{1.0F, -3.0F}));
  EXPECT_EQ(read("f64"), (std::vector<float>{0.1F}));
  EXPECT_EQ(file->find("f16")->shape, (std::vector<std::uint64_t>{1, 3}));
  EXPECT_EQ(file->find("f"), nullptr);
  EXPECT_EQ(file->tensors().size(), 5U);
}

TEST(SafetensorsFile, ReadsPartsAndRefusesWhatLiesBeyond) {
  SafetensorsBuilder builder;
  builder.add("t", "F32", {3}, bytes_of(1.0F) + bytes_of(2.0F) + bytes_of(3.0F));
  builder.add("ids", "I32", {1}, bytes_of(std::int32_t{7}));
  const std::string bytes = builder.file();
  const auto file = parse(bytes);
  ASSERT_TRUE(file.ok()) << file.status().message();
  std::vector<float> two(2);
  EXPECT_TRUE(file->read_floats(*file->find("t"), 1, two).ok());
  EXPECT_EQ(two, (std::vector<float>{2.0F, 3.0F}));
  EXPECT_FALSE(file->read_floats(*file->find("t"), 2, two).ok());
  EXPECT_FALSE(file->read_floats(*file->find("t"), ~std::uint64_t{0}, two).ok());
  std::vector<float> one(1);
  EXPECT_EQ(file->read_floats(*file->find("ids"), 0, one).code(), Code::kBadInput);
}

TEST(SafetensorsFile, TakesMetadataPaddingScalarsAndEmptyTensors) {
  const std::string bytes =
      safetensors_bytes(R"({"__metadata__":{"format":"pt"},"scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
                        R"("none":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]}}   )",
                        bytes_of(2.0F));
  const auto file = parse(bytes);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->find("scalar")->elements, 1U);
  EXPECT_EQ(file->find("none")->elements, 0U);
  EXPECT_EQ(file->find("__metadata__"), nullptr);
}

struct Hostile {
  const char* claim;
  std::string bytes;
  const char* says;  ///< a part of the sentence
};
void PrintTo(const Hostile& hostile, std::ostream* out) { *out << hostile.claim; }

/// A file of one tensor "t" with eight bytes of data and these fields.
std::string with_fields(const std::string& fields) { return safetensors_bytes("{\"t\":{" + fields + "}}", "12345678"); }

std::string long_text(std::size_t size) {
  std::string out;
  out.resize(size, ' ');
  return out;
}

std::vector<Hostile> hostile_files() {
  const std::string good = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";
  return {
      {"Empty", "", "0 bytes"},
      {"ShorterThanItsLength", "1234567", "7 bytes"},
      {"LengthPastTheEnd", bytes_of(std::uint64_t{3}) + "{}", "header length at offset 0: 3, expected at most 2"},
      {"LengthThatWraps", bytes_of(~std::uint64_t{0}) + "{}", "18446744073709551615"},
      {"LengthBeyondTheLimit", bytes_of(std::uint64_t{16777217}) + long_text(16777232), "at most 16777216"},
      {"NoObject", safetensors_bytes("[]", ""), "begin with a brace"},
      {"NothingAtAll", safetensors_bytes("", ""), "begin with a brace"},
      {"NotJson", safetensors_bytes("{\"t\"", ""), "not JSON at byte"},
      {"TextAfterTheHeader", safetensors_bytes("{}x", ""), "not JSON at byte 3"},
      {"InvalidUtf8", safetensors_bytes("{\"\xff\":1}", ""), "not JSON at byte"},
      {"NestedDeeply", safetensors_bytes("{\"t\":" + std::string(100000, '['), ""), "at most 3 levels"},
      {"TwiceTheSameName", safetensors_bytes("{\"t\":{" + good + "},\"t\":{" + good + "}}", "12345678"),
       "\"t\" stands twice"},
      {"TensorIsNoObject", safetensors_bytes(R"({"t":1})", ""), "tensor t: a JSON number"},
      {"NoType", with_fields(R"("shape":[2],"data_offsets":[0,8])"), "no dtype"},
      {"TypeIsNoString", with_fields(R"("dtype":1,"shape":[2],"data_offsets":[0,8])"), "no dtype"},
      {"UnknownType", with_fields(R"("dtype":"F4\u001b","shape":[2],"data_offsets":[0,8])"), "\"F4?\" is not known"},
      {"NoShape", with_fields(R"("dtype":"F32","data_offsets":[0,8])"), "no shape"},
      {"ShapeIsNoArray", with_fields(R"("dtype":"F32","shape":2,"data_offsets":[0,8])"), "shape of another kind"},
      {"NegativeShape", with_fields(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), "shape of another kind"},
      {"FractionalShape", with_fields(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])"), "shape of another kind"},
      {"TooManyDimensions", with_fields(R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8])"),
       "at most 8"},
      {"ShapeThatWraps", with_fields(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8])"),
       "fits 64 bits"},
      {"BytesThatWrap", with_fields(R"("dtype":"F64","shape":[2305843009213693953],"data_offsets":[0,8])"),
       "fits 64 bits"},
      {"ShapeBeyondJsonIntegers", with_fields(R"("dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,8])"),
       "shape"},
      {"NumberBeyondDouble", with_fields(R"("dtype":"F32","shape":[1e999],"data_offsets":[0,8])"),
       "JSON that cannot be held"},
      {"NoOffsets", with_fields(R"("dtype":"F32","shape":[2])"), "no data_offsets"},
      {"OneOffset", with_fields(R"("dtype":"F32","shape":[2],"data_offsets":[0])"), "1 data_offsets"},
      {"OffsetsReversed", with_fields(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), "8 to 0"},
      {"OffsetsPastTheEnd", with_fields(R"("dtype":"F32","shape":[2],"data_offsets":[1,9])"),
       "the bytes of data in the file"},
      {"OffsetsThatWrap",
       with_fields(R"("dtype":"F32","shape":[2],"data_offsets":[18446744073709551608,18446744073709551615])"),
       "the bytes of data in the file"},
      {"SizeNotTheShapes", with_fields(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"),
       "8 bytes, expected 12 for 3 elements"},
      {"Overlap",
       safetensors_bytes(R"({"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},)"
                         R"("b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
                         "12345678"),
       "overlaps the tensor before it"},
      {"Gap",
       safetensors_bytes(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                         R"("b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
                         "12345678"),
       "leaves a gap before it"},
      {"BytesOfNoTensor", with_fields(R"("dtype":"U8","shape":[7],"data_offsets":[0,7])"),
       "1 bytes belong to no tensor"},
  };
}

class HostileSafetensors : public testing::TestWithParam<Hostile> {};
INSTANTIATE_TEST_SUITE_P(Files, HostileSafetensors, testing::ValuesIn(hostile_files()),
                         [](const auto& test) { return std::string(test.param.claim); });

TEST_P(HostileSafetensors, IsRefusedWithItsOwnSentence) {
  const auto file = parse(GetParam().bytes);
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.status().code(), Code::kBadInput);
  EXPECT_NE(file.status().message().find(GetParam().says), std::string_view::npos) << file.status().message();
  EXPECT_TRUE(file.status().message().starts_with("a.safetensors")) << file.status().message();
}

std::string small_file() {
  SafetensorsBuilder builder;
  builder.add("first", "F32", {2, 2}, std::string(16, 'a'));
  builder.add("second", "BF16", {3}, std::string(6, 'b'));
  return builder.file();
}

TEST(SafetensorsFile, IsRefusedWhereverItIsCut) {
  const std::string whole = small_file();
  ASSERT_TRUE(parse(whole).ok());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    // On the heap and exactly as large, so that a sanitizer sees a byte read too many.
    const std::vector<char> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(parse(std::string_view(cut.data(), cut.size())).ok()) << size;
  }
}

TEST(SafetensorsFile, GivesOutNothingBeyondItsBytesWhicheverByteIsChanged) {
  const std::string whole = small_file();
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const int change : {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ change);
      const auto file = parse(changed);
      if (!file.ok()) continue;
      for (const SafetensorsTensor& tensor : file->tensors()) {
        EXPECT_LE(tensor.offset + tensor.bytes, whole.size());
        EXPECT_EQ(tensor.bytes, tensor.elements * tensor.type->bytes);
      }
    }
  }
}

TEST(SafetensorsFile, ThatIsAbsentIsABadInput) {
  const auto file = SafetensorsFile::open("/nonexistent/model.safetensors");
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.status().code(), Code::kBadInput);
}

TEST(SafetensorsWriter, WritesTheBytesThatTheFormatDefines) {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("logits.safetensors");
  auto writer = SafetensorsWriter::create(path, "logits", 2, 3);
  ASSERT_TRUE(writer.ok()) << writer.status().message();
  ASSERT_TRUE(writer->write_row(std::vector<float>{1, 2, 3}).ok());
  EXPECT_FALSE(writer->write_row(std::vector<float>{4, 5}).ok());
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_TRUE(writer->write_row(std::vector<float>{4, 5, 6}).ok());
  EXPECT_FALSE(writer->write_row(std::vector<float>{7, 8, 9}).ok());
  ASSERT_TRUE(writer->commit().ok());

  std::ifstream in(path, std::ios::binary);
  const std::string written((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  std::string data;
  for (const float value : {1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F}) data += bytes_of(value);
  // 62 characters, padded to 64.
  EXPECT_EQ(written, safetensors_bytes(R"({"logits":{"data_offsets":[0,24],"dtype":"F32","shape":[2,3]}}  )", data));
}

TEST(SafetensorsWriter, LeavesNothingBehindWhenRowsAreMissing) {
  const ScratchDirectory scratch;
  {
    auto writer = SafetensorsWriter::create(scratch.file("logits.safetensors"), "logits", 2, 1);
    ASSERT_TRUE(writer.ok()) << writer.status().message();
    ASSERT_TRUE(writer->write_row(std::vector<float>{1}).ok());
    EXPECT_FALSE(writer->commit().ok());
  }
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

TEST(SafetensorsWriter, RefusesAShapeThatWraps) {
  const ScratchDirectory scratch;
  const auto writer =
      SafetensorsWriter::create(scratch.file("x"), "logits", std::uint64_t{1} << 40U, std::uint64_t{1} << 40U);
  ASSERT_FALSE(writer.ok());
  EXPECT_EQ(writer.status().code(), Code::kUsage);
}

TEST(SafetensorsFile, OpensWhatHuggingFacesLibraryWrote) {
  RILL_NEED_SHARED("goldens/smollm2-135m-instruct/wikitext2.safetensors");
  const auto golden = Golden::load(shared_path("goldens/smollm2-135m-instruct/wikitext2.safetensors"));
  ASSERT_TRUE(golden.ok()) << golden.status().message();
  double sum = 0;
  for (const float nll : (*golden)["nll"].floats) sum += static_cast<double>(nll);
  EXPECT_EQ((*golden)["nll"].floats.size(), 16U * 511U);
  EXPECT_NEAR(std::exp(sum / (16 * 511)), 36.077, 5e-4);  // the README beside it
  EXPECT_EQ((*golden)["ids"].shape, (std::vector<std::size_t>{16, 512}));
}

}  // namespace
}  // namespace rill::quant
