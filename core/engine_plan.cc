#include <algorithm>

#include "core/engine.h"
#include "core/engine_state.h"
#include "platform/cpu.h"

// The arena, low to high addresses, in the plan's order; items start on 64 bytes:
//
//   | weights          | engine, layers, sessions | stacks  | cache                        | chunk | pool      | | only
//   if --in-ram | one sampler a session    | workers | sinks, ring: K, V and scales | staged, x, qkv, ..., logits  |
//   tokenizer |
//   |<----------------------------- whole run ------------------------------------------->|<------- one call
//   ------->|<- whole ->|

namespace rill {
namespace {

constexpr std::uint32_t kLargestChunk = 64;
constexpr std::uint32_t kMostWindow = 1U << 24U;

Status bad_option(std::string_view name, std::uint64_t value, const Text& expected) {
  return bad_usage({.where = text(name), .what = text(value), .expected = expected, .remedy = {}});
}

Status check_options(const EngineOptions& o) {
  if (o.policy.window < 1 || o.policy.window > kMostWindow) {
    return bad_option("--window", o.policy.window, text("1 to ", kMostWindow));
  }
  if (o.policy.sinks > kMostWindow) return bad_option("--sinks", o.policy.sinks, text("0 to ", kMostWindow));
  if (o.chunk > 4096) return bad_option("--chunk", o.chunk, text("1 to 4096"));
  if (o.threads > WorkerPool::kMaxThreads)
    return bad_option("--threads", o.threads, text("1 to ", WorkerPool::kMaxThreads));
  if (o.sessions < 1 || o.sessions > 1024) return bad_option("--sessions", o.sessions, text("1 to 1024"));
  if (o.kernels != nullptr && !detect_cpu().has(o.kernels->needs)) {
    return bad_usage({.where = text("--kernels ", o.kernels->name),
                      .what = text("this CPU cannot run them"),
                      .expected = {},
                      .remedy = text("`rill kernels` lists what it can")});
  }
  return {};
}

Result<EnginePlan> plan_with_chunk(const ModelFile& model, const EngineOptions& options,
                                   std::size_t tokenizer_heap_bytes) {
  const ModelConfig& c = model.config();
  const CachePolicy& policy = options.policy;
  const Size layers = Size(c.layers) * Size(options.sessions);
  EnginePlan p;
  p.options = options;
  p.options.logits_rows = std::clamp(options.logits_rows, 1U, options.chunk);
  MemoryPlan& plan = p.memory;
  constexpr Lifetime kLife = Lifetime::kWholeRun;

  if (options.in_ram) {
    p.weights = plan.add<std::byte>("weights", Size(model.weights().size()), kLife);
  } else {
    plan.add_mapped("model file", Size(model.bytes().size()));
  }
  p.state = plan.add<std::byte>("engine", Size(sizeof(EngineState)), kLife);
  p.layers = plan.add<Layer>("layer table", Size(c.layers), kLife);
  p.sessions = plan.add<std::byte>("sessions", Size(sizeof(Session)) * Size(options.sessions), kLife);
  const std::size_t stacks = (options.threads - 1) * WorkerPool::stack_bytes();
  // Stacks start at a page; the arena does, so a page more is enough wherever the item begins.
  p.stacks = plan.add<std::byte>("thread stacks", Size(stacks == 0 ? 0 : stacks + MemoryPlan::kPageBytes), kLife);
  p.pending = plan.add<Token>("tokens to feed", Size(options.chunk), kLife);
  p.sinks = plan_slots(plan, {"sink keys", "sink values", "sink key scales", "sink value scales"}, c, policy.sinks,
                       layers.value, kLife);
  p.ring = plan_slots(plan, {"ring keys", "ring values", "ring key scales", "ring value scales"}, c, policy.window,
                      layers.value, kLife);
  p.chunk = plan_chunk(plan, c, policy, options.chunk, p.options.logits_rows, options.threads);
  p.sampler = plan_sampler(plan, c);
  p.tokenizer_heap = plan.add<std::byte>("tokenizer pool", Size(tokenizer_heap_bytes), kLife);
  RILL_TRY(plan.check());
  return p;
}

}  // namespace

Result<EnginePlan> plan_engine(const ModelFile& model, const EngineOptions& options) {
  RILL_TRY(check_options(options));
  EngineOptions chosen = options;
  if (chosen.threads == 0) chosen.threads = std::min(physical_cores(), 8U);
  if (chosen.kernels == nullptr) chosen.kernels = &kernels::best_kernel_set(detect_cpu());
  std::size_t heap_bytes = 0;
  if (!model.tokenizer_section().empty()) {
    RILL_ASSIGN(heap_bytes, Tokenizer::heap_bytes(model.tokenizer_section()));
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

WaysToFit ways_to_fit(const ModelFile& model, const EngineOptions& options) {
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
  if (found.ways == 0) {
    changed.policy.window = 64;
    changed.chunk = 1;
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
