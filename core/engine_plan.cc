#include <algorithm>
#include <optional>

#include "core/engine.h"
#include "core/engine_state.h"
#include "core/model_tensors.h"
#include "core/session_state.h"
#include "core/state_file.h"
#include "platform/cpu.h"
#include "platform/cpu_quota.h"

// The arena, low to high addresses, in the plan's order; items start on 64 bytes:
//
//   | weights, tokenizer's | engine, layers, | stacks of   | histories | cache: sinks, | chunk: staged, | tokenizer's
//   | tables: in RAM only  | sessions        | the workers |           | rings, drafts | x, ..., sampler| pool
//   |<------------------------------ whole run --------------------------------->|<-- one call -->|<- whole run ->|
//
// and, where a session's state is kept, its note and the snapshot that is written to the disk, for the whole run.

namespace rill {
namespace {

constexpr std::uint32_t kLargestChunk = 64;

Status bad_option(std::string_view name, std::uint64_t value, const Text& expected) {
  return bad_usage({.where = text(name), .what = text(value), .expected = expected, .remedy = {}});
}

Status check_options(const ModelConfig& config, const EngineOptions& o) {
  if (o.policy.window < 1 || o.policy.window > kMostWindow) {
    return bad_option("--window", o.policy.window, text("1 to ", kMostWindow));
  }
  if (o.policy.sinks > kMostWindow) return bad_option("--sinks", o.policy.sinks, text("0 to ", kMostWindow));
  // Past a window there is the token itself; a cache that only fills up ends with it.
  const std::uint64_t self = o.policy.is_endless() ? 1 : 0;
  const std::uint64_t positions = std::uint64_t{o.policy.sinks} + o.policy.window + self;
  if (config.position == Position::kLearned && positions > config.context_length) {
    return bad_usage({.where = text("--sinks ", o.policy.sinks, " --window ", o.policy.window),
                      .what = text("the model has learned ", config.context_length, " positions only"),
                      .expected = text("sinks and window of ", config.context_length - self, " together at most"),
                      .remedy = {}});
  }
  if (o.chunk > 4096) return bad_option("--chunk", o.chunk, text("1 to 4096"));
  if (o.threads > WorkerPool::kMaxThreads)
    return bad_option("--threads", o.threads, text("1 to ", WorkerPool::kMaxThreads));
  if (o.draft >= DraftedPass::kMostTokens)
    return bad_option("--draft", o.draft, text("0 to ", DraftedPass::kMostTokens - 1));
  if (o.sessions < 1 || o.sessions > 1024) return bad_option("--sessions", o.sessions, text("1 to 1024"));
  if (o.kernels != nullptr && !detect_cpu().has(o.kernels->needs)) {
    return bad_usage({.where = text("--kernels ", o.kernels->name),
                      .what = text("this CPU cannot run them"),
                      .expected = {},
                      .remedy = text("`rill kernels` lists what it can")});
  }
  return {};
}

/// The policy as this model needs it: a sink of the model's own has a slot wherever nothing may be evicted.
CachePolicy policy_for(const ModelConfig& config, CachePolicy policy) {
  if (config.sink_token != kNoToken && !policy.evicts) policy.sinks = std::max(policy.sinks, 1U);
  return policy;
}

Result<EnginePlan> plan_with_chunk(const ModelOutline& model, const EngineOptions& options,
                                   std::size_t tokenizer_heap_bytes) {
  const ModelConfig& c = model.config;
  const CachePolicy& policy = options.policy;
  EnginePlan p;
  p.options = options;
  p.options.draft = policy.recomputes ? 0 : std::min(options.draft, options.chunk - 1);
  p.options.logits_rows = std::clamp(std::max(options.logits_rows, p.options.draft + 1), 1U, options.chunk);
  MemoryPlan& plan = p.memory;
  constexpr Lifetime kLife = Lifetime::kWholeRun;

  if (options.in_ram) {
    p.weights = plan.add<std::byte>("weights", Size(model.weights_bytes), kLife);
    p.tokenizer_tables = plan.add<std::byte>("tokenizer tables", Size(model.tokenizer_section.size()), kLife);
  } else {
    plan.add_mapped("model file", Size(model.file_bytes));
  }
  p.state = plan.add<std::byte>("engine", Size(sizeof(EngineState)), kLife);
  p.layers = plan.add<Layer>("layer table", Size(c.layers), kLife);
  p.sessions = plan.add<std::byte>("sessions", Size(sizeof(Session)) * Size(options.sessions), kLife);
  const std::size_t stacks = (options.threads - 1 + (options.keeps_state ? 1 : 0)) * WorkerPool::stack_bytes();
  // Stacks start at a page; the arena does, so a page more is enough wherever the item begins.
  p.stacks = plan.add<std::byte>("thread stacks", Size(stacks == 0 ? 0 : stacks + MemoryPlan::kPageBytes), kLife);
  p.pending = plan.add<Token>("tokens to feed", Size(options.chunk), kLife);
  const Size history = policy.recomputes ? Size(policy.window) + Size(1) : Size(0);
  p.history = plan.add<Token>("tokens to recompute", history * Size(options.sessions), kLife);
  const std::uint64_t seen = std::uint64_t{policy.sinks} + policy.window;
  const Size lookback(p.options.draft == 0 ? 0 : std::min<std::uint64_t>(seen, PromptLookup::kMostLookback));
  p.lookup = plan.add<Token>("tokens to guess from", Size(2) * lookback * Size(options.sessions), kLife);
  p.cache = plan_cache(plan, c, policy, options.sessions, p.options.draft == 0 ? 0 : p.options.draft + 1);
  p.chunk = plan_chunk(plan, c, policy, options.chunk, p.options.logits_rows, options.threads);
  p.sampler = plan_sampler(plan, c);
  p.tokenizer_heap = plan.add<std::byte>("tokenizer pool", Size(tokenizer_heap_bytes), kLife);
  if (options.keeps_state) {
    const Size payload = session_state_bytes(p) + Size(kStateNoteBytes);
    p.state_note = plan.add<std::byte>("state note", Size(kStateNoteBytes), kLife);
    p.state_snapshot = plan.add<std::byte>("state snapshot", StateFile::slot_bytes(payload), kLife);
  }
  RILL_TRY(plan.check());
  return p;
}

}  // namespace

ModelOutline outline_of(const ModelFile& model) {
  return {.config = model.config(),
          .file_bytes = model.bytes().size(),
          .weights_bytes = model.weights().size(),
          .tokenizer_section = model.tokenizer_section()};
}

Result<ModelOutline> outline_of(const ModelConfig& config) {
  Size weights;
  std::uint64_t tensors = 0;
  RILL_TRY(for_each_tensor(config, [&](const TensorSpec& spec) -> Status {
    weights = round_up(weights, format::kAlignment) + spec.bytes();
    ++tensors;
    return {};
  }));
  const Size header(format::kWeightsAlignment + tensors * sizeof(format::TensorEntry));
  const Size file = round_up(header, format::kWeightsAlignment) + weights;
  if (file.wrapped) {
    return bad_input({.where = text("configuration"),
                      .what = text("the model's size does not fit 64 bits"),
                      .expected = {},
                      .remedy = {}});
  }
  return ModelOutline{
      .config = config, .file_bytes = file.value, .weights_bytes = weights.value, .tokenizer_section = {}};
}

Status EnginePlan::check_budget() const {
  if (fits()) return {};
  return over_budget({.where = text("--budget"),
                      .what = text("the plan takes ", total_bytes(), " bytes"),
                      .expected = text("at most ", options.budget_bytes),
                      .remedy = text("`rill plan` shows what takes them")});
}

Result<EnginePlan> plan_engine(const ModelOutline& outline, const EngineOptions& options) {
  ModelOutline model = outline;
  if (!options.reads_text) model.tokenizer_section = {};
  EngineOptions chosen = options;
  chosen.policy = policy_for(model.config, options.policy);
  RILL_TRY(check_options(model.config, chosen));
  if (chosen.threads == 0) chosen.threads = std::min(usable_cores(), 8U);
  if (chosen.kernels == nullptr) chosen.kernels = &kernels::best_kernel_set(detect_cpu());
  std::size_t heap_bytes = 0;
  if (!model.tokenizer_section.empty()) {
    RILL_ASSIGN(heap_bytes, Tokenizer::heap_bytes(model.tokenizer_section));
  }
  if (options.chunk != 0) return plan_with_chunk(model, chosen, heap_bytes);
  for (chosen.chunk = kLargestChunk; chosen.chunk > 1; chosen.chunk /= 2) {
    Result<EnginePlan> plan = plan_with_chunk(model, chosen, heap_bytes);
    if (plan.ok() && plan->fits()) return plan;
  }
  Result<EnginePlan> smallest = plan_with_chunk(model, chosen, heap_bytes);
  if (smallest.ok() && smallest->fits()) return smallest;
  chosen.chunk = kLargestChunk;  // nothing fits: show what would be taken
  return plan_with_chunk(model, chosen, heap_bytes);
}

namespace {

constexpr std::uint32_t kLeastWindow = 16;
constexpr std::uint32_t kFewSinks = 4;

struct Fitting {
  EngineOptions options;  ///< as they would be given
  std::uint64_t total_bytes = 0;
};
std::optional<Fitting> if_fitting(const ModelOutline& model, const EngineOptions& options) {
  const Result<EnginePlan> plan = plan_engine(model, options);
  if (!plan.ok() || !plan->fits()) return std::nullopt;
  return Fitting{.options = options, .total_bytes = plan->total_bytes()};
}

/// Tries smaller values of one option, in steps that keep every bit of precision that a person cares for.
/// @param set  writes a value into the options. @returns them with the largest value below `from` that fits
template <typename Set>
std::optional<Fitting> shrink(const ModelOutline& model, EngineOptions options, std::uint32_t from, std::uint32_t least,
                              Set set) {
  for (std::uint32_t value = from; value > least;) {
    value = std::max(least, value - std::max(value / 8, 1U));
    set(options, value);
    if (const std::optional<Fitting> fitting = if_fitting(model, options)) return fitting;
  }
  return std::nullopt;
}

void set_chunk(EngineOptions& options, std::uint32_t value) { options.chunk = value; }
void set_window(EngineOptions& options, std::uint32_t value) { options.policy.window = value; }
void set_sinks(EngineOptions& options, std::uint32_t value) { options.policy.sinks = value; }

/// What to write on the command line to come from these options to those.
Text difference(const EngineOptions& from, const EngineOptions& to) {
  Text flags;
  const auto add = [&](std::string_view flag, std::uint64_t before, std::uint64_t after) {
    if (before != after) flags.append(text(flags.empty() ? "" : " ", flag, after).view());
  };
  add("--sinks ", from.policy.sinks, to.policy.sinks);
  add("--window ", from.policy.window, to.policy.window);
  add("--chunk ", from.chunk, to.chunk);
  add("--threads ", from.threads, to.threads);
  add("--draft ", from.draft, to.draft);
  if (from.keeps_state && !to.keeps_state) flags.append(flags.empty() ? "no --state" : " no --state");
  return flags;
}

/// Everything at its least but for the window, which is as large as fits, or as small as can be where none does.
WayToFit shrink_everything(const ModelOutline& model, const EngineOptions& options) {
  EngineOptions least = options;
  least.chunk = 1;
  least.threads = 1;
  least.draft = 0;
  least.policy.sinks = std::min(options.policy.sinks, kFewSinks);
  std::optional<Fitting> fitting;
  const auto try_windows = [&] {
    if (!fitting) fitting = if_fitting(model, least);
    if (!fitting) fitting = shrink(model, least, least.policy.window, kLeastWindow, set_window);
  };
  try_windows();
  // Where others take a part of the budget it is the voice loop, which cannot do without.
  if (options.beside_bytes == 0) least.keeps_state = false;
  try_windows();
  if (fitting) return {.change = difference(options, fitting->options), .total_bytes = fitting->total_bytes};
  least.policy.window = std::min(least.policy.window, kLeastWindow);
  const Result<EnginePlan> plan = plan_engine(model, least);
  const Text flags = difference(options, least);
  return {.change = text("a smaller model", flags.empty() ? "" : ": this one with ", flags),
          .total_bytes = plan.ok() ? plan->total_bytes() : 0};
}

}  // namespace

WaysToFit ways_to_fit(const ModelOutline& model, const EngineOptions& options) {
  WaysToFit found;
  const auto add = [&](const std::optional<Fitting>& fitting) {
    if (!fitting || found.ways == found.list.size()) return;
    found.list[found.ways++] = {.change = difference(options, fitting->options), .total_bytes = fitting->total_bytes};
  };
  const auto add_changed = [&](auto change) {
    EngineOptions changed = options;
    change(changed);
    add(if_fitting(model, changed));
  };
  if (options.chunk > 1) add(shrink(model, options, options.chunk, 1, set_chunk));  // else the smallest already
  if (options.draft > 0) add_changed([](EngineOptions& o) { o.draft = 0; });
  if (options.threads != 1) add_changed([](EngineOptions& o) { o.threads = 1; });
  // So far no bit of a result changes.
  add(shrink(model, options, options.policy.window, kLeastWindow, set_window));
  add(shrink(model, options, options.policy.sinks, kFewSinks, set_sinks));
  if (options.keeps_state && options.beside_bytes == 0) add_changed([](EngineOptions& o) { o.keeps_state = false; });
  if (found.ways == 0) found.list[found.ways++] = shrink_everything(model, options);
  return found;
}

}  // namespace rill
