#pragma once
// The Llama network in double precision, written from its definitions, with the cache of the StreamingLLM paper. Slow,
// plain, and sharing nothing with the runtime: what the runtime is judged by.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <span>
#include <vector>

#include "core/model_config.h"
#include "platform/status.h"
#include "quant/source_model.h"

namespace rill::oracle {

/// Which keys stay. A step sees the sinks, the `window` tokens before it, and itself.
struct Policy {
  static constexpr std::size_t kUnbounded = std::numeric_limits<std::size_t>::max();
  std::size_t sinks = 0;
  std::size_t window = kUnbounded;  ///< kUnbounded: dense attention
};

/// The paper's cache (arXiv 2309.17453, section 3.2): keys are kept unrotated and rotated anew at their index in the
/// cache in each step; the query, and its own key, at the number of cached keys. Eviction comes after the step.
class PaperCache {
 public:
  /// One token of one layer.
  struct Entry {
    std::vector<double> key;    ///< [G, d], unrotated
    std::vector<double> value;  ///< [G, d]
  };

  explicit PaperCache(const Policy& policy = {}) : policy_(policy) {}

  /// Tokens in the cache, before the one that is being computed.
  std::size_t size() const { return layers_.empty() ? 0 : layers_.front().size(); }
  /// Oldest first; the sinks are the first of all.
  const std::deque<Entry>& layer(std::size_t index) const { return layers_[index]; }
  /// Adds a step's entries and evicts what has left the window.
  /// @param entries  one for each layer, the same number in each call
  void commit(std::vector<Entry> entries);

 private:
  Policy policy_;
  std::vector<std::deque<Entry>> layers_;
};

/// A model's weights, as float32 is exact for them, and its forward pass, in which every sum is in double.
class Llama {
 public:
  /// Reads every tensor by the source's own table of names, whatever order its rows have.
  static Result<Llama> load(const quant::SourceModel& source);

  const ModelConfig& config() const { return config_; }
  /// One token through the network.
  /// @param token  below config().vocabulary
  /// @param cache  what came before it; gets this token
  /// @returns      logits [V] after the token
  std::vector<double> step(Token token, PaperCache& cache) const;

 private:
  struct Matrix {
    std::size_t rows = 0;
    std::size_t columns = 0;
    std::vector<float> values;  // row-major
    std::vector<double> times(std::span<const double> x) const;
  };
  struct Layer {
    Matrix attention_norm, query, key, value, out, mlp_norm, gate, up, down;
  };
  /// Cosine and sine of every rotated pair at every position of a step: [positions, d / 2].
  struct Rotations {
    std::vector<double> cosines;
    std::vector<double> sines;
  };

  static Result<Matrix> read(const quant::SourceModel& source, const quant::TensorName& name, std::uint32_t layer);
  Matrix& part(quant::Part part, std::uint32_t layer);
  std::vector<double> normalize(std::span<const double> x, const Matrix& gain) const;
  Rotations rotations(std::size_t positions) const;
  std::vector<double> rotate(std::span<const double> heads, const Rotations& by, std::size_t position) const;
  std::vector<double> attend(const Layer& layer, std::span<const double> h, const std::deque<PaperCache::Entry>& past,
                             const Rotations& by, PaperCache::Entry& self) const;
  std::vector<double> mlp(const Layer& layer, std::span<const double> h) const;

  ModelConfig config_;
  std::vector<double> turns_;
  Matrix embedding_, head_, final_norm_;
  std::vector<Layer> layers_;
};

}  // namespace rill::oracle
