#include "apps/voice/memory.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <span>

#include "apps/model_options.h"
#include "apps/voice/loop.h"

namespace rill::apps {

std::array<ItemBeside, 5> VoiceMemory::items() const {
  constexpr std::uint64_t kRings = (VoiceLoop::kCaptureSamples + VoiceLoop::kPlaybackSamples) * sizeof(Sample);
  // One for each part, whether it is there or not; only what speaks sends audio.
  constexpr std::uint64_t kReaders = 3 * WyomingReader::bytes(0) + Part::kMostPayload;
  return {{{"audio rings", kRings},
           {"events from the parts", kReaders},
           {"recognizer, at most", recognizer},
           {"speaker, at most", speaker},
           {"wake word, at most", wake_word}}};
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
  command.add_option("--wake", arguments.wake,
                     "Answer only what has this phrase in it, and what is said within ten seconds of it or of an "
                     "answer");
  command
      .add_option(
          "--wake-part", arguments.wake_part,
          "What listens for the phrase: transcript (what the recogniser wrote), pocketsphinx-wake (a search for\n"
          "it alone), or wyoming:HOST:PORT for a service (openWakeWord's port is 10400), where --wake names one\n"
          "of its words, or none for any")
      ->capture_default_str();
  command.add_option("--wake-memory", arguments.wake_memory, "Most memory of pocketsphinx-wake's process")
      ->capture_default_str();
}

namespace {

/// One of the names, of rill-speech's parts, or the address of a service.
Result<PartAddress> parse_part(const std::string& written, std::string_view option,
                               std::span<const std::string_view> names) {
  RILL_ASSIGN(const PartAddress address, PartAddress::parse(written, option));
  if (!address.host.empty() || std::ranges::find(names, written) != names.end()) return address;
  Text known;
  for (const std::string_view name : names) known.append(text(name, ", ").view());
  return bad_usage(
      {.where = text(option), .what = text(written), .expected = text(known, "or wyoming:HOST:PORT"), .remedy = {}});
}

}  // namespace

Result<VoicePartChoice> choose_voice_parts(const VoicePartArguments& arguments) {
  constexpr std::string_view kRecognizers[] = {"pocketsphinx"};
  constexpr std::string_view kSpeakers[] = {"flite", "espeak-ng"};
  constexpr std::string_view kWakeParts[] = {"transcript", "pocketsphinx-wake"};
  VoicePartChoice choice;
  RILL_ASSIGN(choice.recognizer, parse_part(arguments.recognizer, "--recognizer", kRecognizers));
  RILL_ASSIGN(choice.speaker, parse_part(arguments.speaker, "--speaker", kSpeakers));
  RILL_ASSIGN(const std::uint64_t ears, parse_size("--recognizer-memory", arguments.recognizer_memory));
  RILL_ASSIGN(const std::uint64_t mouth, parse_size("--speaker-memory", arguments.speaker_memory));
  RILL_ASSIGN(const std::uint64_t waker, parse_size("--wake-memory", arguments.wake_memory));
  choice.memory.recognizer = choice.recognizer.host.empty() ? ears : 0;
  choice.memory.speaker = choice.speaker.host.empty() ? mouth : 0;
  if (arguments.wake_part == kTranscript) return choice;
  RILL_ASSIGN(choice.wake_word, parse_part(arguments.wake_part, "--wake-part", kWakeParts));
  choice.memory.wake_word = choice.wake_word->host.empty() ? waker : 0;
  if (choice.wake_word->host.empty() && arguments.wake.empty()) {
    return bad_usage({.where = text("--wake-part"),
                      .what = text(arguments.wake_part, " has no phrase to listen for"),
                      .expected = {},
                      .remedy = text("name one: --wake \"hey computer\"")});
  }
  return choice;
}

}  // namespace rill::apps
