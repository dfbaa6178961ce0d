#pragma once
// Rill as a library: what another C++ program includes.
//
//   Result<ModelFile> model = ModelFile::open("model.rill");        weights: mapped, read-only, shared
//   Result<Engine> engine = Engine::start(*model, options);         takes one block of memory, exactly the plan's
//   Session& session = engine->session(0);                          one stream: cache, positions, sampler
//   session.prefill(tokens); session.sample(); ...                  from here on nothing is allocated, for ever
//
// core/conversation.h puts chat on top. No globals, no exceptions, nothing printed.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "core/attention.h"
#include "core/cache.h"
#include "core/forward.h"
#include "core/memory_plan.h"
#include "core/model_file.h"
#include "core/prompt_lookup.h"
#include "core/sampler.h"
#include "core/tokenizer.h"
#include "core/weights.h"
#include "platform/function_ref.h"
#include "platform/kernels/kernels.h"
#include "platform/status.h"
#include "platform/worker_pool.h"

namespace rill {

/// Of sinks as well. So many weights can be rounded without their sum passing its bound (KernelSet::weight_scale).
inline constexpr std::uint32_t kMostWindow = 1U << 22U;

/// What an engine is started with. Everything here is in the plan.
struct EngineOptions {
  CachePolicy policy = stream_policy(4, 1020);
  std::uint32_t chunk = 0;    ///< most tokens of one forward call; 0: the largest of 64, 32, ... 1 within the budget
  std::uint32_t threads = 0;  ///< the caller included; 0: usable_cores(), at most 8
  const kernels::KernelSet* kernels = nullptr;  ///< nullptr: the best that this CPU runs
  bool reads_text = true;                       ///< false: ids only, without the model's tokenizer and its memory
  bool in_ram = false;  ///< copy weights and tokenizer into the arena; the mapped file is not touched after start()
  std::uint32_t sessions = 1;
  std::uint32_t logits_rows = 1;   ///< rows of logits that evaluate() makes at a time
  std::uint32_t draft = 0;         ///< most tokens that Session::advance() guesses at a time; 0: none
  bool keeps_state = false;        ///< room for a SessionKeeper: a copy of one session and a thread that writes it
  std::uint64_t budget_bytes = 0;  ///< arena and mapped file together; 0: no limit
  std::uint64_t beside_bytes = 0;  ///< of the budget, what others take beside the engine
};

/// Bytes that whoever keeps a session's state may add to it: where a conversation or a measurement stands.
inline constexpr std::size_t kStateNoteBytes = 8192;

/// The plan of one engine, before anything is taken, with what was chosen where the options left it open.
struct EnginePlan {
  MemoryPlan memory;
  EngineOptions options;  ///< chunk, threads and kernels filled in

  // Where each part of the engine finds its bytes.
  Item<std::byte> weights, tokenizer_tables, state, sessions, stacks, tokenizer_heap, state_snapshot, state_note;
  Item<Layer> layers;
  Item<Token> pending, history, lookup;
  CacheItems cache;
  ChunkItems chunk;
  SamplerItems sampler;

  /// With what others take beside the engine; 2^64 - 1 where the sum is more.
  std::uint64_t total_bytes() const {
    const Size total = Size(memory.total_bytes()) + Size(options.beside_bytes);
    return total.wrapped ? UINT64_MAX : total.value;
  }
  bool fits() const { return options.budget_bytes == 0 || total_bytes() <= options.budget_bytes; }
  /// kOverBudget with the sums if it does not fit.
  Status check_budget() const;
};

/// What a plan has to know of a model: all of it follows from the configuration but the tokenizer's part.
struct ModelOutline {
  ModelConfig config;
  std::uint64_t file_bytes = 0;                  ///< of the .rill file, used where it is mapped
  std::uint64_t weights_bytes = 0;               ///< of its section "weights"
  std::span<const std::byte> tokenizer_section;  ///< empty: none, or not known
};
ModelOutline outline_of(const ModelFile& model);
/// The same before there is a file, without its tokenizer. kBadInput if the sizes wrap.
Result<ModelOutline> outline_of(const ModelConfig& config);

/// Computes every byte. kUsage for options out of range or that the model cannot do, kBadInput for a tokenizer section
/// that cannot be used, kOverBudget only if the sizes cannot be addressed at all: whether the budget holds, fits()
/// says.
Result<EnginePlan> plan_engine(const ModelOutline& model, const EngineOptions& options);
inline Result<EnginePlan> plan_engine(const ModelFile& model, const EngineOptions& options) {
  return plan_engine(outline_of(model), options);
}

/// One change that would make a plan fit.
struct WayToFit {
  Text change;                    ///< "--window 508"
  std::uint64_t total_bytes = 0;  ///< with that change alone
};
/// The cheapest ways to fit the budget, the one that gives up least first; `ways` says how many there are.
struct WaysToFit {
  std::array<WayToFit, 3> list;
  std::size_t ways = 0;
};
WaysToFit ways_to_fit(const ModelOutline& model, const EngineOptions& options);

struct EngineState;

/// One stream of tokens. One caller at a time for all sessions of an engine: they share the chunk's buffers.
class Session {
 public:
  /// Receives the logits after a token: its index in the span given to evaluate(), and [V] logits. An error ends the
  /// evaluation.
  using RowOfLogits = FunctionRef<Status(std::size_t index, std::span<const float> logits)>;

