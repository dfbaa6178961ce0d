#include "quant/fused_rows.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/section_table.h"
#include "quant/packed_matrix.h"

namespace rill::quant {
namespace {

/// What a tensor of the file is made of: parts of the source, from its first row to its last.
struct Recipe {
  std::string_view tensor;
  std::vector<Part> parts;
};

const std::vector<Recipe>& recipes() {
  static const std::vector<Recipe> kRecipes = {
      {format::kEmbedding, {Part::kEmbedding}},
      {format::kHead, {Part::kHead}},
      {format::kFinalNorm, {Part::kFinalNorm}},
      {format::kAttentionNorm, {Part::kAttentionNorm}},
      {format::kQkv, {Part::kQuery, Part::kKey, Part::kValue}},
      {format::kAttentionOut, {Part::kAttentionOut}},
      {format::kMlpNorm, {Part::kMlpNorm}},
      {format::kGateUp, {Part::kGate, Part::kUp}},
      {format::kDown, {Part::kDown}},
  };
  return kRecipes;
}

/// Rows that a part contributes to its tensor.
std::uint64_t rows_of(Part part, const TensorSpec& spec, const ModelConfig& config) {
  switch (part) {
    case Part::kQuery:
      return std::uint64_t{config.heads} * config.head_size;
    case Part::kKey:
    case Part::kValue:
      return std::uint64_t{config.kv_heads} * config.head_size;
    case Part::kGate:
    case Part::kUp:
      return config.mlp_width;
    default:
      return spec.rows;
  }
}

std::string with_layer(std::string_view pattern, std::uint32_t layer) {
  std::string name(pattern);
  if (const std::size_t hole = name.find("{}"); hole != std::string::npos) name.replace(hole, 2, std::to_string(layer));
  return name;
}

Text shape_text(std::uint64_t rows, std::uint64_t columns) { return text('[', rows, ", ", columns, ']'); }

}  // namespace

Result<FusedRows> FusedRows::find(const SourceModel& source, const TensorSpec& spec) {
  FusedRows fused(source);
  for (const Recipe& recipe : recipes()) {
    if (recipe.tensor != spec.pattern) continue;
    for (const Part part : recipe.parts) RILL_TRY(fused.add(spec, part, rows_of(part, spec, source.config())));
  }
  if (fused.pieces_.empty()) {
    return failed({.where = text("tensor ", spec.pattern),
                   .what = text("nothing says what it is made of"),
                   .expected = {},
                   .remedy = text("report this as a defect of Rill")});
  }
  return fused;
}

Status FusedRows::add(const TensorSpec& spec, Part part, std::uint64_t rows) {
  // A format may know a part by several names; the first that the source has counts.
  std::string missing;
  for (const TensorName& name : source_->names()) {
    if (name.part != part) continue;
    const std::string wanted = with_layer(name.pattern, spec.layer);
    const SourceTensor* tensor = source_->find(wanted);
    if (tensor == nullptr) {
      if (missing.empty()) missing = wanted;
      continue;
    }
    if (tensor->rows != rows || tensor->columns != spec.columns) {
      return bad_input({.where = text(source_->format(), ", tensor ", printable(tensor->name)),
                        .what = text("shape ", shape_text(tensor->rows, tensor->columns)),
                        .expected = text(shape_text(rows, spec.columns), " as its configuration implies"),
                        .remedy = text("check that the file is whole and of this family")});
    }
    pieces_.push_back({.tensor = tensor, .order = name.rows});
    return {};
  }
  if (missing.empty()) missing = "for " + std::string(tensor_name(spec.pattern, spec.layer).view());
  return bad_input({.where = text(source_->format()),
                    .what = text("there is no tensor ", missing),
                    .expected = {},
                    .remedy = text("check that the file is whole and of this family")});
}

std::uint64_t FusedRows::source_row(const Piece& piece, std::uint64_t row) const {
  if (piece.order == Rows::kAsTheyAre) return row;
  // In each head, pair i lies in rows 2 i and 2 i + 1 of the source, and in rows i and i + d/2 of ours.
  const std::uint64_t head_size = source_->config().head_size;
  const std::uint64_t head_start = row / head_size * head_size;
  const std::uint64_t within = row % head_size;
  const std::uint64_t half = head_size / 2;
  return head_start + (within < half ? 2 * within : 2 * (within - half) + 1);
}

Status FusedRows::read(std::uint64_t first, std::uint64_t count, std::span<float> out) const {
  const std::uint64_t end = first + count;
  std::uint64_t piece_start = 0;
  for (const Piece& piece : pieces_) {
    const std::uint64_t piece_end = piece_start + piece.tensor->rows;
    const std::uint64_t columns = piece.tensor->columns;
    // Runs of rows that are neighbours in the source too are read in one call.
    for (std::uint64_t row = std::max(first, piece_start); row < std::min(end, piece_end);) {
      const std::uint64_t from = source_row(piece, row - piece_start);
      std::uint64_t run = 1;
      while (row + run < std::min(end, piece_end) && source_row(piece, row + run - piece_start) == from + run) ++run;
      const std::span<float> rows =
          out.subspan(static_cast<std::size_t>((row - first) * columns), static_cast<std::size_t>(run * columns));
      RILL_TRY(source_->read_rows(*piece.tensor, from, run, rows));
      RILL_TRY(check(piece, from, rows));
      row += run;
    }
    piece_start = piece_end;
  }
  return {};
}

Status FusedRows::check(const Piece& piece, std::uint64_t row, std::span<const float> weights) const {
  const auto is_good = [](float weight) { return std::fabs(weight) <= kLargestWeight; };  // false for NaN
  const auto bad = std::find_if_not(weights.begin(), weights.end(), is_good);
  if (bad == weights.end()) return {};
  const auto index = static_cast<std::uint64_t>(bad - weights.begin());
  return bad_input({.where = text(source_->format(), ", tensor ", printable(piece.tensor->name), ", row ",
                                  row + index / piece.tensor->columns, ", column ", index % piece.tensor->columns),
                    .what = text("the weight ", *bad),
                    .expected = text("a finite number of magnitude up to ", kLargestWeight),
                    .remedy = text("the source is damaged: get it again")});
}

}  // namespace rill::quant
