#pragma once
// The rows of one of Rill's tensors, wherever in the source they lie: in several tensors one after the other (queries,
// keys, values), or in one in another order (the pairs of each head side by side, each head's query, key and value).

#include <cstdint>
#include <span>
#include <vector>

#include "core/model_tensors.h"
#include "platform/status.h"
#include "quant/source_model.h"
#include "quant/tensor_table.h"

namespace rill::quant {

/// Reads float32 rows of one tensor in the order that the .rill file has them. Borrows the source.
class FusedRows {
 public:
  /// Finds what the tensor is made of.
  /// kBadInput names a source tensor that is missing or has another shape than the configuration implies.
  static Result<FusedRows> find(const SourceModel& source, const TensorSpec& spec);

  /// Rows [first, first + count) of a matrix, which must exist.
  /// @param out  [count, columns]
  /// kBadInput names the source tensor and row of a weight that is not finite or has no int8 form.
  Status read(std::uint64_t first, std::uint64_t count, std::span<float> out) const;
  /// All of it, matrix or bias. @param out  [spec.rows, spec.columns]
  Status read_all(std::span<float> out) const;

 private:
  struct Piece {
    const SourceTensor* tensor = nullptr;  ///< nullptr: zeros
    const TensorName* name = nullptr;
    std::uint64_t rows = 0;  ///< of Rill's tensor; for a bias, elements
  };

  FusedRows(const SourceModel& source, const TensorSpec& spec) : source_(&source), spec_(spec) {}
  Status add(const TensorPart& part);
  Status read_shuffled(const Piece& piece, std::uint64_t first, std::uint64_t count, std::span<float> out) const;
  Status read_bias(std::span<float> out) const;
  std::uint64_t source_row(Rows order, std::uint64_t row) const;
  Status check(const Piece& piece, std::uint64_t row, std::span<const float> weights) const;

  const SourceModel* source_;
  TensorSpec spec_;
  std::vector<Piece> pieces_;
};

/// All of one vector (a norm's gains, a bias), [spec.columns]. Errors are those of find() and read().
Result<std::vector<float>> read_vector(const SourceModel& source, const TensorSpec& spec);

}  // namespace rill::quant
