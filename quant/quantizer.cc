#include "quant/quantizer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "core/memory_plan.h"
#include "core/model_tensors.h"
#include "platform/cpu_quota.h"
#include "platform/worker_pool.h"
#include "quant/fused_rows.h"
#include "quant/input_equalizer.h"
#include "quant/key_equalizer.h"
#include "quant/model_writer.h"
#include "quant/packed_matrix.h"
#include "quant/rotation.h"
#include "quant/size_factors.h"
#include "quant/tensor_table.h"

namespace rill::quant {
namespace {

/// Source rows are read, and file bytes written, in pieces of about this size.
constexpr std::size_t kPieceBytes = 1024 * 1024;

/// Signal and noise of one tensor, in double: 10^8 terms must not lose the small ones.
class Distortion {
 public:
  void add(std::span<const float> exact, std::span<const float> quantized) {
    for (std::size_t i = 0; i < exact.size(); ++i) {
      const double value = exact[i];
      const double error = value - static_cast<double>(quantized[i]);
      signal_ += value * value;
      noise_ += error * error;
      largest_ = std::max(largest_, std::fabs(error));
    }
  }
  void add(const Distortion& other) {
    signal_ += other.signal_;
    noise_ += other.noise_;
    largest_ = std::max(largest_, other.largest_);
  }
  double snr_db() const {
    if (noise_ == 0.0) return kLosslessDb;
    if (signal_ == 0.0) return 0.0;
    return std::min(kLosslessDb, 10.0 * std::log10(signal_ / noise_));
  }
  double largest() const { return largest_; }

 private:
  double signal_ = 0.0;
  double noise_ = 0.0;
  double largest_ = 0.0;
};

/// The pool, if the system grants its threads; else the caller alone, who writes the same file.
struct Threads {
  explicit Threads(std::size_t count) {
    count = std::min(count, WorkerPool::kMaxThreads);
    Result<PageBlock> block = PageBlock::take((count - 1) * WorkerPool::stack_bytes());
    if (!block.ok()) return;
    stacks = std::move(block).value();
    static_cast<void>(pool.start(count, stacks.bytes()).ok());
  }

  PageBlock stacks;
  WorkerPool pool;
};

/// What is done to the weights on their way.
struct Changes {
  const Rotation* rotation = nullptr;
  const InputEqualizer* inputs = nullptr;
  ScaleSearch search = ScaleSearch::kFull;
};

/// One conversion: reads, packs, writes and keeps the report.
class Conversion {
 public:
  Conversion(const SourceModel& source, const Changes& changes, ModelWriter& writer, WorkerPool& pool)
      : source_(source), changes_(changes), writer_(writer), pool_(pool) {}

  Status convert(const TensorSpec& spec) {
    if (spec.pattern == format::kRopeTurns) return convert_turns(spec);
    if (spec.pattern == format::kAlibi) return convert_slopes(spec);
    if (spec.format == format::TensorFormat::kFloat32) return convert_floats(spec);
    return convert_matrix(spec);
  }

  /// Of all weights that an InputEqualizer could change, the largest magnitude.
  float largest_weight() const { return largest_weight_; }

  /// The report's part that comes from the tensors.
  QuantizeReport take_report() {
    report_.snr_db_min = std::numeric_limits<double>::infinity();
    for (const TensorDistortion& tensor : report_.tensors) {
      report_.snr_db_min = std::min(report_.snr_db_min, tensor.snr_db);
      report_.snr_db_mean += tensor.snr_db / static_cast<double>(report_.tensors.size());
    }
    return std::move(report_);
  }

 private:
  /// Queries and keys get the factors of their layer, and all that reads or makes an input that input's.
  Status equalize(const TensorSpec& spec, std::uint64_t first, std::span<float> rows) {
    if (changes_.inputs != nullptr) changes_.inputs->apply(spec, first, rows);
    if (!KeyEqualizer::changes(spec, source_.config())) return {};
    if (!equalizer_ || equalized_layer_ != spec.layer) {
      RILL_ASSIGN(equalizer_, KeyEqualizer::of(source_, spec.layer));
      equalized_layer_ = spec.layer;
    }
    equalizer_->apply(spec, first, rows);
    return {};
  }

