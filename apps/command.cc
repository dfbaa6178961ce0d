#include "apps/command.h"

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdlib>

namespace rill::apps {

void add_all_commands(CLI::App& app, Action& action) {
  add_chat(app, action);
  add_plan(app, action);
  add_quantize(app, action);
  add_inspect(app, action);
  add_generate(app, action);
  add_tokenize(app, action);
  add_logits(app, action);
  add_perplexity(app, action);
  add_streameval(app, action);
  add_bench(app, action);
  add_soak(app, action);
  add_kernels(app, action);
  add_voice(app, action);
  add_wyoming(app, action);
}

Status check_numbers(const CLI::App& app) {
  for (const CLI::App* const command : app.get_subcommands()) {
    for (const CLI::Option* const option : command->get_options()) {
      const std::string type = option->get_type_name();
      for (const std::string& given : option->results()) {
        const bool is_finite = !type.starts_with("FLOAT") || std::isfinite(std::strtod(given.c_str(), nullptr));
        if (is_finite && !(type.starts_with("UINT") && given.starts_with('-'))) continue;
        return bad_usage({.where = text(option->get_name()),
                          .what = text(given),
                          .expected = text(is_finite ? "0 or more" : "a finite number"),
                          .remedy = {}});
      }
    }
  }
  return {};
}

}  // namespace rill::apps
