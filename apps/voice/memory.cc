#include "apps/voice/memory.h"

#include <CLI/CLI.hpp>

#include "apps/model_options.h"
#include "apps/voice/loop.h"

namespace rill::apps {

std::array<ItemBeside, 3> VoiceMemory::items() const {
  constexpr std::uint64_t kRings = (VoiceLoop::kCaptureSamples + VoiceLoop::kPlaybackSamples) * sizeof(Sample);
  return {{{"audio rings", kRings}, {"recognizer, at most", recognizer}, {"speaker, at most", speaker}}};
}

std::uint64_t VoiceMemory::total() const { return bytes_of(items()); }

void add_voice_part_arguments(CLI::App& command, VoicePartArguments& arguments) {
  command
      .add_option("--recognizer", arguments.recognizer,
                  "pocketsphinx, or wyoming:HOST:PORT for a service (whisper's port is 10300)")
      ->capture_default_str();
  command
      .add_option("--speaker", arguments.speaker,
                  "flite, espeak-ng, or wyoming:HOST:PORT for a service (piper's port is 10200)")
      ->capture_default_str();
  command
      .add_option("--recognizer-memory", arguments.recognizer_memory,
                  "Most memory of the recogniser's process, part of --budget; it is started anew when it takes more")
      ->capture_default_str();
  command.add_option("--speaker-memory", arguments.speaker_memory, "The same for the speaker")->capture_default_str();
}

Result<VoicePartChoice> choose_voice_parts(const VoicePartArguments& arguments) {
  VoicePartChoice choice;
  RILL_ASSIGN(choice.recognizer, PartAddress::parse(arguments.recognizer, "--recognizer"));
  RILL_ASSIGN(choice.speaker, PartAddress::parse(arguments.speaker, "--speaker"));
  RILL_ASSIGN(const std::uint64_t ears, parse_size(arguments.recognizer_memory));
  RILL_ASSIGN(const std::uint64_t mouth, parse_size(arguments.speaker_memory));
  choice.memory.recognizer = choice.recognizer.host.empty() ? ears : 0;
  choice.memory.speaker = choice.speaker.host.empty() ? mouth : 0;
  return choice;
}

Status share_budget(const VoiceMemory& memory, EngineOptions& options) {
  if (options.budget_bytes == 0) return {};
  if (options.budget_bytes <= memory.total()) {
    const auto items = memory.items();
    return over_budget(
        {.where = text("--budget"),
         .what = text("the voice alone may take ", memory.total(), " bytes: ", items[0].name, " ", items[0].bytes, "; ",
                      items[1].name, " ", items[1].bytes, "; ", items[2].name, " ", items[2].bytes),
         .expected = text("at most ", options.budget_bytes, ", the model included"),
         .remedy = text("give them less (--recognizer-memory, --speaker-memory), or more to all")});
  }
  options.budget_bytes -= memory.total();
  return {};
}

}  // namespace rill::apps
