#pragma once
// What the voice takes besides the model: its share of the one budget, and the options that say how large it is.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

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
  std::uint64_t wake_word = 0;

  std::array<ItemBeside, 5> items() const;
  std::uint64_t total() const;
};

/// No part: the phrase is looked for in what the recogniser wrote.
constexpr std::string_view kTranscript = "transcript";

struct VoicePartArguments {
  std::string recognizer = "pocketsphinx";
  std::string speaker = "flite";
  std::string recognizer_memory = "384MiB";
  std::string speaker_memory = "96MiB";
  std::string wake{};                  ///< phrase; empty: none, or any that the service knows
  std::string wake_part{kTranscript};  ///< what listens for it
  std::string wake_memory = "64MiB";
};

/// Adds --recognizer, --speaker, --wake, --wake-part and their memory.
void add_voice_part_arguments(CLI::App& command, VoicePartArguments& arguments);

struct VoicePartChoice {
  PartAddress recognizer;
  PartAddress speaker;
  std::optional<PartAddress> wake_word;  ///< none: nobody listens for one
  VoiceMemory memory;
};
/// kUsage for what names no part or no size.
Result<VoicePartChoice> choose_voice_parts(const VoicePartArguments& arguments);

}  // namespace rill::apps
