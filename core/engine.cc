#include "core/engine.h"

#include <algorithm>
#include <new>
#include <utility>

#include "core/engine_state.h"

namespace rill {

namespace {

/// The item of stacks from its first whole page on.
std::span<std::byte> stacks_of(const EngineState& s) {
  const std::span<std::byte> stacks = s.arena[s.plan.stacks];
  const std::size_t misaligned = reinterpret_cast<std::uintptr_t>(stacks.data()) % MemoryPlan::kPageBytes;
  return stacks.subspan(stacks.empty() || misaligned == 0 ? 0 : MemoryPlan::kPageBytes - misaligned);
}

/// Copies a part of the model, and lets go of the file's pages on the way: it is never in memory twice.
void copy_out(const ModelFile& model, std::span<const std::byte> part, std::span<std::byte> to) {
  // Up to a multiple of 2 MiB in the file, which may be one page: a step then has one of them at most.
  constexpr std::size_t kStepBytes = std::size_t{2} << 20U;
  const auto first = static_cast<std::size_t>(part.data() - model.bytes().data());
  for (std::size_t at = 0; at < part.size();) {
    const std::size_t step = std::min(kStepBytes - (first + at) % kStepBytes, part.size() - at);
    std::ranges::copy(part.subspan(at, step), to.subspan(at).begin());
    model.forget_pages();
    at += step;
  }
}

/// Zeros for the scales of slots that were never written, which a saved session holds like all others: what a block of
/// the caller's had there may be no number, and restoring refuses that.
void clear_scales(const EngineState& s) {
  for (const SlotItems* items : {&s.plan.cache.sinks, &s.plan.cache.ring, &s.plan.cache.local_ring}) {
    std::ranges::fill(s.arena[items->key_scales], 0.0F);
    std::ranges::fill(s.arena[items->value_scales], 0.0F);
  }
}

}  // namespace

Result<Engine> Engine::start(const ModelFile& model, const EngineOptions& options) {
  RILL_ASSIGN(const EnginePlan plan, plan_engine(outline_of(model), options));
  RILL_TRY(plan.check_budget());
  RILL_ASSIGN(PageBlock block, PageBlock::take(plan.memory.arena_bytes()));
  Result<Engine> engine = start_in(model, plan.options, block.bytes());
  if (engine.ok()) engine->block_ = std::move(block);
  return engine;
}

Result<Engine> Engine::start_in(const ModelFile& model, const EngineOptions& options, std::span<std::byte> block) {
  RILL_ASSIGN(const EnginePlan plan, plan_engine(outline_of(model), options));
  RILL_TRY(plan.check_budget());
  RILL_ASSIGN(const Arena arena, Arena::cut(plan.memory, block));
  Engine engine;
  engine.state_ = new (arena[plan.state].data()) EngineState(model, plan, arena, arena[plan.tokenizer_heap]);
  EngineState& s = *engine.state_;

  std::span<const std::byte> weights = model.weights();
  std::span<const std::byte> tokenizer_tables =
      options.reads_text ? model.tokenizer_section() : std::span<const std::byte>();
  if (options.in_ram) {
    copy_out(model, weights, arena[plan.weights]);
    copy_out(model, tokenizer_tables, arena[plan.tokenizer_tables]);
    weights = arena[plan.weights];
    tokenizer_tables = arena[plan.tokenizer_tables];
  }
  s.weights = bind_weights(model, weights, arena[plan.layers]);
  if (options.in_ram) model.forget_pages();  // of what was read besides what was copied
  s.buffers = cut_chunk(arena, plan.chunk, model.config(), plan.options.threads);
  s.sessions = {reinterpret_cast<Session*>(arena[plan.sessions].data()), plan.options.sessions};
  for (std::size_t i = 0; i < s.sessions.size(); ++i) {
    Session& session = *new (&s.sessions[i]) Session();
    session.engine_ = &s;
    session.cache_ = {.occupancy = Occupancy(plan.options.policy),
                      .position = 0,
                      .arena = &s.arena,
                      .items = plan.cache,
                      .session = i};
    session.history_ = arena[plan.history].subspan(i * (arena[plan.history].size() / s.sessions.size()),
                                                   arena[plan.history].size() / s.sessions.size());
    const std::size_t lookup = arena[plan.lookup].size() / s.sessions.size();
    session.lookup_ = PromptLookup(arena[plan.lookup].subspan(i * lookup, lookup));
  }
  if (!tokenizer_tables.empty()) {
    RILL_ASSIGN(s.tokenizer, Tokenizer::load(tokenizer_tables, s.tokenizer_heap));
  }
  clear_scales(s);
  std::ranges::fill(arena[plan.state_note], std::byte{0});
  RILL_TRY(s.pool.start(plan.options.threads, stacks_of(s)));
  return engine;
}

Engine::Engine(Engine&& other) noexcept
    : block_(std::move(other.block_)), state_(std::exchange(other.state_, nullptr)) {}

Engine& Engine::operator=(Engine&& other) noexcept {
  std::swap(block_, other.block_);
  std::swap(state_, other.state_);
  return *this;
}

Engine::~Engine() {
  if (state_ == nullptr) return;
  state_->model->forget_pages();  // what only runs at the end then comes on top of nothing
  if (state_->tokenizer != nullptr) state_->tokenizer->~Tokenizer();
  state_->~EngineState();
}

Status Engine::check_session(std::size_t index) const {
  const std::size_t sessions = plan().options.sessions;
  if (index < sessions) return {};
  return bad_usage({.where = text("session ", index),
                    .what = text("the engine has ", sessions),
                    .expected = text("a number below that"),
                    .remedy = {}});
}

Session& Engine::session(std::size_t index) { return state_->sessions[index]; }
const EnginePlan& Engine::plan() const { return state_->plan; }
const ModelFile& Engine::model() const { return *state_->model; }
Tokenizer* Engine::tokenizer() { return state_->tokenizer; }
std::span<std::byte> Engine::state_snapshot() { return state_->arena[state_->plan.state_snapshot]; }
std::span<std::byte> Engine::state_note() { return state_->arena[state_->plan.state_note]; }
std::span<std::byte> Engine::keeper_stack() {
  if (!state_->plan.options.keeps_state) return {};
  const std::size_t workers = state_->plan.options.threads - 1;  // their stacks come first
  return stacks_of(*state_).subspan(workers * WorkerPool::stack_bytes(), WorkerPool::stack_bytes());
}
WorkerPool& Engine::workers() { return state_->pool; }
void Engine::observe_inputs(const InputObserver* observer) { state_->observer = observer; }
std::span<Token> Engine::pending() { return state_->arena[state_->plan.pending]; }

Status Session::check(std::span<const Token> tokens) const {
  const std::uint32_t vocabulary = engine_->weights.config.vocabulary;
  const auto wrong = std::find_if(tokens.begin(), tokens.end(), [&](Token token) { return token >= vocabulary; });
  if (wrong != tokens.end()) {
    return bad_input({.where = text("token ", wrong - tokens.begin()),
                      .what = text("id ", *wrong),
                      .expected = text("an id below the vocabulary's ", vocabulary),
                      .remedy = {}});
  }
  return check_room(tokens.size());
}

Status Session::check_room(std::size_t tokens) const {
  if (tokens <= room()) return {};
  return failed({.where = text("policy ", policy().name),
                 .what = text("the cache of ", policy().window, " tokens is full"),
                 .expected = {},
                 .remedy = text("use a larger --window, or --policy stream, which never ends")});
}

std::size_t Session::room() const {
  const std::size_t room = cache_.occupancy.room();
  const bool sink_to_come = engine_->weights.config.sink_token != kNoToken && cached() == 0;
  return sink_to_come && room != SIZE_MAX ? room - 1 : room;
}

/// Remembers tokens that are the stream's from now on.
void Session::observe(std::span<const Token> tokens) {
  sampler_.observe(tokens);
  lookup_.observe(tokens);
}

/// One chunk. Whatever was drafted before, by any session, has lost its place in the buffers.
void Session::pass(std::span<const Token> tokens, Chunk kind) {
  engine_->drafted.session = nullptr;
  ++passes_;
  forward(engine_->weights, tokens, kind, cache_, engine_->buffers, engine_->machine());
}

/// Puts the model's own sink in front of an empty cache.
void Session::begin_stream() {
  const Token sink = engine_->weights.config.sink_token;
  if (sink == kNoToken || cached() > 0) return;
  pass({&sink, 1});
}

/// Chunks of tokens through the model, without logits.
void Session::run(std::span<const Token> tokens) {
  for (; !tokens.empty(); tokens = tokens.subspan(last_row_ + 1)) {
    last_row_ = std::min(tokens.size(), chunk()) - 1;
    pass(tokens.first(last_row_ + 1));
  }
}

/// Policy "recompute": takes tokens into the history as long as it has room. @returns how many; they run like any
/// stream
std::size_t Session::remember_first(std::span<const Token> tokens) {
  const std::size_t count = std::min(tokens.size(), history_.size() - remembered_);
  std::copy_n(tokens.begin(), count, history_.begin() + static_cast<std::ptrdiff_t>(remembered_));
  remembered_ += count;
  return count;
}

/// Policy "recompute" with a full history: moves it on by some tokens and runs all of it as a new stream.
void Session::run_anew(std::span<const Token> tokens) {
  const std::uint64_t position_after = position() + tokens.size();
  const std::span<const Token> kept = tokens.last(std::min(tokens.size(), history_.size()));
  std::copy(history_.begin() + static_cast<std::ptrdiff_t>(kept.size()), history_.end(), history_.begin());
  std::copy(kept.begin(), kept.end(), history_.end() - static_cast<std::ptrdiff_t>(kept.size()));
  cache_.occupancy.clear();
  cache_.position = 0;
  begin_stream();
  run(history_);
  forgotten_ = position_after - cache_.position;
}

Status Session::feed(std::span<const Token> tokens) {
  RILL_TRY(check(tokens));
  begin_stream();
  observe(tokens);
  if (!policy().recomputes) {
    run(tokens);
    return {};
  }
  const std::size_t count = remember_first(tokens);
  run(tokens.first(count));
  if (count < tokens.size()) run_anew(tokens.subspan(count));  // what lies between need not be computed
  return {};
}

Result<std::span<const float>> Session::prefill(std::span<const Token> tokens) {
  if (tokens.empty()) {
    return bad_usage(
        {.where = text("prefill"), .what = text("no tokens"), .expected = text("at least one"), .remedy = {}});
  }
  RILL_TRY(feed(tokens));
  return logits_of_last();
}

Result<std::span<const float>> Session::advance(Token token) {
  DraftedPass& drafted = engine_->drafted;
  const std::size_t vocabulary = engine_->weights.config.vocabulary;
  const std::size_t stride = padded_vocabulary(engine_->weights.config);
  const auto is_guessed = [&] {
    return drafted.session == this && drafted.next < drafted.count && drafted.tokens[drafted.next] == token;
  };
  const bool was_guessed = is_guessed();
  if (!was_guessed) {
    if (engine_->plan.options.draft == 0 || cached() == 0) return prefill({&token, 1});
    RILL_TRY(check({&token, 1}));
  }
  observe({&token, 1});
  if (!was_guessed) {
    const std::size_t most = std::min<std::size_t>(engine_->plan.options.draft, room() - 1);
    drafted.tokens[0] = token;
    drafted.count = 1 + lookup_.propose(std::span(drafted.tokens).subspan(1, most));
    drafted.next = 0;
    pass(std::span(drafted.tokens).first(drafted.count), Chunk::kDrafted);
    drafted.session = this;
    project_logits(engine_->weights, 0, drafted.count, engine_->buffers, engine_->machine());
  }
  commit_drafted(engine_->weights, drafted.next, cache_, engine_->pool);
  return std::span<const float>(engine_->buffers.logits).subspan(drafted.next++ * stride, vocabulary);
}

std::span<const float> Session::logits_of_last() {
  return project_logits(engine_->weights, last_row_, 1, engine_->buffers, engine_->machine())
      .first(engine_->weights.config.vocabulary);
}

Status Session::evaluate(std::span<const Token> tokens, RowOfLogits row) {
  RILL_TRY(check(tokens));
  begin_stream();
  if (!policy().recomputes) return evaluate_chunks(tokens, 0, row);
  const std::size_t count = remember_first(tokens);
  const std::uint64_t before = position();
  if (Status status = evaluate_chunks(tokens.first(count), 0, row); !status.ok()) {
    remembered_ -= count - static_cast<std::size_t>(position() - before);  // what did not run is not in the stream
    return status;
  }
  for (std::size_t i = count; i < tokens.size(); ++i) {
    observe(tokens.subspan(i, 1));
    run_anew(tokens.subspan(i, 1));
    RILL_TRY(row(i, logits_of_last()));
  }
  return {};
}

Status Session::evaluate_chunks(std::span<const Token> tokens, std::size_t first_index, RowOfLogits row) {
  const std::size_t vocabulary = engine_->weights.config.vocabulary;
  const std::size_t stride = padded_vocabulary(engine_->weights.config);
  for (std::size_t begin = 0; begin < tokens.size(); begin += chunk()) {
    const std::size_t n = std::min(tokens.size() - begin, chunk());
    observe(tokens.subspan(begin, n));  // what a row's error keeps from running is no part of the stream
    run(tokens.subspan(begin, n));
    for (std::size_t first = 0; first < n; first += engine_->buffers.logits_rows) {
      const std::size_t rows = std::min(n - first, engine_->buffers.logits_rows);
      const std::span<const float> logits =
          project_logits(engine_->weights, first, rows, engine_->buffers, engine_->machine());
      for (std::size_t r = 0; r < rows; ++r) {
        RILL_TRY(row(first_index + begin + first + r, logits.subspan(r * stride, vocabulary)));
      }
    }
  }
  return {};
}

Token Session::sample(std::span<const float> logits) {
  if (logits.size() != engine_->weights.config.vocabulary) return kNoToken;
  return sampler_.sample(logits, engine_->arena[engine_->plan.sampler.weights],
                         engine_->arena[engine_->plan.sampler.order], *engine_->plan.options.kernels);
}

void Session::reset(std::uint64_t position) {
  cache_.occupancy.clear();
  cache_.position = position;
  remembered_ = 0;
  forgotten_ = 0;
  sampler_.forget();
  lookup_.forget();
  if (engine_->drafted.session == this) engine_->drafted.session = nullptr;
}

std::size_t Session::chunk() const { return engine_->buffers.chunk; }

}  // namespace rill
