#pragma once
// The same network with inputs whose elements are more alike. What goes into a matrix is int8 with a scale per group
// (DESIGN, section 5), so an element that stands out takes the bits of its neighbours; so would its column of the
// matrix. Each element is therefore divided by its size to the power of 3/8, and its column multiplied: some of the
// spread moves to the weights, which have bits to spare.
// Source: SmoothQuant (arXiv 2211.10438, section 4), with a power of the size alone. Only weights change: the divisor
// is folded into what makes the element, a norm's gain or the MLP's ups.

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/forward.h"
#include "core/model_tensors.h"
#include "platform/status.h"

namespace rill::quant {

/// What the inputs of all layers are divided by.
///
/// Sizes are measured, the root mean square over a few random tokens: that the tokens make no sense matters little, as
/// the elements that stand out are the same for any text. Left alone are inputs that nothing linear makes, of a block
/// without a norm in front (OLMo 2) and of `down` behind an MLP without gates or with a limit (gpt-oss); of experts'
/// `down`; of a head that is the embedding, which the tokens read as well; and attention's output, where it gained
/// nothing.
class InputEqualizer {
 public:
  /// True if a model of this configuration has inputs that can be divided.
  static bool applies_to(const ModelConfig& config);
  /// True for what some model's factors change.
  static bool changes(const TensorSpec& spec);
  /// Runs a model over the random tokens, on one thread, and measures.
  /// @param path  a .rill file of the network as the source has it; not needed afterwards
  /// Errors are those of ModelFile::open and Engine::start. Memory: the engine's arena with a window of 128. Cost: a
  /// prefill of 128 tokens.
  static Result<InputEqualizer> measure(std::string_view path);

  /// @param spec   a tensor of the model; one that does not change is left as it is
  /// @param first  the first row in `rows`; of a vector (a bias, a norm's gains) its first element
  /// @param rows   whole rows
  void apply(const TensorSpec& spec, std::uint64_t first, std::span<float> rows) const;

  /// [width] of a layer's input, D, or F of `down`; of the head's with layer 0. Empty if it is left alone.
  std::span<const float> factors(Input input, std::uint32_t layer) const;

 private:
  explicit InputEqualizer(const ModelConfig& config) : config_(config) {}
  std::span<const float> of_norm(const TensorSpec& spec) const;
  std::span<const float> of_columns(const TensorSpec& spec) const;

  ModelConfig config_;
  std::array<std::vector<float>, kInputKinds> factors_;  // [layers, width]
};

}  // namespace rill::quant
