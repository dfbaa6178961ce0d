#pragma once
// The same network with keys whose elements are of one size. A cached key is int8 with one scale (core/cache.h), so the
// elements that stand out take the bits of all others: in Qwen2.5 some reach 40 times the median. A score is a sum of
// products of a query's and a key's elements: each may be divided in the one and multiplied in the other.
// Source: cross-layer equalization (arXiv 1906.04721, section 4.1), between the query's and the key's matrix. Only
// weights change; the runtime does not know of it.

#include <cstdint>
#include <span>
#include <vector>

#include "core/model_tensors.h"
#include "platform/status.h"
#include "quant/source_model.h"

namespace rill::quant {

/// What a layer's keys are divided by, and its queries multiplied.
///
/// The size of an element is not measured but guessed from what makes it: three standard deviations of row times
/// normalised input, and the mean, which is mostly the bias. Scores of real models lose a tenth (SmolLM2) to seven
/// tenths (Qwen2.5) of their noise; one head in 27 guesses wrong and gets more, 1.6 times at most. Both elements of a
/// rotated pair get the same factor, since rotation mixes them; where queries and keys are normalised by head, the
/// norms' gains carry the factors.
class KeyEqualizer {
 public:
  /// Reads the layer's query and key rows once. Memory: a few rows. Errors are those of FusedRows::read.
  /// @param source  borrowed for its configuration
  static Result<KeyEqualizer> of(const SourceModel& source, std::uint32_t layer);

  /// True for what carries the factors: the matrix of queries and keys with its bias, or their norms.
  static bool changes(const TensorSpec& spec, const ModelConfig& config);
  /// @param spec   a tensor of the layer; one that does not change is left as it is
  /// @param first  the first row in `rows`; of a vector (a bias, a norm's gains) its first element
  /// @param rows   whole rows
  void apply(const TensorSpec& spec, std::uint64_t first, std::span<float> rows) const;

  /// [G, d], each head's of a geometric mean between 1/sqrt(2) and sqrt(2), if none had to be cut at 1/64 or 64.
  std::span<const float> factors() const { return factors_; }

 private:
  explicit KeyEqualizer(const ModelConfig& config)
      : config_(&config), factors_(static_cast<std::size_t>(config.kv_heads) * config.head_size, 1.0F) {}
  float multiplier(std::uint64_t element) const;

  const ModelConfig* config_;
  std::vector<float> factors_;
};

}  // namespace rill::quant
