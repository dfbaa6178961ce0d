#include "quant/block_formats.h"

#include <cstring>

#include "platform/half.h"

namespace rill::quant {
namespace {

unsigned byte_at(const std::byte* block, std::size_t index) { return std::to_integer<unsigned>(block[index]); }

int signed_byte_at(const std::byte* block, std::size_t index) {
  return static_cast<std::int8_t>(std::to_integer<std::uint8_t>(block[index]));
}

std::uint32_t word_at(const std::byte* block, std::size_t offset) {
  std::uint32_t word;
  std::memcpy(&word, block + offset, sizeof word);
  return word;
}

std::uint16_t half_word_at(const std::byte* block, std::size_t offset) {
  std::uint16_t half_word;
  std::memcpy(&half_word, block + offset, sizeof half_word);
  return half_word;
}

float half_at(const std::byte* block, std::size_t offset) { return half_to_float(half_word_at(block, offset)); }

/// The 4-bit integer of element e where a block of 32 keeps elements 0..15 in low nibbles and 16..31 in high ones.
unsigned nibble_of_32(const std::byte* nibbles, std::size_t e) {
  return e < 16 ? byte_at(nibbles, e) & 15U : byte_at(nibbles, e - 16) >> 4U;
}

struct F32 {
  static constexpr std::uint32_t kElements = 1;
  static constexpr std::uint32_t kBytes = 4;
  static void decode(const std::byte* block, float* out) { std::memcpy(out, block, sizeof *out); }
};

struct F16 {
  static constexpr std::uint32_t kElements = 1;
  static constexpr std::uint32_t kBytes = 2;
  static void decode(const std::byte* block, float* out) { *out = half_at(block, 0); }
};

struct Bf16 {
  static constexpr std::uint32_t kElements = 1;
  static constexpr std::uint32_t kBytes = 2;
  static void decode(const std::byte* block, float* out) { *out = bfloat_to_float(half_word_at(block, 0)); }
};

// | d: half | 16 bytes of nibbles |, value (q - 8) d
struct Q4Symmetric {
  static constexpr std::uint32_t kElements = 32;
  static constexpr std::uint32_t kBytes = 18;
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block, 0);
    for (std::size_t e = 0; e < kElements; ++e) {
      out[e] = static_cast<float>(static_cast<int>(nibble_of_32(block + 2, e)) - 8) * d;
    }
  }
};

// | d: half | m: half | 16 bytes of nibbles |, value q d + m
struct Q4Affine {
  static constexpr std::uint32_t kElements = 32;
  static constexpr std::uint32_t kBytes = 20;
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block, 0);
    const float m = half_at(block, 2);
    for (std::size_t e = 0; e < kElements; ++e) out[e] = static_cast<float>(nibble_of_32(block + 4, e)) * d + m;
  }
};

// | d: half | 32 fifth bits, bit e for element e | 16 bytes of nibbles |, value (q - 16) d
struct Q5Symmetric {
  static constexpr std::uint32_t kElements = 32;
  static constexpr std::uint32_t kBytes = 22;
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block, 0);
    const std::uint32_t fifth = word_at(block, 2);
    for (std::size_t e = 0; e < kElements; ++e) {
      const unsigned q = nibble_of_32(block + 6, e) | (((fifth >> e) & 1U) << 4U);
      out[e] = static_cast<float>(static_cast<int>(q) - 16) * d;
    }
  }
};

// | d: half | m: half | 32 fifth bits | 16 bytes of nibbles |, value q d + m
struct Q5Affine {
  static constexpr std::uint32_t kElements = 32;
  static constexpr std::uint32_t kBytes = 24;
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block, 0);
    const float m = half_at(block, 2);
    const std::uint32_t fifth = word_at(block, 4);
    for (std::size_t e = 0; e < kElements; ++e) {
      const unsigned q = nibble_of_32(block + 8, e) | (((fifth >> e) & 1U) << 4U);
      out[e] = static_cast<float>(q) * d + m;
    }
  }
};

// | d: half | 32 int8 |, value q d
struct Q8Symmetric {
  static constexpr std::uint32_t kElements = 32;
  static constexpr std::uint32_t kBytes = 34;
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block, 0);
    for (std::size_t e = 0; e < kElements; ++e) out[e] = static_cast<float>(signed_byte_at(block + 2, e)) * d;
  }
};

/// A sub-block's 6-bit scale and 6-bit minimum.
struct ScaleAndMin {
  unsigned scale;
  unsigned min;
};

/// Eight pairs of 6 bits in 12 bytes: pairs 0..3 are the low six bits of bytes 0..3 (scales) and 4..7 (minima); pairs
/// 4..7 have their low four bits in bytes 8..11 (low nibble scale, high nibble minimum), their high two on top of
/// those.
ScaleAndMin scale_and_min(const std::byte* packed, std::size_t pair) {
  if (pair < 4) return {.scale = byte_at(packed, pair) & 63U, .min = byte_at(packed, pair + 4) & 63U};
  const unsigned low = byte_at(packed, pair + 4);
  return {.scale = (low & 15U) | (byte_at(packed, pair - 4) >> 6U) << 4U,
          .min = (low >> 4U) | (byte_at(packed, pair) >> 6U) << 4U};
}

