#include "apps/voice/state.h"

namespace rill::apps {

std::string_view name_of(VoiceState state) {
  switch (state) {
    case VoiceState::kListening:
      return "listening";
    case VoiceState::kHearing:
      return "hearing";
    case VoiceState::kThinking:
      return "thinking";
    case VoiceState::kSpeaking:
      return "speaking";
  }
  return "";
}

}  // namespace rill::apps
