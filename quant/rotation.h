#pragma once
// `rill quantize --rotate`: the same network in other coordinates, in which no element of the residual stream, of
// attention's output or of the MLP's middle stands out, so that more inputs can share a scale (DESIGN, section 5).
// Source: QuaRot (arXiv 2404.00456). Only weights change, except for two things that the forward pass knows: a Hadamard
// transform before `down`, and, where the head is tied, a matrix before the head.

#include <cstdint>
#include <span>
#include <vector>

#include "core/model_tensors.h"
#include "platform/status.h"
#include "quant/fused_rows.h"
#include "quant/orthogonal_map.h"
#include "quant/source_model.h"

namespace rill::quant {

/// The turned coordinates of one model. With Q for the residual stream and P for a head's values: what reads the stream
/// becomes W diag(gain) Q^T, what writes to it Q W; values become P W, attention's output matrix takes P^T per head;
/// `down` takes the transform's inverse. Gains are folded in, and become 1.
class Rotation {
 public:
  /// Changes the configuration to that of the rotated model.
  /// kUsage if the model does not stay the same in other coordinates: its norms are no RMSNorm, or stand behind
  /// attention and MLP; or if it has experts, for which this was not written.
  static Result<Rotation> of(const SourceModel& source, ModelConfig& config);

  const OrthogonalMap& stream() const { return stream_; }
  const OrthogonalMap& head() const { return head_; }
  const ModelConfig& config() const { return config_; }
  /// The gain of the norm in front of what reads the stream. @returns [D]
  Result<std::vector<float>> gain_before(const TensorSpec& reader) const;

 private:
  Rotation(const SourceModel& source, const ModelConfig& config)
      : source_(&source), config_(config), stream_(config.hidden), head_(config.head_size) {}

  const SourceModel* source_;
  ModelConfig config_;
  OrthogonalMap stream_;
  OrthogonalMap head_;
};

/// The rows of one of Rill's tensors as they are written: those of the source, or those of the rotated model. Borrows
/// the source and the rotation. Memory: what mixes rows (`out`, `down`, values) is held whole, as float32.
class TurnedRows {
 public:
  /// @param rotation  nullptr: the source's own rows
  /// Errors are those of FusedRows::find and, for what is held whole, FusedRows::read.
  static Result<TurnedRows> find(const SourceModel& source, const TensorSpec& spec, const Rotation* rotation);

  /// As FusedRows::read; for a table or a bias, all of it is one row.
  Status read(std::uint64_t first, std::uint64_t count, std::span<float> out) const;

 private:
  explicit TurnedRows(const TensorSpec& spec) : spec_(spec) {}
  Status read_whole(const Rotation& rotation);
  void turn_row(std::span<float> row) const;
  void turn_columns(const OrthogonalMap& map, std::uint64_t first_row);

  TensorSpec spec_;
  std::vector<FusedRows> source_rows_;  // one; none for what the rotation alone makes
  const Rotation* rotation_ = nullptr;  // nullptr: nothing is turned
  std::vector<float> gain_;             // [columns] of what reads the stream, else empty
  std::vector<float> whole_;            // [rows, columns], turned; empty: rows are turned as they are read
};

}  // namespace rill::quant
