// rill plan: every byte before it is taken.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "apps/command.h"
#include "apps/model_options.h"
#include "apps/plan_report.h"
#include "apps/voice/memory.h"
#include "apps/voice/speech_text.h"
#include "apps/wyoming/server.h"
#include "core/conversation.h"
#include "quant/huggingface_config.h"

namespace rill::apps {
namespace {

/// What is planned for: a model file, or before there is one a Hugging Face config.json, or a directory that has it.
Result<ModelOutline> read_outline(const std::string& path, std::optional<ModelFile>& file) {
  std::error_code ignored;  // what cannot be looked at cannot be opened either, and says so there
  const bool is_directory = std::filesystem::is_directory(path, ignored);
  if (is_directory || path.ends_with(".json")) {
    RILL_ASSIGN(const quant::HuggingfaceConfig config,
                quant::read_huggingface_config(is_directory ? path + "/config.json" : path));
    return outline_of(config.model);
  }
  RILL_ASSIGN(file, ModelFile::open(path));
  return outline_of(*file);
}

struct PlanArguments : ModelArguments {
  std::string state;  ///< not opened: only whether it is given matters
  std::optional<std::string> system;
  bool has_voice = false;
  std::uint32_t wyoming_sessions = 0;  ///< 0: no server
  VoicePartArguments voice;
};

/// What `--sinks system` takes, where there is a model that can be talked with.
Result<std::optional<std::uint32_t>> system_tokens(const PlanArguments& arguments,
                                                   const std::optional<ModelFile>& file) {
  if (arguments.sinks != "system" || !file || file->chat_section().empty()) return std::optional<std::uint32_t>();
  RILL_ASSIGN(const ChatSection chat, parse_chat_section(file->chat_section(), text(file->name())));
  const std::string own = arguments.has_voice ? kVoiceSystem : std::string(chat.default_system);
  return system_sinks(arguments, *file, chat.form, arguments.system.value_or(own));
}

Status run_plan(const PlanArguments& arguments) {
  std::optional<ModelFile> file;
  RILL_ASSIGN(const ModelOutline model, read_outline(arguments.model, file));
  const bool keeps_state = !arguments.state.empty() || arguments.has_voice;  // the voice tells interrupted replies anew
  ModelArguments wanted = arguments;
  if (arguments.has_voice || arguments.wyoming_sessions > 0) wanted.draft = 0;  // they make none
  StreamNeeds needs{.keeps_state = keeps_state};
  RILL_ASSIGN(needs.system_tokens, system_tokens(arguments, file));
  RILL_ASSIGN(EngineOptions options, engine_options(wanted, model.config, needs));
  std::vector<ItemBeside> besides;
  if (arguments.has_voice) {
    RILL_ASSIGN(const VoicePartChoice choice, choose_voice_parts(arguments.voice));
    const auto items = choice.memory.items();
    besides.assign(items.begin(), items.end());
  }
  if (arguments.wyoming_sessions > 0) {
    options.sessions = arguments.wyoming_sessions;
    const auto items = WyomingServer::items(options.sessions);
    besides.assign(items.begin(), items.end());
  }
  options.beside_bytes = bytes_of(besides);
  RILL_ASSIGN(const EnginePlan plan, plan_engine(model, options));
  if (arguments.json) {
    std::cout << plan_json(plan, besides).dump(2) << '\n';
  } else {
    print_plan(stdout, plan, besides);
    if (!file) std::puts("Without the tokenizer's pool, which config.json says nothing of.");
  }
  if (!plan.fits()) print_ways_to_fit(arguments.json ? stderr : stdout, model, options);
  return plan.check_budget();
}

}  // namespace

void add_plan(CLI::App& app, Action& action) {
  auto arguments = std::make_shared<PlanArguments>();
  CLI::App& command = *app.add_subcommand("plan",
                                          "Print every byte that a run would take, before it is taken; MODEL may be a "
                                          "Hugging Face config.json, or its directory");
  add_model_arguments(command, *arguments);
  add_draft_argument(command, *arguments);
  command.add_option("--state", arguments->state,
                     "Plan for `rill chat --state FILE`: a copy of the session and a thread that writes it");
  auto* const voice = command.add_flag(
      "--voice", arguments->has_voice,
      "Plan for `rill voice`: the copy of the session, the audio rings and each speech part's most memory");
  command
      .add_option("--wyoming", arguments->wyoming_sessions,
                  "Plan for `rill wyoming --sessions N`: the conversations, and the most that their clients can take")
      ->check(CLI::Range(1, 256))
      ->excludes(voice);
  command.add_option("--system", arguments->system,
                     "The system prompt that `--sinks system` pins (default: that of `rill chat` or `rill voice`)");
  add_voice_part_arguments(command, arguments->voice);
  command.footer(std::string(kSamplesNothing) +
                 "Example: rill plan smollm2.rill --window 508 --budget 160MiB\n"
                 "         rill plan smollm2.rill --state talk.state\n"
                 "         rill plan smollm2.rill --voice --budget 700MiB\n"
                 "         rill plan smollm2.rill --wyoming 4");
  command.callback([arguments, &action] { action = [arguments] { return run_plan(*arguments); }; });
}

}  // namespace rill::apps
