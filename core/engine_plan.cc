#include <algorithm>

#include "core/engine.h"
#include "core/engine_state.h"
#include "core/model_tensors.h"
#include "core/session_state.h"
#include "core/state_file.h"
#include "platform/cpu.h"

// The arena, low to high addresses, in the plan's order; items start on 64 bytes:
//
//   | weights | engine, layers | stacks  | cache                         | chunk                 | sampler | tokenizer
//   | | only if | sessions,      | of the  | sinks, ring, local ring:      | staged, x, qkv, ...,  |         | pool |
//   | in RAM  | histories      | workers | K, V and their scales         | logits                |         | |
//   |<----------------------- whole run ------------------------------>|<----- one call ------>|<--- whole run ------>|
//
// and, where a session's state is kept, its note and the snapshot that is written to the disk, for the whole run.

namespace rill {
namespace {

constexpr std::uint32_t kLargestChunk = 64;
/// Of sinks as well. So many weights can be rounded without their sum passing its bound (KernelSet::weight_scale).
constexpr std::uint32_t kMostWindow = 1U << 22U;

Status bad_option(std::string_view name, std::uint64_t value, const Text& expected) {
  return bad_usage({.where = text(name), .what = text(value), .expected = expected, .remedy = {}});
}

Status check_options(const ModelConfig& config, const EngineOptions& o) {
  if (o.policy.window < 1 || o.policy.window > kMostWindow) {
    return bad_option("--window", o.policy.window, text("1 to ", kMostWindow));
  }
  if (o.policy.sinks > kMostWindow) return bad_option("--sinks", o.policy.sinks, text("0 to ", kMostWindow));
  const std::uint64_t last_position = std::uint64_t{o.policy.sinks} + o.policy.window;
  if (config.position == Position::kLearned && last_position >= config.context_length) {
    return bad_usage({.where = text("--sinks ", o.policy.sinks, " --window ", o.policy.window),
                      .what = text("the model has learned ", config.context_length, " positions only"),
                      .expected = text("sinks and window of ", config.context_length - 1, " together at most"),
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

Result<EnginePlan> plan_engine(const ModelOutline& model, const EngineOptions& options) {
  EngineOptions chosen = options;
  chosen.policy = policy_for(model.config, options.policy);
  RILL_TRY(check_options(model.config, chosen));
  if (chosen.threads == 0) chosen.threads = std::min(physical_cores(), 8U);
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

WaysToFit ways_to_fit(const ModelOutline& model, const EngineOptions& options) {
  WaysToFit found;
  const auto try_change = [&](const EngineOptions& changed, const Text& change) {
    const Result<EnginePlan> plan = plan_engine(model, changed);
    if (!plan.ok() || !plan->fits()) return false;
    if (found.ways < found.list.size())
      found.list[found.ways++] = {.change = change, .total_bytes = plan->memory.total_bytes()};
    return true;
  };
  /// The largest value below `from` that fits, in steps that keep every bit of precision that a person cares for.
  const auto shrink = [&](std::uint32_t from, const auto& with, std::string_view flag) {
    for (std::uint32_t value = from - from / 8; value >= 16; value -= std::max(value / 8, 1U)) {
      if (try_change(with(value), text(flag, ' ', value))) return;
    }
  };
  EngineOptions changed = options;
  if (options.chunk > 1) {  // left to the plan, it is the smallest already
    shrink(
        options.chunk,
        [&](std::uint32_t value) {
          changed.chunk = value;
          return changed;
        },
        "--chunk");
  }
  changed = options;
  shrink(
      options.policy.window,
      [&](std::uint32_t value) {
        changed.policy.window = value;
        return changed;
      },
      "--window");
  changed = options;
  if (options.threads != 1) {
    changed.threads = 1;
    try_change(changed, text("--threads 1"));
  }
  changed = options;
  if (options.draft > 0) {
    changed.draft = 0;
    try_change(changed, text("--draft 0"));
  }
  changed = options;
  if (options.keeps_state) {
    changed.keeps_state = false;
    try_change(changed, text("no --state"));
  }
  if (found.ways == 0) {
    changed = options;
    changed.threads = 1;
    changed.policy.window = 64;
    changed.chunk = 1;
    changed.draft = 0;
    changed.policy.sinks = std::min(options.policy.sinks, 4U);
    if (const Result<EnginePlan> least = plan_engine(model, changed); least.ok()) {
      found.list[found.ways++] = {
          .change = text(least->fits() ? "--window 64 --chunk 1 --threads 1"
                                       : "a smaller model: this one at --window 64 --chunk 1 --threads 1"),
          .total_bytes = least->memory.total_bytes()};
    }
  }
  return found;
}

}  // namespace rill
