// rill kernels: which kernel sets there are.

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/command.h"
#include "platform/cpu.h"
#include "platform/kernels/kernels.h"

namespace rill::apps {
namespace {

Status run_kernels(bool json) {
  const CpuFeatures cpu = detect_cpu();
  const kernels::KernelSet& chosen = kernels::best_kernel_set(cpu);
  nlohmann::ordered_json built = nlohmann::ordered_json::array();
  nlohmann::ordered_json usable = nlohmann::ordered_json::array();
  for (const kernels::KernelSet* set : kernels::kernel_sets()) {
    built.push_back(set->name);
    if (cpu.has(set->needs)) usable.push_back(set->name);
    if (!json) {
      std::cout << set->name
                << (set == &chosen        ? "  (chosen)"
                    : cpu.has(set->needs) ? ""
                                          : "  (not on this CPU)")
                << '\n';
    }
  }
  if (json) {
    std::cout << nlohmann::ordered_json{{"built", built}, {"usable", usable}, {"chosen", chosen.name}}.dump(2) << '\n';
  }
  return {};
}

}  // namespace

void add_kernels(CLI::App& app, Action& action) {
  auto json = std::make_shared<bool>(false);
  CLI::App& command = *app.add_subcommand("kernels", "List the kernel sets: built, usable on this CPU, chosen");
  command.add_flag("--json", *json, "Print JSON on standard output");
  command.footer("Example: rill kernels --json");
  command.callback([json, &action] { action = [json] { return run_kernels(*json); }; });
}

}  // namespace rill::apps
