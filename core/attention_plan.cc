// What attention and its cache take: their items of the memory plan, and the buffers that are cut from them.

#include <algorithm>
#include <array>
#include <string_view>

#include "core/attention.h"

namespace rill {

using kernels::kMostQueries;

CacheItems plan_cache(MemoryPlan& plan, const ModelConfig& config, const CachePolicy& policy, std::uint32_t sessions,
                      std::uint32_t draft) {
  constexpr Lifetime kLife = Lifetime::kWholeRun;
  std::uint64_t local = 0;
  for (std::uint32_t l = 0; l < config.layers; ++l) local += config.is_local(l) ? 1 : 0;
  const auto add = [&](const std::array<std::string_view, 4>& names, std::uint64_t slots, std::uint64_t layers) {
    SlotItems items = plan_slots(plan, names, config, slots, layers * sessions, kLife);
    items.layers_per_session = static_cast<std::size_t>(layers);
    return items;
  };
  CacheItems items;
  items.sinks = add({"sink keys", "sink values", "sink key scales", "sink value scales"}, policy.sinks, config.layers);
  items.ring = add({"ring keys", "ring values", "ring key scales", "ring value scales"},
                   reach_of(policy, config, false).ring, config.layers - local);
  if (local > 0) {
    items.local_ring = add({"local ring keys", "local ring values", "local ring key scales", "local ring value scales"},
                           reach_of(policy, config, true).ring, local);
  }
  if (draft > 0) {
    items.drafted = plan_slots(plan, {"drafted keys", "drafted values", "drafted key scales", "drafted value scales"},
                               config, draft, config.layers, kLife);
  }
  return items;
}

AttentionItems plan_attention(MemoryPlan& plan, const ModelConfig& config, const CachePolicy& policy, std::size_t chunk,
                              std::size_t threads) {
  const bool has_rope = config.position == Position::kRope;
  const Size phases = has_rope ? Size(chunk) * Size(config.rotated_size() / 2) * Size(config.rope_tables) : Size(0);
  const Size stride(head_stride(config));
  const Size most_slots =
      round_up(Size(std::max({std::uint64_t{policy.sinks}, std::uint64_t{policy.window}, std::uint64_t{chunk}})), 16);
  const Size visible = Size(policy.sinks) + Size(policy.window) + Size(1);
  const Size sink_logit(config.softmax == Softmax::kStandard ? 0 : 1);
  constexpr Lifetime kLife = Lifetime::kOneCall;
  AttentionItems items;
  items.staged = plan_slots(plan, {"staged keys", "staged values", "staged key scales", "staged value scales"}, config,
                            chunk, 1, kLife);
  items.cosines = plan.add<float>("rope cosines", phases, kLife);
  items.sines = plan.add<float>("rope sines", phases, kLife);
  items.sink_cosines = plan.add<float>("rope cosines for sinks", phases, kLife);
  items.sink_sines = plan.add<float>("rope sines for sinks", phases, kLife);
  const Size queries = Size(kMostQueries) * Size(threads);
  items.products = plan.add<std::int32_t>("products by slot", (most_slots + Size(16)) * queries, kLife);
  items.scores = plan.add<float>("scores in order", round_up(visible + sink_logit, 16) * queries, kLife);
  items.mixed = plan.add<std::int32_t>("mixed values", queries * stride, kLife);
  items.vectors = plan.add<float>("head vectors", Size(threads) * stride, kLife);
  items.quantized = plan.add<std::int8_t>("queries in two bytes", Size(4) * stride * queries, kLife);
  return items;
}

AttentionBuffers cut_attention(const Arena& arena, const AttentionItems& items, const ModelConfig& config,
                               std::size_t threads) {
  AttentionBuffers b;
  b.staged = slots_of_layer(arena, items.staged, config, 0);
  b.cosines = arena[items.cosines];
  b.sines = arena[items.sines];
  b.sink_cosines = arena[items.sink_cosines];
  b.sink_sines = arena[items.sink_sines];
  b.products = arena[items.products];
  b.mixed = arena[items.mixed];
  b.scores = arena[items.scores];
  b.vectors = arena[items.vectors];
  b.quantized = arena[items.quantized];
  b.products_stride = b.products.size() / (threads * kMostQueries);
  b.scores_stride = b.scores.size() / (threads * kMostQueries);
  b.table_stride = b.cosines.size() / config.rope_tables;
  return b;
}

}  // namespace rill