  Status convert_turns(const TensorSpec& spec) {
    const std::vector<double> turns = source_.rope_turns();
    RILL_TRY(check_count(spec, turns.size(), "frequencies"));
    std::vector<std::uint64_t> fractions;
    for (const double turn : turns) {
      if (!(turn >= 0.0 && turn < 1.0)) {
        return bad_input({.where = text(source_.format(), ", rotary embedding, pair ", fractions.size()),
                          .what = text(turn, " turns per position"),
                          .expected = text("at least 0 and less than 1"),
                          .remedy = text("check the model's rope_theta and rope scaling")});
      }
      fractions.push_back(turns_to_fraction(turn));
    }
    return writer_.append(std::as_bytes(std::span(fractions)));
  }

  Status convert_slopes(const TensorSpec& spec) {
    const std::vector<double> slopes = source_.alibi_slopes();
    RILL_TRY(check_count(spec, slopes.size(), "slopes"));
    std::vector<float> values(slopes.begin(), slopes.end());
    return writer_.append(std::as_bytes(std::span(values)));
  }

  Status check_count(const TensorSpec& spec, std::size_t found, std::string_view of) const {
    if (found == spec.rows * spec.columns) return {};
    return bad_input({.where = text(source_.format(), ", positions"),
                      .what = text(found, ' ', of),
                      .expected = text(spec.rows * spec.columns, " by its configuration"),
                      .remedy = {}});
  }

  Status convert_floats(const TensorSpec& spec) {
    RILL_ASSIGN(const TurnedRows rows, TurnedRows::find(source_, spec, changes_.rotation));
    std::vector<float> values(static_cast<std::size_t>(spec.rows * spec.columns));
    RILL_TRY(rows.read(0, spec.rows, values));
    RILL_TRY(equalize(spec, 0, values));
    report_.parameters += values.size();
    return writer_.append(std::as_bytes(std::span(values)));
  }

  Status convert_matrix(const TensorSpec& spec) {
    RILL_ASSIGN(const TurnedRows source_rows, TurnedRows::find(source_, spec, changes_.rotation));
    const format::TileShape shape{.rows = static_cast<std::size_t>(spec.rows),
                                  .columns = static_cast<std::size_t>(spec.columns),
                                  .group = spec.group};
    const std::size_t block_floats = format::kTileRows * shape.columns;
    const std::size_t piece_blocks = std::clamp(kPieceBytes / (block_floats * sizeof(float)), pool_.threads(),
                                                std::max(shape.row_blocks(), pool_.threads()));
    std::vector<float> rows(piece_blocks * block_floats);
    std::vector<std::byte> packed(piece_blocks * shape.block_bytes());
    Distortion distortion;
    for (std::size_t first = 0; first < shape.rows;) {
      const std::size_t count = std::min(piece_blocks * format::kTileRows, shape.rows - first);
      const std::span<float> piece = std::span(rows).first(count * shape.columns);
      RILL_TRY(source_rows.read(first, count, piece));
      RILL_TRY(equalize(spec, first, piece));
      if (InputEqualizer::changes(spec)) {
        for (const float weight : piece) largest_weight_ = std::max(largest_weight_, std::fabs(weight));
      }
      RILL_TRY(writer_.append(pack(piece, shape, packed, distortion)));
      first += count;
    }
    if (spec.pattern != format::kHeadTransform) report_.parameters += spec.rows * spec.columns;
    report_.tensors.push_back({.name = std::string(tensor_name(spec.pattern, spec.layer, spec.is_bias).view()),
                               .rows = spec.rows,
                               .columns = spec.columns,
                               .snr_db = distortion.snr_db(),
                               .largest_error = distortion.largest()});
    return {};
  }

  /// Packs a piece of rows, block by block on all threads, and measures what that did to them.
  /// @returns the part of `packed` that was filled.
  std::span<const std::byte> pack(std::span<const float> rows, const format::TileShape& shape,
                                  std::span<std::byte> packed, Distortion& distortion) {
    const std::size_t block_floats = format::kTileRows * shape.columns;
    const std::size_t blocks = (rows.size() + block_floats - 1) / block_floats;
    std::vector<Distortion> of_blocks(blocks);
    unpacked_.resize(pool_.threads() * shape.columns);
    pool_.run(blocks, 1, [&](const WorkerPool::Part& part) {
      const std::span<float> unpacked = std::span(unpacked_).subspan(part.thread * shape.columns, shape.columns);
      for (std::size_t b = part.begin; b < part.end; ++b) {
        const std::size_t floats = std::min(block_floats, rows.size() - b * block_floats);
        const std::span<const float> block = rows.subspan(b * block_floats, floats);
        const std::span<std::byte> out = packed.subspan(b * shape.block_bytes(), shape.block_bytes());
        pack_row_block(block, shape, out, changes_.search);
        for (std::size_t row = 0; row < floats / shape.columns; ++row) {
          unpack_row(out, shape, row, unpacked);
          of_blocks[b].add(block.subspan(row * shape.columns, shape.columns), unpacked);
        }
      }
    });
    for (const Distortion& of_block : of_blocks) distortion.add(of_block);  // in their order: the same sum each time
    return packed.first(blocks * shape.block_bytes());
  }

