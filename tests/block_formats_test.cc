// Every encoding against blocks laid out by hand from its published structure (ggml's block_q4_0 and so on).

#include "quant/block_formats.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace rill::quant {
namespace {

// Halves used below, by IEEE 754: sign, 5 bits of exponent (bias 15), 10 bits of fraction.
constexpr std::uint16_t kHalfOne = 0x3c00;             // 1
constexpr std::uint16_t kHalfMinusHalf = 0xb800;       // -0.5
constexpr std::uint16_t kHalfQuarter = 0x3400;         // 0.25
constexpr std::uint16_t kHalfThree = 0x4200;           // 3
constexpr std::uint16_t kHalfSmallest = 0x0001;        // 2^-24, subnormal
constexpr std::uint16_t kHalfMinusSubnormal = 0x8003;  // -3 * 2^-24
constexpr std::uint16_t kHalfLargest = 0x7bff;         // 65504

/// A block under construction.
class Bytes {
 public:
  Bytes& u8(unsigned value) {
    bytes_.push_back(static_cast<std::byte>(value));
    return *this;
  }
  Bytes& u16(unsigned value) { return u8(value & 0xffU).u8(value >> 8U); }
  Bytes& u32(std::uint32_t value) { return u16(value & 0xffffU).u16(value >> 16U); }
  Bytes& fill(std::size_t count, unsigned value) {
    for (std::size_t i = 0; i < count; ++i) u8(value);
    return *this;
  }
  Bytes& append(const std::vector<unsigned>& values) {
    for (const unsigned value : values) u8(value);
    return *this;
  }
  const std::vector<std::byte>& get() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

const BlockFormat& format(std::string_view name) {
  for (const BlockFormat& f : block_formats()) {
    if (f.name == name) return f;
  }
  ADD_FAILURE() << "no format " << name;
  return block_formats().front();
}

/// Decodes bytes that lie at an odd address, as they may in a mapping.
std::vector<float> decode(std::string_view name, const std::vector<std::byte>& bytes) {
  const BlockFormat& f = format(name);
  EXPECT_EQ(bytes.size() % f.bytes, 0U) << name;
  std::vector<std::byte> shifted(bytes.size() + 1);
  std::memcpy(shifted.data() + 1, bytes.data(), bytes.size());
  const std::size_t count = bytes.size() / f.bytes;
  std::vector<float> out(count * f.elements, std::numeric_limits<float>::quiet_NaN());
  f.dequantize(shifted.data() + 1, count, out.data());
  return out;
}

TEST(BlockFormats, HaveTheIdsAndSizesThatTheSpecificationGives) {
  struct Row {
    std::uint32_t id;
    std::string_view name;
    std::uint32_t elements;
    std::uint32_t bytes;
  };
  constexpr Row kRows[] = {{0, "F32", 1, 4},       {1, "F16", 1, 2},       {2, "Q4_0", 32, 18}, {3, "Q4_1", 32, 20},
                           {6, "Q5_0", 32, 22},    {7, "Q5_1", 32, 24},    {8, "Q8_0", 32, 34}, {12, "Q4_K", 256, 144},
                           {13, "Q5_K", 256, 176}, {14, "Q6_K", 256, 210}, {30, "BF16", 1, 2}};
  ASSERT_EQ(block_formats().size(), std::size(kRows));
  for (const Row& row : kRows) {
    const auto found = find_block_format(row.id, text("here"));
    ASSERT_TRUE(found.ok()) << row.name;
    EXPECT_EQ((*found)->name, row.name);
    EXPECT_EQ((*found)->elements, row.elements) << row.name;
    EXPECT_EQ((*found)->bytes, row.bytes) << row.name;
  }
}

TEST(BlockFormats, UnknownTypeIsRefusedWithTheListOfThoseThatAreKnown) {
  for (const std::uint32_t id : {4U, 5U, 9U, 15U, 31U, 0xffffffffU}) {
    const auto found = find_block_format(id, text("a.gguf, tensor t"));
    ASSERT_FALSE(found.ok());
    EXPECT_EQ(found.status().code(), Code::kBadInput);
    const std::string message(found.status().message());
    EXPECT_NE(message.find("a.gguf, tensor t: type " + std::to_string(id)), std::string::npos) << message;
    for (const BlockFormat& f : block_formats()) EXPECT_NE(message.find(f.name), std::string::npos) << message;
  }
}

TEST(BlockFormats, F32KeepsEveryBit) {
  const auto out = decode("F32", Bytes().u32(0x3f800000).u32(0x80000000).u32(0x00000001).u32(0x7f800000).get());
  EXPECT_EQ(out[0], 1.0F);
  EXPECT_TRUE(out[1] == 0.0F && std::signbit(out[1]));
  EXPECT_EQ(out[2], std::numeric_limits<float>::denorm_min());
  EXPECT_EQ(out[3], std::numeric_limits<float>::infinity());
}

TEST(BlockFormats, F16IsExactForSubnormalsToo) {
  const auto out = decode("F16", Bytes()
                                     .u16(kHalfMinusHalf)
                                     .u16(kHalfSmallest)
                                     .u16(kHalfMinusSubnormal)
                                     .u16(kHalfLargest)
                                     .u16(0x0400)
                                     .u16(0x03ff)
                                     .get());
  EXPECT_EQ(out, (std::vector<float>{-0.5F, 0x1p-24F, -3.0F * 0x1p-24F, 65504.0F, 0x1p-14F, 1023.0F * 0x1p-24F}));
}

TEST(BlockFormats, Bf16IsTheUpperHalfOfAFloat) {
  const auto out = decode("BF16", Bytes().u16(0x3f80).u16(0xc040).u16(0x0001).get());
  EXPECT_EQ(out, (std::vector<float>{1.0F, -3.0F, 0x1p-133F}));
}

/// 16 bytes whose low nibbles are 0..15 and whose high nibbles are 15..0.
std::vector<unsigned> counting_nibbles() {
  std::vector<unsigned> bytes;
  for (unsigned j = 0; j < 16; ++j) bytes.push_back(j | (15 - j) << 4U);
  return bytes;
}

TEST(BlockFormats, Q4_0HasLowNibblesFirstAndIsCentredOnEight) {
  const auto bytes =
      Bytes().u16(kHalfMinusHalf).append(counting_nibbles()).u16(kHalfMinusSubnormal).fill(16, 0xf0).get();
  const auto out = decode("Q4_0", bytes);
  for (std::size_t j = 0; j < 16; ++j) {
    EXPECT_EQ(out[j], -0.5F * (static_cast<float>(j) - 8.0F)) << j;
    EXPECT_EQ(out[j + 16], -0.5F * (7.0F - static_cast<float>(j))) << j;
    EXPECT_EQ(out[j + 32], 24.0F * 0x1p-24F) << j;   // (0 - 8) * -3 * 2^-24
    EXPECT_EQ(out[j + 48], -21.0F * 0x1p-24F) << j;  // (15 - 8) * -3 * 2^-24
  }
}

TEST(BlockFormats, Q4_1AddsTheMinimum) {
  const auto out = decode("Q4_1", Bytes().u16(kHalfQuarter).u16(kHalfMinusHalf).append(counting_nibbles()).get());
  for (std::size_t j = 0; j < 16; ++j) {
    EXPECT_EQ(out[j], 0.25F * static_cast<float>(j) - 0.5F) << j;
    EXPECT_EQ(out[j + 16], 0.25F * (15.0F - static_cast<float>(j)) - 0.5F) << j;
  }
}

TEST(BlockFormats, Q4_1RoundsOnceWhereTheMinimumIsAdded) {
  // 65504 + 15 * 2^-24 needs 44 bits: the nearest float32 is 65504.
  const auto out = decode("Q4_1", Bytes().u16(kHalfSmallest).u16(kHalfLargest).fill(16, 0xff).get());
  for (const float value : out) EXPECT_EQ(value, 65504.0F);
}

TEST(BlockFormats, Q5_0TakesFifthBitsInTheOrderOfTheElements) {
  // Fifth bits 0, 3, 16 and 31 are set: those elements gain 16.
  const auto out = decode("Q5_0", Bytes().u16(kHalfThree).u32(0x80010009U).append(counting_nibbles()).get());
  for (std::size_t e = 0; e < 32; ++e) {
    const bool fifth = e == 0 || e == 3 || e == 16 || e == 31;
    const auto nibble = static_cast<float>(e < 16 ? e : 31 - e);
    EXPECT_EQ(out[e], 3.0F * (nibble + (fifth ? 16.0F : 0.0F) - 16.0F)) << e;
  }
}

TEST(BlockFormats, Q5_1HasScaleMinimumFifthBitsAndNibbles) {
  const auto out = decode(
      "Q5_1", Bytes().u16(kHalfMinusSubnormal).u16(kHalfSmallest).u32(0x00ff0001U).append(counting_nibbles()).get());
  for (std::size_t e = 0; e < 32; ++e) {
    const bool fifth = e == 0 || (e >= 16 && e < 24);
    const float q = static_cast<float>(e < 16 ? e : 31 - e) + (fifth ? 16.0F : 0.0F);
    EXPECT_EQ(out[e], (-3.0F * q + 1.0F) * 0x1p-24F) << e;
  }
}

TEST(BlockFormats, Q8_0IsAScaleTimesSignedBytes) {
  std::vector<unsigned> integers;
  for (unsigned e = 0; e < 32; ++e) integers.push_back((e * 8) & 0xffU);  // 0, 8, ..., 120, -128, ..., -8
  const auto out = decode("Q8_0", Bytes().u16(kHalfQuarter).append(integers).u16(kHalfMinusHalf).fill(32, 0x81).get());
  for (std::size_t e = 0; e < 32; ++e) {
    EXPECT_EQ(out[e], 2.0F * static_cast<float>(e) - (e < 16 ? 0.0F : 64.0F)) << e;
    EXPECT_EQ(out[e + 32], 63.5F) << e;  // -127 * -0.5
  }
}

// The 12 bytes of K-quants for scales 1, 62, 35, 20, 63, 17, 46, 8 and minima 60, 2, 33, 51, 5, 48, 30, 63, worked out
// on paper. Bytes 0..3: low six bits scale 0..3, upper two bits of scale 4..7 (63 = 3:15, 17 = 1:1, 46 = 2:14, 8 =
// 0:8). Bytes 4..7: minima 0..3 and upper bits of minima 4..7 (5 = 0:5, 48 = 3:0, 30 = 1:14, 63 = 3:15). Bytes 8..11:
// low nibbles of scales 4..7, high nibbles of minima 4..7.
const std::vector<unsigned> kPackedScales = {0xc1, 0x7e, 0xa3, 0x14, 0x3c, 0xc2, 0x61, 0xf3, 0x5f, 0x01, 0xee, 0xf8};
constexpr float kScales[8] = {1, 62, 35, 20, 63, 17, 46, 8};
constexpr float kMinima[8] = {60, 2, 33, 51, 5, 48, 30, 63};

/// 128 bytes for 256 nibbles, where element e of sub-block s is (e + 3 s) mod 16; 64 elements share 32 bytes.
std::vector<unsigned> super_nibbles() {
  std::vector<unsigned> bytes;
  for (unsigned pair = 0; pair < 4; ++pair) {
    for (unsigned e = 0; e < 32; ++e) {
      const unsigned low = (e + 3 * (2 * pair)) % 16;
      const unsigned high = (e + 3 * (2 * pair + 1)) % 16;
      bytes.push_back(low | high << 4U);
    }
  }
  return bytes;
}

TEST(BlockFormats, Q4_KUnpacksItsSixBitScalesInBothHalves) {
  const auto out =
      decode("Q4_K", Bytes().u16(kHalfMinusHalf).u16(kHalfQuarter).append(kPackedScales).append(super_nibbles()).get());
  for (std::size_t s = 0; s < 8; ++s) {
    for (std::size_t e = 0; e < 32; ++e) {
      const auto q = static_cast<float>((e + 3 * s) % 16);
      EXPECT_EQ(out[32 * s + e], -0.5F * kScales[s] * q - 0.25F * kMinima[s]) << s << ", " << e;
    }
  }
}

TEST(BlockFormats, Q4_KIsExactWithSubnormalScales) {
  const auto out = decode(
      "Q4_K", Bytes().u16(kHalfMinusSubnormal).u16(kHalfSmallest).append(kPackedScales).append(super_nibbles()).get());
  EXPECT_EQ(out[1], (-3.0F * 1 * 1 - 60) * 0x1p-24F);            // sub-block 0, q = 1
  EXPECT_EQ(out[32 * 4], (-3.0F * 63 * 12 - 5) * 0x1p-24F);      // sub-block 4, q = 12
  EXPECT_EQ(out[32 * 7 + 31], (-3.0F * 8 * 4 - 63) * 0x1p-24F);  // sub-block 7, q = (31 + 21) mod 16
}

TEST(BlockFormats, Q5_KTakesItsFifthBitsFromOneBitPlanePerSubBlock) {
  std::vector<unsigned> planes;  // byte e, bit s: set where e + s is a multiple of 3
  for (unsigned e = 0; e < 32; ++e) {
    unsigned byte = 0;
    for (unsigned s = 0; s < 8; ++s) byte |= ((e + s) % 3 == 0 ? 1U : 0U) << s;
    planes.push_back(byte);
  }
  const auto out = decode(
      "Q5_K",
      Bytes().u16(kHalfQuarter).u16(kHalfMinusHalf).append(kPackedScales).append(planes).append(super_nibbles()).get());
  for (std::size_t s = 0; s < 8; ++s) {
    for (std::size_t e = 0; e < 32; ++e) {
      const float q = static_cast<float>((e + 3 * s) % 16) + ((e + s) % 3 == 0 ? 16.0F : 0.0F);
      EXPECT_EQ(out[32 * s + e], 0.25F * kScales[s] * q + 0.5F * kMinima[s]) << s << ", " << e;
    }
  }
}

TEST(BlockFormats, Q6_KPutsSixBitsTogetherFromTwoPlanes) {
  // q of element e is (5 e + 7) mod 64, written as the structure tells: of each 128 elements, byte l of the first 32
  // low bytes holds elements l and l + 64, byte l of the second 32 elements l + 32 and l + 96; byte l of the high plane
  // holds the upper two bits of all four, element l lowest.
  const auto q = [](std::size_t e) { return static_cast<unsigned>((5 * e + 7) % 64); };
  std::vector<unsigned> low;
  std::vector<unsigned> high;
  for (std::size_t base = 0; base < 256; base += 128) {
    for (std::size_t l = base; l < base + 32; ++l) low.push_back((q(l) & 15U) | (q(l + 64) & 15U) << 4U);
    for (std::size_t l = base; l < base + 32; ++l) low.push_back((q(l + 32) & 15U) | (q(l + 96) & 15U) << 4U);
    for (std::size_t l = base; l < base + 32; ++l) {
      high.push_back(q(l) >> 4U | q(l + 32) >> 4U << 2U | q(l + 64) >> 4U << 4U | q(l + 96) >> 4U << 6U);
    }
  }
  std::vector<unsigned> scales;  // -128, -111, ..., 127
  for (unsigned s = 0; s < 16; ++s) scales.push_back((s * 17 + 0x80) & 0xffU);

  for (const auto& [d, value] : {std::pair{kHalfMinusHalf, -0.5F}, std::pair{kHalfMinusSubnormal, -3.0F * 0x1p-24F},
                                 std::pair{kHalfOne, 1.0F}}) {
    const auto out = decode("Q6_K", Bytes().append(low).append(high).append(scales).u16(d).get());
    for (std::size_t e = 0; e < 256; ++e) {
      const std::size_t sub_block = e / 16;
      const float scale = static_cast<float>(sub_block) * 17.0F - 128.0F;
      EXPECT_EQ(out[e], value * scale * (static_cast<float>(q(e)) - 32.0F)) << e;
    }
  }
}

TEST(BlockFormats, Q6_KMatchesThreeElementsWorkedOutOnPaper) {
  // All bytes zero but: low byte 0 = 0x5a, high byte 0 = 0b11'01'00'10, scale 0 = 2, scale 4 = -3, d = 0.25.
  std::vector<unsigned> block(208, 0);
  block[0] = 0x5a;    // element 0: low 10; element 64: low 5
  block[128] = 0xd2;  // element 0: high 2; element 32: 0; element 64: 1; element 96: 3
  block[192] = 2;
  block[196] = 0xfd;
  const auto out = decode("Q6_K", Bytes().append(block).u16(kHalfQuarter).get());
  EXPECT_EQ(out[0], 0.25F * 2 * (42 - 32));
  EXPECT_EQ(out[64], 0.25F * -3 * (21 - 32));
  EXPECT_EQ(out[1], 0.25F * 2 * (0 - 32));
  EXPECT_EQ(out[96], 0.0F);  // its scale is zero
}

}  // namespace
}  // namespace rill::quant
