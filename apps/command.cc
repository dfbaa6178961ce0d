#include "apps/command.h"

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

}  // namespace rill::apps
