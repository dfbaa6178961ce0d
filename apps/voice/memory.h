#pragma once
// What the voice takes besides the model: its share of the one budget, and the options that say how large it is.

#include <array>
#include <cstdint>
#include <string>

#include "apps/plan_report.h"
#include "apps/voice/part.h"
#include "core/engine.h"
#include "platform/status.h"

namespace CLI {
class App;
}

namespace rill::apps {

/// Bytes of each part; a service on the network takes none here.
struct VoiceMemory {
  std::uint64_t recognizer = 0;
  std::uint64_t speaker = 0;

  std::array<ItemBeside, 3> items() const;
  std::uint64_t total() const;
};

struct VoicePartArguments {
  std::string recognizer = "pocketsphinx";
  std::string speaker = "flite";
  std::string recognizer_memory = "384MiB";
  std::string speaker_memory = "96MiB";
};

/// Adds --recognizer, --speaker and their memory.
void add_voice_part_arguments(CLI::App& command, VoicePartArguments& arguments);

struct VoicePartChoice {
  PartAddress recognizer;
  PartAddress speaker;
  VoiceMemory memory;
};
/// kUsage for what names no part or no size.
Result<VoicePartChoice> choose_voice_parts(const VoicePartArguments& arguments);

/// Takes the voice's share off the budget, so that the model's plan is made with what is left. kOverBudget where
/// nothing is.
Status share_budget(const VoiceMemory& memory, EngineOptions& options);

}  // namespace rill::apps
