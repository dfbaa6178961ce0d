#pragma once
// The memory plan for people and for programs.

#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "core/engine.h"

namespace rill::apps {

/// "142.9 MiB", "68.0 KiB", "312 B".
std::string human_bytes(std::uint64_t bytes);

/// The plan as a table: an item a line, then the sums and the budget.
void print_plan(std::FILE* out, const EnginePlan& plan);
/// What would make it fit, a line each.
void print_ways_to_fit(std::FILE* out, const ModelOutline& model, const EngineOptions& options);
/// The same as JSON, with the keys of CLI.md.
nlohmann::ordered_json plan_json(const EnginePlan& plan);

}  // namespace rill::apps
