#include "core/engine.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "core/engine_state.h"
#include "core/model_format.h"

namespace rill {

Weights bind_weights(const ModelFile& model, std::span<const std::byte> weights, std::span<Layer> layers) {
  const std::byte* mapped = model.weights().data();
  const auto moved = [&](const std::byte* p) { return weights.data() + (p - mapped); };
  const auto matrix = [&](const TensorView& tensor) {
    return kernels::Matrix{.blocks = moved(tensor.bytes.data()), .shape = tensor.tiles()};
  };
  const auto floats = [&](const TensorView& tensor) {
    return std::span(reinterpret_cast<const float*>(moved(tensor.bytes.data())), tensor.floats().size());
  };
  Weights w;
  w.config = model.config();
  w.embedding = matrix(model.tensor(format::kEmbedding));
  w.head = w.config.tied_head != 0 ? w.embedding : matrix(model.tensor(format::kHead));
  w.final_norm = floats(model.tensor(format::kFinalNorm));
  const TensorView turns = model.tensor(format::kRopeTurns);
  w.rope_turns = {reinterpret_cast<const std::uint64_t*>(moved(turns.bytes.data())), turns.integers().size()};
  for (std::uint32_t l = 0; l < w.config.layers; ++l) {
    layers[l] = {.attention_norm = floats(model.tensor(format::kAttentionNorm, l)),
                 .qkv = matrix(model.tensor(format::kQkv, l)),
                 .out = matrix(model.tensor(format::kAttentionOut, l)),
                 .mlp_norm = floats(model.tensor(format::kMlpNorm, l)),
                 .gate_up = matrix(model.tensor(format::kGateUp, l)),
                 .down = matrix(model.tensor(format::kDown, l))};
  }
  w.layers = layers;
  return w;
}

Result<Engine> Engine::start(const ModelFile& model, const EngineOptions& options) {
  RILL_ASSIGN(const EnginePlan plan, plan_engine(model, options));
  if (!plan.fits()) {
    return over_budget({.where = text("--budget"),
                        .what = text("the plan takes ", plan.memory.total_bytes(), " bytes"),
                        .expected = text("at most ", options.budget_bytes),
                        .remedy = text("`rill plan` shows what takes them")});
  }
  RILL_ASSIGN(PageBlock block, PageBlock::take(plan.memory.arena_bytes()));
  Result<Engine> engine = start_in(model, plan.options, block.bytes());
  if (engine.ok()) engine->block_ = std::move(block);
  return engine;
}

Result<Engine> Engine::start_in(const ModelFile& model, const EngineOptions& options, std::span<std::byte> block) {
  RILL_ASSIGN(const EnginePlan plan, plan_engine(model, options));
  if (!plan.fits()) {
    return over_budget({.where = text("--budget"),
                        .what = text("the plan takes ", plan.memory.total_bytes(), " bytes"),
                        .expected = text("at most ", options.budget_bytes),
                        .remedy = {}});
  }
  RILL_ASSIGN(const Arena arena, Arena::cut(plan.memory, block));
  Engine engine;
  engine.state_ = new (arena[plan.state].data()) EngineState(model, plan, arena, arena[plan.tokenizer_heap]);
  EngineState& s = *engine.state_;

  std::span<const std::byte> weights = model.weights();
  if (options.in_ram) {
    std::memcpy(arena[plan.weights].data(), weights.data(), weights.size());
    weights = arena[plan.weights];
  }
  s.weights = bind_weights(model, weights, arena[plan.layers]);
  s.buffers = cut_chunk(arena, plan.chunk, model.config());
  s.sessions = {reinterpret_cast<Session*>(arena[plan.sessions].data()), plan.options.sessions};
  for (std::size_t i = 0; i < s.sessions.size(); ++i) {
    Session& session = *new (&s.sessions[i]) Session();
    session.engine_ = &s;
    session.cache_ = {.occupancy = Occupancy(plan.options.policy),
                      .position = 0,
                      .arena = &s.arena,
                      .sinks = plan.sinks,
                      .ring = plan.ring,
                      .first_layer = i * model.config().layers};
  }
  if (!model.tokenizer_section().empty()) {
    RILL_ASSIGN(s.tokenizer, Tokenizer::load(model.tokenizer_section(), s.tokenizer_heap));
  }
  const std::span<std::byte> stacks = arena[plan.stacks];
  const std::size_t misaligned = reinterpret_cast<std::uintptr_t>(stacks.data()) % MemoryPlan::kPageBytes;
  const std::size_t skipped = stacks.empty() || misaligned == 0 ? 0 : MemoryPlan::kPageBytes - misaligned;
  RILL_TRY(s.pool.start(plan.options.threads, stacks.subspan(skipped)));
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
  if (state_->tokenizer != nullptr) state_->tokenizer->~Tokenizer();
  state_->~EngineState();
}

Session& Engine::session(std::size_t index) { return state_->sessions[index]; }
const EnginePlan& Engine::plan() const { return state_->plan; }
const ModelFile& Engine::model() const { return *state_->model; }
Tokenizer* Engine::tokenizer() { return state_->tokenizer; }
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
  if (tokens.size() > room()) {
    return failed({.where = text("policy ", policy().name),
                   .what = text("the cache of ", policy().window, " tokens is full"),
                   .expected = {},
                   .remedy = text("use a larger --window, or --policy stream, which never ends")});
  }
  return {};
}

