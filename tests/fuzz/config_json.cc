// config.json (and the same text as generation_config.json): the configuration, its tables of positions, and the plan
// that `rill plan config.json` prints.

#include "core/engine.h"
#include "quant/huggingface_config.h"
#include "tests/fuzz/input_file.h"
#include "tests/fuzz/small_models.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const rill::fuzz::InputFile file;
  const std::string& path = file.with(rill::fuzz::text_of(data, size));
  auto config = rill::quant::read_huggingface_config(path);
  if (!config.ok()) return 0;
  static_cast<void>(config->rope_turns());
  static_cast<void>(config->alibi_slopes());
  if (const auto outline = rill::outline_of(config->model); outline.ok()) {
    rill::EngineOptions options = rill::fuzz::small_options();
    static_cast<void>(rill::plan_engine(*outline, options).ok());
    static_cast<void>(rill::ways_to_fit(*outline, options));
    options.policy = rill::stream_policy(4, 1020);
    options.chunk = 0;
    options.in_ram = true;
    static_cast<void>(rill::plan_engine(*outline, options).ok());
  }
  static_cast<void>(rill::quant::read_generation_config(path, *config).ok());
  return 0;
}