/// The 4-bit integer of element e of 256, of which every 64 share 32 bytes: the first 32 the low nibbles.
unsigned nibble_of_256(const std::byte* nibbles, std::size_t e) {
  return (byte_at(nibbles, e / 64 * 32 + e % 32) >> (e / 32 % 2 * 4)) & 15U;
}

// 256 elements in 8 sub-blocks of 32: | d: half | dmin: half | 12 bytes of scales | 128 bytes of nibbles |,
// value q (d scale) - dmin min
struct Q4Super {
  static constexpr std::uint32_t kElements = 256;
  static constexpr std::uint32_t kBytes = 144;
  static void decode(const std::byte* block, float* out) {
    for (std::size_t sub = 0; sub < 8; ++sub) {
      const ScaleAndMin packed = scale_and_min(block + 4, sub);
      const float d = half_at(block, 0) * static_cast<float>(packed.scale);
      const float m = half_at(block, 2) * static_cast<float>(packed.min);
      for (std::size_t e = 32 * sub; e < 32 * (sub + 1); ++e) {
        out[e] = static_cast<float>(nibble_of_256(block + 16, e)) * d - m;
      }
    }
  }
};

// As Q4_K with fifth bits: | d | dmin | 12 bytes of scales | 32 bytes, bit s of byte e % 32 for sub-block s | nibbles |
struct Q5Super {
  static constexpr std::uint32_t kElements = 256;
  static constexpr std::uint32_t kBytes = 176;
  static void decode(const std::byte* block, float* out) {
    for (std::size_t sub = 0; sub < 8; ++sub) {
      const ScaleAndMin packed = scale_and_min(block + 4, sub);
      const float d = half_at(block, 0) * static_cast<float>(packed.scale);
      const float m = half_at(block, 2) * static_cast<float>(packed.min);
      for (std::size_t e = 32 * sub; e < 32 * (sub + 1); ++e) {
        const unsigned fifth = (byte_at(block + 16, e % 32) >> sub) & 1U;
        out[e] = static_cast<float>(nibble_of_256(block + 48, e) | fifth << 4U) * d - m;
      }
    }
  }
};

// 256 elements in 16 sub-blocks of 16: | 128 bytes of low nibbles | 64 bytes of high pairs of bits | 16 int8 scales |
// d: half |, value (q - 32) (d scale). Each half of 128 elements has 64 and 32 of those bytes; its quarters of 32
// elements are low nibbles of the first and second 32 bytes, then high nibbles; a pair of bits per quarter.
struct Q6Super {
  static constexpr std::uint32_t kElements = 256;
  static constexpr std::uint32_t kBytes = 210;
  static void decode(const std::byte* block, float* out) {
    for (std::size_t e = 0; e < kElements; ++e) {
      const std::size_t half = e / 128;
      const std::size_t quarter = e % 128 / 32;
      const unsigned low = (byte_at(block, 64 * half + 32 * (quarter % 2) + e % 32) >> (4 * (quarter / 2))) & 15U;
      const unsigned high = (byte_at(block + 128, 32 * half + e % 32) >> (2 * quarter)) & 3U;
      const float d = half_at(block, 208) * static_cast<float>(signed_byte_at(block + 192, e / 16));
      out[e] = static_cast<float>(static_cast<int>(low | high << 4U) - 32) * d;
    }
  }
};

template <typename Format>
void dequantize(const std::byte* blocks, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i) Format::decode(blocks + i * Format::kBytes, out + i * Format::kElements);
}

template <typename Format>
constexpr BlockFormat row(std::uint32_t id, std::string_view name) {
  return {
      .id = id, .name = name, .elements = Format::kElements, .bytes = Format::kBytes, .dequantize = dequantize<Format>};
}

constexpr BlockFormat kFormats[] = {
    row<F32>(0, "F32"),          row<F16>(1, "F16"),       row<Q4Symmetric>(2, "Q4_0"), row<Q4Affine>(3, "Q4_1"),
    row<Q5Symmetric>(6, "Q5_0"), row<Q5Affine>(7, "Q5_1"), row<Q8Symmetric>(8, "Q8_0"), row<Q4Super>(12, "Q4_K"),
    row<Q5Super>(13, "Q5_K"),    row<Q6Super>(14, "Q6_K"), row<Bf16>(30, "BF16"),
};

}  // namespace

std::span<const BlockFormat> block_formats() { return kFormats; }

Result<const BlockFormat*> find_block_format(std::uint32_t id, const Text& where) {
  Text known;
  for (const BlockFormat& format : kFormats) {
    if (format.id == id) return &format;
    if (!known.empty()) known.append(", ");
    known.append(text(format.name, " (", format.id, ")").view());
  }
  return bad_input({.where = where,
                    .what = text("type ", id, " is not known"),
                    .expected = text("one of ", known),
                    .remedy = text("quantize the model to one of these, Q8_0 for instance")});
}

}  // namespace rill::quant
