#include "quant/fused_rows.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/section_table.h"
#include "quant/packed_matrix.h"
#include "quant/tensor_table.h"

namespace rill::quant {
namespace {

/// Rows that are put into order at a time. This takes the memory of four times as many rows of the source at most.
constexpr std::uint64_t kBlockRows = 64;

Text shape_text(std::uint64_t rows, std::uint64_t columns) { return text('[', rows, ", ", columns, ']'); }

Status bad_rows(const Text& where, const Text& what, const Text& expected) {
  return bad_input({.where = where,
                    .what = what,
                    .expected = expected,
                    .remedy = text("check that the file is whole and of this family")});
}

}  // namespace

Result<FusedRows> FusedRows::find(const SourceModel& source, const TensorSpec& spec) {
  FusedRows fused(source, spec);
  for (const TensorPart& part : parts_of(spec, source.config(), source.names())) RILL_TRY(fused.add(part));
  if (!fused.pieces_.empty()) return fused;
  return bad_rows(text(source.format()),
                  text("there is no tensor for ", tensor_name(spec.pattern, spec.layer, spec.is_bias)), {});
}

Status FusedRows::add(const TensorPart& part) {
  const PartShape shape = part.shape;
  const std::uint64_t rows = spec_.is_bias ? shape.rows * shape.columns : shape.rows;
  std::string missing;
  for (const TensorName& name : source_->names()) {
    if (name.part != part.part) continue;
    if (spec_.is_bias && name.zero_bias) {
      pieces_.push_back({.tensor = nullptr, .name = &name, .rows = rows});
      return {};
    }
    const std::string wanted = source_name(name.pattern, spec_.layer, spec_.is_bias);
    const SourceTensor* tensor = source_->find(wanted);
    if (tensor == nullptr) {
      if (missing.empty()) missing = wanted;
      continue;
    }
    if (tensor->rows != shape.rows || tensor->columns != shape.columns) {
      return bad_rows(text(source_->format(), ", tensor ", printable(tensor->name)),
                      text("shape ", shape_text(tensor->rows, tensor->columns)),
                      text(shape_text(shape.rows, shape.columns), " as its configuration implies"));
    }
    pieces_.push_back({.tensor = tensor, .name = &name, .rows = rows});
    return {};
  }
  return bad_rows(text(source_->format()), text("there is no tensor ", missing), {});
}

std::uint64_t FusedRows::source_row(Rows order, std::uint64_t row) const {
  const ModelConfig& c = source_->config();
  const std::uint64_t d = c.head_size;
  const std::uint64_t in_head = row % d;
  switch (order) {
    case Rows::kAsTheyAre:
      return row;
    case Rows::kAdjacentPairs:  // in each head, pair i lies in rows 2 i and 2 i + 1, and in ours in i and i + d/2
      return row - in_head + (in_head < d / 2 ? 2 * in_head : 2 * (in_head - d / 2) + 1);
    case Rows::kPerKvHead: {
      const std::uint64_t queries = c.heads / c.kv_heads;  // of one KV head
      const std::uint64_t head = row / d;                  // of ours: H queries, G keys, G values
      const bool is_query = head < c.heads;
      const std::uint64_t kv_head = is_query ? head / queries : (head - c.heads) % c.kv_heads;
      const std::uint64_t within = is_query ? head % queries : queries + (head - c.heads) / c.kv_heads;
      return (kv_head * (queries + 2) + within) * d + in_head;
    }
    case Rows::kGateUpPairs: {
      const std::uint64_t in_expert = row % c.wide_rows();
      const bool is_gate = in_expert < c.mlp_width;
      return row - in_expert + (is_gate ? 2 * in_expert : 2 * (in_expert - c.mlp_width) + 1);
    }
  }
  return row;
}

/// Rows of one piece that has another order than Rill's. Those that lie near each other in the source are read together
/// and then put into Rill's order: reading them one by one would be slow where the source is transposed.
Status FusedRows::read_shuffled(const Piece& piece, std::uint64_t first, std::uint64_t count,
                                std::span<float> out) const {
  const std::uint64_t columns = piece.tensor->columns;
  std::uint64_t lowest = source_row(piece.name->rows, first);
  std::uint64_t highest = lowest;
  for (std::uint64_t row = first; row < first + count; ++row) {
    lowest = std::min(lowest, source_row(piece.name->rows, row));
    highest = std::max(highest, source_row(piece.name->rows, row));
  }
  const std::uint64_t span = highest - lowest + 1;
  if (span > 4 * kBlockRows) {  // far apart: halves of the block are nearer
    const std::uint64_t half = count / 2;
    RILL_TRY(read_shuffled(piece, first, half, out.first(static_cast<std::size_t>(half * columns))));
    return read_shuffled(piece, first + half, count - half, out.subspan(static_cast<std::size_t>(half * columns)));
  }
  std::vector<float> near(static_cast<std::size_t>(span * columns));
  RILL_TRY(source_->read_rows(*piece.tensor, lowest, span, near));
  RILL_TRY(check(piece, lowest, near));
  for (std::uint64_t row = 0; row < count; ++row) {
    const std::uint64_t from = source_row(piece.name->rows, first + row) - lowest;
    std::copy_n(near.begin() + static_cast<std::ptrdiff_t>(from * columns), columns,
                out.begin() + static_cast<std::ptrdiff_t>(row * columns));
  }
  return {};
}

Status FusedRows::read(std::uint64_t first, std::uint64_t count, std::span<float> out) const {
  const std::uint64_t end = first + count;
  std::uint64_t piece_start = 0;
  for (const Piece& piece : pieces_) {
    const std::uint64_t piece_end = piece_start + piece.rows;
    const std::uint64_t columns = piece.tensor->columns;
    const std::uint64_t last = std::min(end, piece_end);
    const bool in_order = piece.name->rows == Rows::kAsTheyAre;
    for (std::uint64_t row = std::max(first, piece_start); row < last;) {
      const std::uint64_t rows = in_order ? last - row : std::min(kBlockRows, last - row);
      const std::span<float> block =
          out.subspan(static_cast<std::size_t>((row - first) * columns), static_cast<std::size_t>(rows * columns));
      if (in_order) {
        RILL_TRY(source_->read_rows(*piece.tensor, row - piece_start, rows, block));
        RILL_TRY(check(piece, row - piece_start, block));
      } else {
        RILL_TRY(read_shuffled(piece, row - piece_start, rows, block));
      }
      if (piece.name->plus_one) {
        for (float& gain : block) gain += 1.0F;
      }
      row += rows;
    }
    piece_start = piece_end;
  }
  return {};
}

/// A bias has an element where its matrix has a row, in the same order.
Status FusedRows::read_bias(std::span<float> out) const {
  for (const Piece& piece : pieces_) {
    const auto size = static_cast<std::size_t>(piece.rows);
    std::vector<float> values(size);
    if (piece.tensor != nullptr) {
      RILL_TRY(source_->read_rows(*piece.tensor, 0, piece.tensor->rows, values));
      RILL_TRY(check(piece, 0, values));
    }
    for (std::size_t i = 0; i < size; ++i) out[i] = values[static_cast<std::size_t>(source_row(piece.name->rows, i))];
    out = out.subspan(size);
  }
  return {};
}

Status FusedRows::read_all(std::span<float> out) const {
  return spec_.is_bias ? read_bias(out) : read(0, spec_.rows, out);
}

Status FusedRows::check(const Piece& piece, std::uint64_t row, std::span<const float> weights) const {
  const auto is_good = [](float weight) { return std::fabs(weight) <= kLargestWeight; };  // false for NaN
  const auto bad_weight = std::find_if_not(weights.begin(), weights.end(), is_good);
  if (bad_weight == weights.end()) return {};
  const auto index = static_cast<std::uint64_t>(bad_weight - weights.begin());
  return bad_input({.where = text(source_->format(), ", tensor ", printable(piece.tensor->name), ", row ",
                                  row + index / piece.tensor->columns, ", column ", index % piece.tensor->columns),
                    .what = text("the weight ", *bad_weight),
                    .expected = text("a finite number of magnitude up to ", kLargestWeight),
                    .remedy = text("the source is damaged: get it again")});
}

Result<std::vector<float>> read_vector(const SourceModel& source, const TensorSpec& spec) {
  RILL_ASSIGN(const FusedRows rows, FusedRows::find(source, spec));
  std::vector<float> values(static_cast<std::size_t>(spec.columns));
  RILL_TRY(rows.read_all(values));
  return values;
}

}  // namespace rill::quant
