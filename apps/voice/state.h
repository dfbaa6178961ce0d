#pragma once
// The four states of the voice loop, and what leads from one to the next.
//
//                 speech begins                      speech ends, or is too long
//   +-----------+ ------------> +---------+ ---------------------------------------> +----------+
//   | listening |               | hearing | <--------------------------------------- | thinking |
//   +-----------+               +---------+   speech begins (the speaker goes on)    +----------+
//     ^       ^                      ^                                                 |      |
//     |       |                      | speech begins (barge-in)                        |      | first sample
//     |       |                 +----------+ <-----------------------------------------|------+
//     |       +---------------- | speaking |  all is said, or failed                   |
//     |                         +----------+                                           |
//     +--------------------------------------------------------------------------------+
//                 nothing was heard, it was not for us, an empty reply, or failed
//
// Push-to-talk and the end of the input are told as speech that begins and ends. With a wake word's detector, speech
// begins only for who has said the word, or was spoken to of late. In each state the loop can be told to end, which is
// no state of its own.

#include <cstdint>
#include <string_view>

namespace rill::apps {

enum class VoiceState : std::uint8_t { kListening, kHearing, kThinking, kSpeaking };
std::string_view name_of(VoiceState state);

enum class VoiceEvent : std::uint8_t {
  kSpeechBegins,
  kSpeechEnds,
  kNothingToSay,  ///< nothing was heard, it was not for us, the reply is empty, or a part failed
  kFirstSample,   ///< of the reply is about to be played
  kAllSaid,       ///< the reply's last sample was played
};

/// The state after an event. An event that means nothing in a state leaves it: it was overtaken by another one, as the
/// end of a reply is by a barge-in.
constexpr VoiceState next_state(VoiceState state, VoiceEvent event) {
  using enum VoiceState;
  switch (event) {
    case VoiceEvent::kSpeechBegins:
      return kHearing;
    case VoiceEvent::kSpeechEnds:
      return state == kHearing ? kThinking : state;
    case VoiceEvent::kNothingToSay:
      return state == kThinking || state == kSpeaking ? kListening : state;
    case VoiceEvent::kFirstSample:
      return state == kThinking ? kSpeaking : state;
    case VoiceEvent::kAllSaid:
      return state == kSpeaking ? kListening : state;
  }
  return state;
}

}  // namespace rill::apps
