#pragma once
// Every network that Rill knows in double precision, written from its definitions, with the cache of the StreamingLLM
// paper. Slow, plain, and sharing nothing with the runtime: what the runtime is judged by. Its tensors come through the
// importers in Rill's row order; that both are right, Hugging Face's logits say (tests/oracle_test.cc).

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/model_config.h"
#include "core/model_file.h"
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
class Network {
 public:
  static Result<Network> load(const quant::SourceModel& source);
  /// The same of a source by its path. @param tokenizer  of a source that has none; empty: it has one, or needs none
  static Result<Network> open(const std::string& path, const std::string& tokenizer = {});
  /// Rounds from now on where DESIGN 5 does: the matrices become those of the model's file; what a matrix multiplies is
  /// rounded to int8 by groups, keys (rotated) and values by heads, queries and weights to 15 bits. Every sum stays in
  /// double. For dense streams only: a cached key is rounded where it stands.
  void round_as(const ModelFile& file);

  const ModelConfig& config() const { return config_; }
  /// One token through the network.
  /// @param token  below config().vocabulary
  /// @param cache  what came before it; gets this token
  /// @returns      logits [V] after the token
  std::vector<double> step(Token token, PaperCache& cache) const;

 private:
  using Vector = std::vector<double>;

  struct Tensor {
    std::size_t rows = 0;
    std::size_t columns = 0;
    std::vector<float> values;  // row-major
  };

  /// Runs of x to nearest multiples of their largest / levels, ties to even; x as it is if nothing is rounded.
  Vector rounded(std::span<const double> x, std::size_t run, double levels) const;
  /// @param value_of  of an index the head's value, [d]
  template <typename ValueOf>
  Vector rounded_weights(const Vector& weights, ValueOf value_of) const;
  const Tensor* find(std::string_view pattern, std::uint32_t layer, bool is_bias = false) const;
  /// Rows [first, first + count) of a matrix times x, plus their biases where there are any.
  Vector times(std::string_view pattern, std::uint32_t layer, std::span<const double> x, std::size_t first,
               std::size_t count) const;
  Vector times(std::string_view pattern, std::uint32_t layer, std::span<const double> x) const;
  Vector normalize(std::string_view pattern, std::uint32_t layer, Vector x) const;
  void normalize_heads(std::string_view pattern, std::uint32_t layer, std::span<double> heads) const;
  Vector rotate(std::span<const double> heads, std::uint32_t layer, std::size_t position) const;
  Vector attend(std::uint32_t layer, std::span<const double> h, const std::deque<PaperCache::Entry>& past,
                PaperCache::Entry& self) const;
  Vector weights_of(std::uint32_t layer, std::size_t head, std::span<const double> query,
                    const std::vector<Vector>& keys) const;
  Vector mlp(std::uint32_t layer, std::span<const double> h) const;
  Vector expert(std::uint32_t layer, std::span<const double> h, std::size_t index) const;

  ModelConfig config_;
  Vector turns_;
  Vector slopes_;
  bool is_rounded_ = false;
  std::map<std::string, Tensor, std::less<>> tensors_;  // by Rill's names
};

}  // namespace rill::oracle