  /// Feeds tokens to the stream, before the first of them the model's sink token if it has one. Cut into chunks, which
  /// never change a bit.
  /// @param tokens  [n], ids below the vocabulary; borrowed.
  /// kBadInput names the first id out of range, kFailed says that a policy without eviction is full; the stream is then
  /// as it was before the call. Cost: n (sinks + window) per head and layer; no allocation.
  Status feed(std::span<const Token> tokens);
  /// The same, and the logits after the last token.
  /// @param tokens  [n], n >= 1
  /// @returns [V], unnormalised, in nats; owned by the arena, valid until any session's next call.
  Result<std::span<const float>> prefill(std::span<const Token> tokens);
  /// prefill() of one token, to the same bits, for a stream that is made token by token: with EngineOptions::draft it
  /// guesses what follows and computes that as well in the same pass over the weights. If the next call is advance()
  /// with the token that was guessed, its logits are there already.
  Result<std::span<const float>> advance(Token token);
  /// feed(), and the logits after every token. After an error of `row` the stream holds the tokens up to the end of
  /// that row's chunk.
  Status evaluate(std::span<const Token> tokens, RowOfLogits row);

  /// Chooses a token from the logits of the last prefill(); does not feed it. kNoToken for a span that is not as long
  /// as the vocabulary.
  Token sample(std::span<const float> logits);
  /// Options for sample(); starts its generator anew from their seed.
  void set_sampling(const SamplingOptions& options) { sampler_.configure(options); }
  const SamplingOptions& sampling() const { return sampler_.options(); }

  /// Empties the cache: a new stream. @param position  of its first token; any start gives the same stream but for
  /// rounding, since only distances count.
  void reset(std::uint64_t position = 0);

  /// Tokens fed since reset(), a sink token included, plus its start.
  std::uint64_t position() const { return cache_.position + forgotten_; }
  std::uint64_t passes() const { return passes_; }                ///< over the weights, in this session's life
  std::size_t cached() const { return cache_.occupancy.live(); }  ///< tokens that the next one sees
  std::size_t room() const;  ///< tokens until a policy without eviction is full; SIZE_MAX for others
  /// kFailed if so many do not fit any more.
  Status check_room(std::size_t tokens) const;
  const CachePolicy& policy() const { return cache_.occupancy.policy(); }
  std::size_t chunk() const;

  /// Bytes of save(), always the same: session_state_bytes() of the engine's plan.
  std::size_t state_bytes() const;
  /// Copies the whole session: cache, positions, tokens to recompute, the sampler's generator and recent tokens. Its
  /// sampling options are not part of it. Legal between any two calls. Cost: one copy of the cache; no allocation.
  /// @param state  [state_bytes()]
  void save(std::span<std::byte> state) const;
  /// Makes this session the one that was saved, by any engine with the same model and policy: its next logits have the
  /// bits, and its next sample() draws the token, that would have followed there.
  /// @param state  [state_bytes()]; what is in it is checked before anything is changed.
  /// kBadInput names what no session can have.
  Status restore(std::span<const std::byte> state);

 private:
  friend class Engine;
  Status check(std::span<const Token> tokens) const;
  void observe(std::span<const Token> tokens);
  void pass(std::span<const Token> tokens, Chunk kind = Chunk::kFed);
  void begin_stream();
  void run(std::span<const Token> tokens);
  std::size_t remember_first(std::span<const Token> tokens);
  void run_anew(std::span<const Token> tokens);
  Status evaluate_chunks(std::span<const Token> tokens, std::size_t first_index, RowOfLogits row);
  std::span<const float> logits_of_last();

  EngineState* engine_ = nullptr;
  StreamCache cache_;
  std::size_t last_row_ = 0;    // of the last chunk, in the chunk's buffers
  std::span<Token> history_;    // [window + 1] policy "recompute": the last tokens, oldest first
  std::size_t remembered_ = 0;  // how many of them there are
  PromptLookup lookup_;
  std::uint64_t passes_ = 0;
  std::uint64_t forgotten_ = 0;  // tokens of the stream before the run at hand, where each token begins a run anew
  Sampler sampler_;
};

/// A model running in one block of memory. Move-only; ends its threads when it goes.
class Engine {
 public:
  /// Takes the plan's block from the system and starts. kOverBudget if the plan is over the budget (nothing was taken
  /// then), or the system does not grant it.
  /// @param model  borrowed for the engine's life, at whose end its pages go (others that use it read them anew).
  static Result<Engine> start(const ModelFile& model, const EngineOptions& options);
  /// The same in a block of the caller's: a static array, a region of shared memory.
  /// @param block  at least plan_engine().memory.arena_bytes(), page-aligned; borrowed for the engine's life.
  static Result<Engine> start_in(const ModelFile& model, const EngineOptions& options, std::span<std::byte> block);

  Engine(Engine&& other) noexcept;
  Engine& operator=(Engine&& other) noexcept;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  /// kUsage for a session that the engine does not have.
  Status check_session(std::size_t index) const;
  /// @param index  below options().sessions
  Session& session(std::size_t index);
  const EnginePlan& plan() const;
  const ModelFile& model() const;
  /// nullptr if the model came without one.
  Tokenizer* tokenizer();
  /// Where a SessionKeeper copies a session to, [StateFile::slot_bytes], and what it saves along with it,
  /// [kStateNoteBytes], zero at the start; empty without keeps_state.
  std::span<std::byte> state_snapshot();
  std::span<std::byte> state_note();
  /// The stack of the keeper's thread, from a page on; empty likewise.
  std::span<std::byte> keeper_stack();
  /// The threads that every call runs on, for whoever wants to pin them. Not while a call is under way.
  WorkerPool& workers();
  /// Who sees the inputs of all matrices from now on, for who measures them; nullptr: nobody. Borrowed for as long.
  void observe_inputs(const InputObserver* observer);
  /// Room for tokens between an encoder and the model, one chunk of them; whoever feeds uses it for one call.
  std::span<Token> pending();

 private:
  Engine() = default;

  PageBlock block_;
  EngineState* state_ = nullptr;  // lives in the block
};

}  // namespace rill
