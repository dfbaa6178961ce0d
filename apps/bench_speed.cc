#include "apps/bench_speed.h"

#include <algorithm>
#include <utility>

namespace rill::apps {
namespace {

/// Tokens of a stream that is to be `depth` deep and then measured: its window, so that nothing is evicted meanwhile.
std::int64_t window_for(const SpeedOptions& options, const ModelConfig& config) {
  const std::uint32_t deepest = *std::ranges::max_element(options.depths);
  std::int64_t window = std::int64_t{deepest} + std::max(options.decode_tokens, options.prefill_tokens);
  // Learned positions end: the stream then evicts, and what a token reads is counted accordingly.
  if (config.position == Position::kLearned) {
    window = std::min<std::int64_t>(window, std::int64_t{config.context_length} - 1 - config.default_sinks);
  }
  return std::max<std::int64_t>(window, 1);
}

/// Brings a session to a position: forward if it is not there yet, anew if it is past it.
Status go_to(Session& session, std::uint64_t position, std::span<const Token> tokens) {
  if (session.position() > position) session.reset();
  const std::uint64_t at = session.position();
  return session.feed(tokens.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(position - at)));
}

}  // namespace

std::vector<Token> varied_tokens(std::size_t count, std::uint32_t vocabulary) {
  std::vector<Token> tokens(count);
  std::uint64_t state = 1;
  for (Token& token : tokens) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;  // Knuth's MMIX generator
    token = static_cast<Token>((state >> 33U) % vocabulary);
  }
  return tokens;
}

Result<SpeedBench> SpeedBench::start(const ModelFile& model, const ModelArguments& arguments,
                                     const SpeedOptions& options, const ThreadPinning& pinning) {
  SpeedBench bench;
  bench.options_ = options;
  const bool window_is_ours = arguments.window < 0;
  for (const std::uint32_t threads : options.threads) {
    ModelArguments of_engine = arguments;
    of_engine.threads = threads;
    if (window_is_ours) of_engine.window = window_for(options, model.config());
    RILL_TRY(bench.add_engine(model, of_engine, pinning));
    const ModelCost cost(model.config(), bench.engines_.back().plan().options.policy);
    const std::uint32_t chunk = bench.engines_.back().plan().options.chunk;
    for (const std::uint32_t depth : options.depths) {
      bench.decode_.push_back(
          {.threads = threads,
           .depth = depth,
           .tokens = options.decode_tokens,
           .tokens_per_s = {},
           .bytes_per_token = cost.mean_bytes(depth, options.decode_tokens),
           .macs_per_token = cost.decode_macs(depth, options.decode_tokens) / options.decode_tokens});
      bench.prefill_.push_back(
          {.threads = threads,
           .depth = depth,
           .tokens = options.prefill_tokens,
           .tokens_per_s = {},
           .bytes_per_token = cost.prefill_bytes(depth, options.prefill_tokens, chunk) / options.prefill_tokens,
           .macs_per_token = cost.prefill_macs(depth, options.prefill_tokens) / options.prefill_tokens});
    }
  }
  ModelArguments of_stream = arguments;
  of_stream.threads = bench.streaming_.threads = *std::ranges::max_element(options.threads);
  RILL_TRY(bench.add_engine(model, of_stream, pinning));
  const CachePolicy& policy = bench.engines_.back().plan().options.policy;
  const std::size_t deepest = *std::ranges::max_element(options.depths);
  const std::size_t longest = std::max<std::size_t>(deepest + std::max(options.decode_tokens, options.prefill_tokens),
                                                    std::size_t{policy.sinks} + policy.window + options.decode_tokens);
  bench.tokens_ = varied_tokens(longest + 1, model.config().vocabulary);
  RILL_TRY(bench.warm_up());
  return bench;
}

Status SpeedBench::add_engine(const ModelFile& model, const ModelArguments& arguments, const ThreadPinning& pinning) {
  RILL_ASSIGN(const EngineOptions options, engine_options(arguments, model.config(), {.reads_text = false}));
  // All of them are there at once, and share the mapped file.
  std::uint64_t taken = 0;
  for (const Engine& other : engines_) taken += other.plan().memory.arena_bytes();
  const ItemBeside others[] = {{.name = "the other engines", .bytes = taken}};
  RILL_ASSIGN(Engine engine, start_engine(model, options, std::span(others).first(engines_.empty() ? 0 : 1)));
  pinned_ = pinning.pin(engine.workers()) && pinned_;
  engine.session(0).set_sampling(sampling_options(arguments, model.config()));
  engines_.push_back(std::move(engine));
  return {};
}

/// The first tokens of an engine touch memory and code that the others find warm.
Status SpeedBench::warm_up() {
  for (Engine& engine : engines_) {
    Session& session = engine.session(0);
    RILL_TRY(session.prefill(std::span(tokens_).first(std::min<std::size_t>(tokens_.size(), 64))).status());
    RILL_TRY(seconds_of_decode(session, 1).status());
    session.reset();
  }
  return {};
}

Result<double> SpeedBench::seconds_of_decode(Session& session, std::uint32_t count) {
  const auto first = static_cast<std::size_t>(session.position());
  const Stopwatch watch;
  for (std::uint32_t i = 0; i < count; ++i) {
    const Token& token = tokens_[std::min(first + i, tokens_.size() - 1)];
    RILL_TRY(session.prefill({&token, 1}).status());
  }
  return watch.seconds();
}

Status SpeedBench::measure_decode(Session& session, SpeedRow& row) {
  RILL_TRY(go_to(session, row.depth, tokens_));
  RILL_ASSIGN(const double seconds, seconds_of_decode(session, row.tokens));
  row.tokens_per_s.push_back(row.tokens / seconds);
  return {};
}

Status SpeedBench::measure_prefill(Session& session, SpeedRow& row) {
  RILL_TRY(go_to(session, row.depth, tokens_));
  const Stopwatch watch;
  RILL_TRY(session.prefill(std::span(tokens_).subspan(row.depth, row.tokens)).status());
  row.tokens_per_s.push_back(row.tokens / watch.seconds());
  return {};
}

Status SpeedBench::measure_streaming(Session& session) {
  const CachePolicy& policy = session.policy();
  const std::uint64_t full = std::uint64_t{policy.sinks} + policy.window;
  const auto count = static_cast<std::uint32_t>(std::min<std::uint64_t>(options_.decode_tokens, full));
  RILL_TRY(go_to(session, full - count, tokens_));
  RILL_ASSIGN(const double before, seconds_of_decode(session, count));
  RILL_ASSIGN(const double after, seconds_of_decode(session, count));
  streaming_.before_s.push_back(before / count);
  streaming_.after_s.push_back(after / count);
  return {};
}

Status SpeedBench::repeat() {
  const std::size_t depths = options_.depths.size();
  for (std::size_t i = 0; i < options_.threads.size(); ++i) {
    Session& session = engines_[i].session(0);
    session.reset();
    RILL_TRY(session.prefill(std::span(tokens_).first(1)).status());  // what was measured before has taken the cache
    for (std::size_t d = 0; d < depths; ++d) RILL_TRY(measure_decode(session, decode_[i * depths + d]));
    for (std::size_t d = 0; d < depths; ++d) RILL_TRY(measure_prefill(session, prefill_[i * depths + d]));
  }
  return measure_streaming(engines_.back().session(0));
}

}  // namespace rill::apps
