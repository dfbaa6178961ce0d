#pragma once
// Golden tensors out of safetensors files, and the measures by which logits are compared with them.

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/model_config.h"
#include "platform/status.h"

namespace rill {

/// One tensor, of the kind that its file has: the other vector is empty.
struct GoldenTensor {
  std::vector<std::size_t> shape;
  std::vector<float> floats;       ///< F32, F16, BF16, F64
  std::vector<std::int32_t> ints;  ///< I32
  /// Row of a matrix [rows, columns].
  std::span<const float> row(std::size_t index) const;
  std::vector<Token> tokens() const;  ///< the ints as ids
};

/// All tensors of a file, in memory.
class Golden {
 public:
  static Result<Golden> load(const std::string& path);
  /// Fails the running test, and returns an empty tensor, if there is none of this name.
  const GoldenTensor& operator[](std::string_view name) const;

 private:
  std::map<std::string, GoldenTensor, std::less<>> tensors_;
};

// Measures over rows of `columns` logits; both sides hold the same number of rows, at least one. A mismatch of sizes
// fails the running test. A NaN anywhere gives the worst value there is, so that no tolerance lets it pass.

/// The least cosine, over all rows, between rows that had their means taken away. 1 is perfect.
double worst_row_cosine(std::span<const float> actual, std::span<const float> expected, std::size_t columns);
/// Root mean square of the differences over the standard deviation of what is expected, all rows at once. 0 is perfect.
double rms_over_deviation(std::span<const float> actual, std::span<const float> expected);
/// Mean over rows of the Kullback-Leibler divergence KL(softmax(expected) || softmax(actual)), in nats. 0 is perfect.
double mean_kl_nats(std::span<const float> actual, std::span<const float> expected, std::size_t columns);
/// The largest absolute difference.
double largest_difference(std::span<const float> actual, std::span<const float> expected);
/// Minus the logarithm of the probability that the softmax of the logits gives a token, in nats.
double nll_nats(std::span<const float> logits, Token token);

}  // namespace rill
