// rill plan: every byte before it is taken.

#include <cstdio>
#include <iostream>
#include <memory>

#include "apps/command.h"
#include "apps/model_options.h"
#include "apps/plan_report.h"

namespace rill::apps {
namespace {

Status run_plan(const ModelArguments& arguments) {
  RILL_ASSIGN(const ModelFile model, open_model_file(arguments.model));
  RILL_ASSIGN(const EngineOptions options, engine_options(arguments, model.config(), {}));
  RILL_ASSIGN(const EnginePlan plan, plan_engine(model, options));
  if (arguments.json) {
    std::cout << plan_json(plan).dump(2) << '\n';
  } else {
    print_plan(stdout, plan);
  }
  if (plan.fits()) return {};
  if (!arguments.json) print_ways_to_fit(stdout, model, options);
  return over_budget({.where = text(model.name()),
                      .what = text("the plan takes ", plan.memory.total_bytes(), " bytes"),
                      .expected = text("at most the budget's ", plan.options.budget_bytes),
                      .remedy = {}});
}

}  // namespace

void add_plan(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<ModelArguments>();
  CLI::App& command = *app.add_subcommand("plan", "Print every byte that a run would take, before it is taken");
  add_model_arguments(command, *arguments);
  command.footer("Example: rill plan smollm2.rill --window 508 --budget 160MiB");
  command.callback([arguments, &action] { action = [arguments] { return run_plan(*arguments); }; });
}

}  // namespace rill::apps
