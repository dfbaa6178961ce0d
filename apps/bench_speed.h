#pragma once
// How fast a model decodes and prefills, measured in repetitions that go round all configurations.

#include <cstdint>
#include <vector>

#include "apps/model_cost.h"
#include "apps/model_options.h"
#include "apps/spread.h"
#include "core/engine.h"
#include "platform/thread_pinning.h"

namespace rill::apps {

struct SpeedOptions {
  std::vector<std::uint32_t> threads;
  std::vector<std::uint32_t> depths;  ///< tokens of the stream before those that are measured
  std::uint32_t decode_tokens = 64;
  std::uint32_t prefill_tokens = 512;
};

/// One configuration and what it came to.
struct SpeedRow {
  std::uint32_t threads = 0;
  std::uint32_t depth = 0;
  std::uint32_t tokens = 0;          ///< of one repetition
  std::vector<double> tokens_per_s;  ///< one a repetition
  double bytes_per_token = 0;        ///< decode: that must be read, mean over the tokens
  double macs_per_token = 0;         ///< that must be done
};

/// What a token costs just before the ring is full, and after the first tokens were evicted.
struct StreamingCost {
  std::uint32_t threads = 0;
  std::vector<double> before_s;
  std::vector<double> after_s;
};

/// Ids without an order that a cache could profit from, the same on every machine.
std::vector<Token> varied_tokens(std::size_t count, std::uint32_t vocabulary);

/// One engine for each number of threads, with a window that holds every depth, and one as the user would run it.
class SpeedBench {
 public:
  /// @param model  borrowed
  /// @param arguments  the command line; its number of threads is not used. Without a --window the window is what the
  ///                   depths need; it is 1020 for the stream past its window all the same.
  static Result<SpeedBench> start(const ModelFile& model, const ModelArguments& arguments, const SpeedOptions& options,
                                  const ThreadPinning& pinning);

  /// Measures every configuration once.
  Status repeat();

  const std::vector<SpeedRow>& decode() const { return decode_; }
  const std::vector<SpeedRow>& prefill() const { return prefill_; }
  const StreamingCost& streaming() const { return streaming_; }
  bool pinned() const { return pinned_; }
  /// The engine with the most threads and the user's window: for the latency of a long stream.
  Engine& streaming_engine() { return engines_.back(); }

 private:
  Status add_engine(const ModelFile& model, const ModelArguments& arguments, const ThreadPinning& pinning);
  Status warm_up();
  Status measure_decode(Session& session, SpeedRow& row);
  Status measure_prefill(Session& session, SpeedRow& row);
  Status measure_streaming(Session& session);
  Result<double> seconds_of_decode(Session& session, std::uint32_t count);

  SpeedOptions options_;
  std::vector<Token> tokens_;  ///< what is fed, by position
  std::vector<Engine> engines_;
  std::vector<SpeedRow> decode_, prefill_;
  StreamingCost streaming_;
  bool pinned_ = true;
};

}  // namespace rill::apps
