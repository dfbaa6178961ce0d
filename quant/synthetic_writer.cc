#include "quant/synthetic_writer.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "core/model_tensors.h"
#include "platform/half.h"
#include "quant/model_writer.h"

namespace rill::quant {
namespace {

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): eight random bytes a step.
class RandomBytes {
 public:
  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31U);
  }
  /// Weights of -127 to 127; -128 is none.
  void fill(std::span<std::byte> out) {
    for (std::size_t i = 0; i < out.size(); i += sizeof(std::uint64_t)) {
      const std::uint64_t eight = next();
      std::memcpy(out.data() + i, &eight, std::min(out.size() - i, sizeof eight));
    }
    std::replace(out.begin(), out.end(), std::byte{0x80}, std::byte{0x81});
  }

 private:
  std::uint64_t state_ = 1;
};

constexpr double kDeviation = 0.02;
constexpr double kDeviationOfBytes = 73.3;  // of integers from -127 to 127: sqrt((255^2 - 1) / 12)

class SyntheticModel {
 public:
  SyntheticModel(const PublishedShape& shape, ModelWriter& writer, Progress progress)
      : shape_(shape), writer_(writer), progress_(progress) {
    for (const format::TensorEntry& entry : writer.entries()) total_ += entry.bytes;
  }

  Status write(const TensorSpec& spec) {
    if (spec.pattern == format::kRopeTurns) {
      std::vector<std::uint64_t> fractions;
      for (const double turn : shape_.rope_turns()) fractions.push_back(turns_to_fraction(turn));
      return append(std::as_bytes(std::span(fractions)));
    }
    report_.parameters += spec.rows * spec.columns;
    if (spec.format == format::TensorFormat::kInt8Tiles) return write_matrix(spec);
    const std::vector<float> values(static_cast<std::size_t>(spec.rows * spec.columns), spec.is_bias ? 0.0F : 1.0F);
    return append(std::as_bytes(std::span(values)));
  }
  const QuantizeReport& report() const { return report_; }

 private:
  Status append(std::span<const std::byte> bytes) {
    RILL_TRY(writer_.append(bytes));
    done_ += bytes.size();
    progress_(done_, total_);
    return {};
  }

  Status write_matrix(const TensorSpec& spec) {
    const format::TileShape tiles{.rows = static_cast<std::size_t>(spec.rows),
                                  .columns = static_cast<std::size_t>(spec.columns),
                                  .group = spec.group};
    const std::uint16_t scale = float_to_half(static_cast<float>(kDeviation / kDeviationOfBytes));
    std::vector<std::byte> block(tiles.block_bytes());
    for (std::size_t g = 0; g < tiles.groups(); ++g) {
      std::fill_n(reinterpret_cast<std::uint16_t*>(block.data() + tiles.scales_offset(g)), format::kTileRows, scale);
    }
    for (std::size_t first = 0; first < tiles.rows; first += format::kTileRows) {
      for (std::size_t g = 0; g < tiles.groups(); ++g) {
        random_.fill(std::span(block).subspan(tiles.tiles_offset(g), tiles.group_bytes()));
      }
      clear_padding(tiles, first, block);
      RILL_TRY(append(block));
    }
    report_.tensors.push_back({.name = std::string(tensor_name(spec.pattern, spec.layer, spec.is_bias).view()),
                               .rows = spec.rows,
                               .columns = spec.columns,
                               .snr_db = kLosslessDb,
                               .largest_error = 0});
    return {};
  }

  /// Rows and columns that are not there are zeros.
  static void clear_padding(const format::TileShape& tiles, std::size_t first_row, std::span<std::byte> block) {
    if (first_row + format::kTileRows <= tiles.rows && tiles.columns == tiles.padded_columns()) return;
    for (std::size_t row = 0; row < format::kTileRows; ++row) {
      const std::size_t kept = first_row + row < tiles.rows ? tiles.columns : 0;
      for (std::size_t column = kept; column < tiles.padded_columns(); ++column) {
        block[tiles.offset_in_block(row, column)] = std::byte{0};
      }
    }
  }

  const PublishedShape& shape_;
  ModelWriter& writer_;
  Progress progress_;
  RandomBytes random_;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
  QuantizeReport report_;
};

}  // namespace

Result<QuantizeReport> write_synthetic_model(const PublishedShape& shape, const ModelConfig& config,
                                             std::string_view output_path, const QuantizeOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  ModelConfig refined = config;
  refined.group = options.group;
  RILL_TRY(validate(refined, text(shape.name)));
  RILL_ASSIGN(ModelWriter writer, ModelWriter::create(output_path, {.family = shape.family,
                                                                    .config = refined,
                                                                    .tokenizer_section = options.tokenizer_section,
                                                                    .chat_section = options.chat_section}));
  SyntheticModel model(shape, writer, options.progress);
  RILL_TRY(for_each_tensor(refined, [&](const TensorSpec& spec) { return model.write(spec); }));
  RILL_TRY(writer.finish());
  QuantizeReport report = model.report();
  report.family = shape.family;
  report.bytes_out = writer.file_bytes();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.snr_db_min = report.snr_db_mean = kLosslessDb;  // the weights are what was drawn: nothing was lost
  return report;
}

}  // namespace rill::quant