void Session::run_chunk(std::span<const Token> tokens) {
  forward(engine_->weights, tokens, cache_, engine_->buffers, engine_->machine());
  sampler_.observe(tokens);
}

Status Session::feed(std::span<const Token> tokens) {
  RILL_TRY(check(tokens));
  for (; !tokens.empty(); tokens = tokens.subspan(std::min(tokens.size(), chunk()))) {
    run_chunk(tokens.first(std::min(tokens.size(), chunk())));
  }
  return {};
}

Result<std::span<const float>> Session::prefill(std::span<const Token> tokens) {
  if (tokens.empty()) {
    return bad_usage(
        {.where = text("prefill"), .what = text("no tokens"), .expected = text("at least one"), .remedy = {}});
  }
  RILL_TRY(feed(tokens));
  const std::size_t last = (tokens.size() - 1) % chunk();
  return project_logits(engine_->weights, last, 1, engine_->buffers, engine_->machine())
      .first(engine_->weights.config.vocabulary);
}

Status Session::evaluate(std::span<const Token> tokens, RowOfLogits row) {
  RILL_TRY(check(tokens));
  const std::size_t vocabulary = engine_->weights.config.vocabulary;
  const std::size_t stride = padded_vocabulary(engine_->weights.config);
  for (std::size_t begin = 0; begin < tokens.size(); begin += chunk()) {
    const std::size_t n = std::min(tokens.size() - begin, chunk());
    run_chunk(tokens.subspan(begin, n));
    for (std::size_t first = 0; first < n; first += engine_->buffers.logits_rows) {
      const std::size_t rows = std::min(n - first, engine_->buffers.logits_rows);
      const std::span<const float> logits =
          project_logits(engine_->weights, first, rows, engine_->buffers, engine_->machine());
      for (std::size_t r = 0; r < rows; ++r) {
        RILL_TRY(row(begin + first + r, logits.subspan(r * stride, vocabulary)));
      }
    }
  }
  return {};
}

Token Session::sample(std::span<const float> logits) {
  return sampler_.sample(logits, engine_->arena[engine_->plan.sampler.weights],
                         engine_->arena[engine_->plan.sampler.order], *engine_->plan.options.kernels);
}

void Session::reset(std::uint64_t position) {
  cache_.occupancy.clear();
  cache_.position = position;
  sampler_.forget();
}

std::size_t Session::chunk() const { return engine_->buffers.chunk; }

}  // namespace rill
