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
std::uint64_t bytes_of(std::span<const ItemBeside> items);

// `besides` were taken off the budget before the plan was made; sums and budget are told with them.

/// The plan as a table: an item a line, then the sums and the budget.
void print_plan(std::FILE* out, const EnginePlan& plan, std::span<const ItemBeside> besides = {});
/// What would make it fit, a line each.
void print_ways_to_fit(std::FILE* out, const ModelOutline& model, const EngineOptions& options,
                       std::span<const ItemBeside> besides = {});
/// The same as JSON, with the keys of CLI.md, and `besides` where there are any.
nlohmann::ordered_json plan_json(const EnginePlan& plan, std::span<const ItemBeside> besides = {});

}  // namespace rill::apps
