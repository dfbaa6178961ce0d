#pragma once
// The memory plan for people and for programs.

#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "core/engine.h"

namespace rill::apps {

/// "142.9 MiB", "68.0 KiB", "312 B".
std::string human_bytes(std::uint64_t bytes);

/// What shares the budget with the model: another process, an audio ring.
struct ItemBeside {
  std::string_view name;
  std::uint64_t bytes;
};
/// 2^64 - 1 where the sum is more.
std::uint64_t bytes_of(std::span<const ItemBeside> items);

// `besides` are what the plan's beside_bytes are the sum of.

/// The plan as a table: an item a line, then the sums and the budget.
void print_plan(std::FILE* out, const EnginePlan& plan, std::span<const ItemBeside> besides = {});
/// What would make it fit, a line each.
void print_ways_to_fit(std::FILE* out, const ModelOutline& model, const EngineOptions& options);
/// The same as JSON, with the keys of CLI.md, and `besides` where there are any.
nlohmann::ordered_json plan_json(const EnginePlan& plan, std::span<const ItemBeside> besides = {});

}  // namespace rill::apps