  const SourceModel& source_;
  Changes changes_;
  ModelWriter& writer_;
  WorkerPool& pool_;
  std::optional<KeyEqualizer> equalizer_;  // of equalized_layer_
  std::uint32_t equalized_layer_ = 0;
  std::vector<float> unpacked_;  // [threads, columns]
  float largest_weight_ = 0;
  QuantizeReport report_;
};

/// Writes a draft of the model, measures what its inputs are like, and leaves the writer as it was. Nothing where a
/// weight is so large that a factor for each of its sides could take it out of int8's reach.
Result<std::optional<InputEqualizer>> calibrate(const SourceModel& source, const ModelConfig& config,
                                                ModelWriter& writer, WorkerPool& pool) {
  Conversion draft(source, {.search = ScaleSearch::kNone}, writer, pool);
  RILL_TRY(for_each_tensor(config, [&](const TensorSpec& spec) { return draft.convert(spec); }));
  RILL_TRY(writer.complete());
  std::optional<InputEqualizer> inputs;
  if (double{draft.largest_weight()} * kLargestFactor * kLargestFactor <= kLargestWeight) {
    Result<InputEqualizer> measured = InputEqualizer::measure(writer.unfinished_path());
    if (!measured.ok()) {
      return failed({.where = text("calibration, on a draft of the file"),
                     .what = text(measured.status().message()),
                     .expected = {},
                     .remedy = text("leave it out with --no-calibration")});
    }
    inputs = std::move(measured).value();
  }
  RILL_TRY(writer.rewind());
  return inputs;
}

}  // namespace

std::uint64_t turns_to_fraction(double turns) {
  // turns < 1 has 53 bits, so the product is below 2^64 and a whole number once it is 2^52 or more: rounding only
  // touches turns below 2^-12.
  return static_cast<std::uint64_t>(std::nearbyint(std::ldexp(turns, 64)));
}

Result<QuantizeReport> quantize(const SourceModel& source, std::string_view output_path,
                                const QuantizeOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  ModelConfig config = source.config();
  config.group = options.group;
  std::optional<Rotation> rotation;
  if (options.is_rotated) {
    RILL_ASSIGN(rotation, Rotation::of(source, config));
  }
  RILL_TRY(validate(config, text(source.format())));
  // Every tensor is looked up before the first byte is written: a wrong family is refused at once.
  const auto look_up = [&](const TensorSpec& spec) -> Status {
    return is_computed(spec) ? Status() : FusedRows::find(source, spec).status();
  };
  RILL_TRY(for_each_tensor(config, look_up));

  const bool calibrates = options.calibrates && !rotation && InputEqualizer::applies_to(config);
  bool is_draft = calibrates;
  const auto show = [&](std::uint64_t done, std::uint64_t total) {
    options.progress(calibrates && !is_draft ? total + done : done, calibrates ? 2 * total : total);
  };
  RILL_ASSIGN(ModelWriter writer, ModelWriter::create(output_path,
                                                      {.family = source.family(),
                                                       .config = config,
                                                       .tokenizer_section = options.tokenizer_section,
                                                       .chat_section = options.chat_section},
                                                      show));
  Threads threads(options.threads == 0 ? usable_cores() : options.threads);
  std::optional<InputEqualizer> inputs;
  if (calibrates) {
    RILL_ASSIGN(inputs, calibrate(source, config, writer, threads.pool));
    is_draft = false;
  }
  Conversion conversion(source, {.rotation = rotation ? &*rotation : nullptr, .inputs = inputs ? &*inputs : nullptr},
                        writer, threads.pool);
  RILL_TRY(for_each_tensor(config, [&](const TensorSpec& spec) { return conversion.convert(spec); }));
  RILL_TRY(writer.finish());

  QuantizeReport report = conversion.take_report();
  report.family = source.family();
  report.bytes_in = source.bytes_in();
  report.bytes_out = writer.file_bytes();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace rill::quant
