#include "quant/synthetic_writer.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/model_tensors.h"
#include "platform/half.h"
#include "quant/model_writer.h"

namespace rill::quant {
namespace {

/// Weights of -127 to 127; -128 is none.
void fill_at_random(std::mt19937_64& random, std::span<std::byte> out) {
  for (std::size_t i = 0; i < out.size(); i += sizeof(std::uint64_t)) {
    const std::uint64_t eight = random();
    std::memcpy(out.data() + i, &eight, std::min(out.size() - i, sizeof eight));
  }
  std::replace(out.begin(), out.end(), std::byte{0x80}, std::byte{0x81});
}

constexpr double kDeviation = 0.02;
constexpr double kDeviationOfBytes = 73.3;  // of integers from -127 to 127: sqrt((255^2 - 1) / 12)

class SyntheticModel {
 public:
  SyntheticModel(const PublishedShape& shape, ModelWriter& writer) : shape_(shape), writer_(writer) {}

  Status write(const TensorSpec& spec) {
    if (spec.pattern == format::kRopeTurns) {
      std::vector<std::uint64_t> fractions;
      for (const double turn : shape_.rope_turns()) fractions.push_back(turns_to_fraction(turn));
      return writer_.append(std::as_bytes(std::span(fractions)));
    }
    report_.parameters += spec.rows * spec.columns;
    if (spec.format == format::TensorFormat::kInt8Tiles) return write_matrix(spec);
    const std::vector<float> values(static_cast<std::size_t>(spec.rows * spec.columns), spec.is_bias ? 0.0F : 1.0F);
    return writer_.append(std::as_bytes(std::span(values)));
  }
  const QuantizeReport& report() const { return report_; }

 private:
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
        fill_at_random(random_, std::span(block).subspan(tiles.tiles_offset(g), tiles.group_bytes()));
      }
      clear_padding(tiles, first, block);
      RILL_TRY(writer_.append(block));
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
  std::mt19937_64 random_;  // its bytes are the same everywhere
  QuantizeReport report_;
};

}  // namespace

Result<QuantizeReport> write_synthetic_model(const PublishedShape& shape, const ModelConfig& config,
                                             std::string_view output_path, const QuantizeOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  ModelConfig refined = config;
  refined.group = options.group;
  RILL_TRY(validate(refined, text(shape.name)));
  RILL_ASSIGN(ModelWriter writer, ModelWriter::create(output_path,
                                                      {.family = shape.family,
                                                       .config = refined,
                                                       .tokenizer_section = options.tokenizer_section,
                                                       .chat_section = options.chat_section},
                                                      options.progress));
  SyntheticModel model(shape, writer);
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
