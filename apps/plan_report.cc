#include "apps/plan_report.h"

#include <array>
#include <string_view>
#include <vector>

namespace rill::apps {

namespace {

/// All items, and for each region what aligning them and rounding it up to whole pages takes: the sum is the region's.
std::vector<PlanItem> with_padding(const MemoryPlan& plan) {
  std::vector<PlanItem> items(plan.items().begin(), plan.items().end());
  std::array<PlanItem, 2> paddings = {
      PlanItem{.name = "padding", .bytes = plan.arena_bytes(), .region = Region::kArena},
      PlanItem{.name = "padding", .bytes = plan.mapped_bytes(), .region = Region::kMapped},
  };
  for (const PlanItem& item : plan.items()) paddings[item.region == Region::kArena ? 0 : 1].bytes -= item.bytes;
  items.insert(items.end(), paddings.begin(), paddings.end());
  return items;
}

}  // namespace

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array<const char*, 4> kUnits = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f %s", value, kUnits[unit]);
  return text.data();
}

std::uint64_t bytes_of(std::span<const ItemBeside> items) {
  Size sum;
  for (const ItemBeside& item : items) sum = sum + Size(item.bytes);
  return sum.wrapped ? UINT64_MAX : sum.value;
}

void print_plan(std::FILE* out, const EnginePlan& plan, std::span<const ItemBeside> besides) {
  const auto line = [&](std::string_view name, std::uint64_t bytes, std::string_view region,
                        std::string_view lifetime) {
    std::fprintf(out, "  %-24.*s %14llu  %10s  %-6.*s  %.*s\n", static_cast<int>(name.size()), name.data(),
                 static_cast<unsigned long long>(bytes), human_bytes(bytes).c_str(), static_cast<int>(region.size()),
                 region.data(), static_cast<int>(lifetime.size()), lifetime.data());
  };
  const EngineOptions& o = plan.options;
  std::fprintf(out, "policy %.*s, %u sinks, window %u, chunk %u, %u thread%s, kernels %.*s\n",
               static_cast<int>(o.policy.name.size()), o.policy.name.data(), o.policy.sinks, o.policy.window, o.chunk,
               o.threads, o.threads == 1 ? "" : "s", static_cast<int>(o.kernels->name.size()), o.kernels->name.data());
  std::fprintf(out, "  %-24s %14s  %10s  %-6s  %s\n", "item", "bytes", "", "region", "lifetime");
  for (const PlanItem& item : with_padding(plan.memory)) {
    if (item.bytes > 0) line(item.name, item.bytes, name_of(item.region), name_of(item.lifetime));
  }
  line("arena", plan.memory.arena_bytes(), "", "");
  line("mapped", plan.memory.mapped_bytes(), "", "");
  for (const ItemBeside& item : besides) line(item.name, item.bytes, "beside", "whole run");
  line("total", plan.total_bytes(), "", "");
  if (o.budget_bytes > 0) line(plan.fits() ? "budget (fits)" : "budget (DOES NOT FIT)", o.budget_bytes, "", "");
}

void print_ways_to_fit(std::FILE* out, const ModelOutline& model, const EngineOptions& options) {
  if (options.beside_bytes >= options.budget_bytes) {
    std::fprintf(out,
                 "what is beside the model alone takes %s: give it less (fewer --sessions; --recognizer-memory, "
                 "--speaker-memory, --wake-memory)\n",
                 human_bytes(options.beside_bytes).c_str());
    return;
  }
  const WaysToFit found = ways_to_fit(model, options);
  const bool fits_somehow = found.list[0].total_bytes <= options.budget_bytes;
  std::fputs(fits_somehow ? "the cheapest ways to fit:\n" : "no option makes it fit; what would:\n", out);
  for (std::size_t i = 0; i < found.ways; ++i) {
    const std::string_view change = found.list[i].change.view();
    std::fprintf(out, "  %-40.*s %10s in all\n", static_cast<int>(change.size()), change.data(),
                 human_bytes(found.list[i].total_bytes).c_str());
  }
}

nlohmann::ordered_json plan_json(const EnginePlan& plan, std::span<const ItemBeside> besides) {
  nlohmann::ordered_json items = nlohmann::ordered_json::array();
  for (const PlanItem& item : with_padding(plan.memory)) {
    items.push_back({{"name", item.name},
                     {"bytes", item.bytes},
                     {"region", name_of(item.region)},
                     {"lifetime", name_of(item.lifetime)}});
  }
  nlohmann::ordered_json budget = nullptr;
  if (plan.options.budget_bytes > 0) budget = plan.options.budget_bytes;
  nlohmann::ordered_json json = {{"items", items},
                                 {"arena_bytes", plan.memory.arena_bytes()},
                                 {"mapped_bytes", plan.memory.mapped_bytes()},
                                 {"total_bytes", plan.total_bytes()},
                                 {"budget_bytes", budget},
                                 {"fits", plan.fits()}};
  for (const ItemBeside& item : besides) json["besides"].push_back({{"name", item.name}, {"bytes", item.bytes}});
  return json;
}

}  // namespace rill::apps
