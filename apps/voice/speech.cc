#include "apps/voice/speech.h"

#include <chrono>
#include <vector>

namespace rill::apps {
namespace {

// A sentence has 240 bytes: whoever speaks for longer about one does not end.
constexpr std::size_t kMostSeconds = 120;

Status no_audio(const std::string& name, const Text& what) {
  return failed({.where = text(name), .what = what, .expected = text("mono, 16 bits"), .remedy = {}});
}

}  // namespace

const nlohmann::json& audio_format() {
  static const nlohmann::json format = {{"rate", kSampleRate}, {"width", 2}, {"channels", 1}};
  return format;
}

Status PartRecognizer::begin() {
  if (is_open_) part_->stop();  // an utterance that nobody waited for: its text must not be taken for the next one's
  is_open_ = true;
  RILL_TRY(part_->send("transcribe", nlohmann::json::object()));
  return part_->send("audio-start", audio_format());
}

Status PartRecognizer::hear(std::span<const Sample> samples) {
  return part_->send("audio-chunk", audio_format(),
                     {reinterpret_cast<const char*>(samples.data()), samples.size_bytes()});
}

Result<std::string> PartRecognizer::end() {
  RILL_TRY(part_->send("audio-stop", nlohmann::json::object()));
  std::optional<std::string> streamed;  // the words of a service that tells them one by one
  const auto deadline = Part::Clock::now() + Part::kTimeToAnswer;
  for (;;) {
    RILL_ASSIGN(const WyomingEvent event, part_->receive(deadline));
    if (event.type == "error")
      return failed({.where = text(part_->name()), .what = text(event.text()), .expected = {}, .remedy = {}});
    if (event.type == "transcript-start") streamed.emplace();
    if (event.type == "transcript-chunk" && streamed.has_value()) *streamed += event.text();
    if (streamed.has_value() && streamed->size() > WyomingReader::kMostData) {
      return part_->lose(
          failed({.where = {}, .what = text("a transcript that does not end"), .expected = {}, .remedy = {}}));
    }
    // Such a service sends the whole as well, before it says that it is done; one that leaves it out is understood. A
    // stop that was left unread since the last utterance has no start.
    const bool is_over = event.type == "transcript-stop" && streamed.has_value();
    if (!is_over && event.type != "transcript") continue;
    is_open_ = false;
    part_->praise();
    part_->rest();
    return is_over ? *streamed : event.text();
  }
}

Status PartSpeaker::say(std::string_view words, Listener listener) {
  RILL_TRY(part_->send("synthesize", {{"text", words}}));
  if (resampler_.has_value()) resampler_->restart();
  half_sample_.reset();
  std::size_t made = 0;
  auto deadline = Part::Clock::now() + Part::kTimeToAnswer;  // of the next audio
  for (;;) {
    RILL_ASSIGN(const WyomingEvent event, part_->receive(deadline));
    if (event.type == "error") {
      part_->rest();  // of what it was saying nothing more is taken, and it may close
      return failed({.where = text(part_->name()), .what = text(event.text()), .expected = {}, .remedy = {}});
    }
    if (event.type == "audio-stop") break;
    if (event.type != "audio-chunk") continue;
    const std::uint32_t rate = event.number("rate", 0);
    if (event.number("width", 0) != 2 || event.number("channels", 0) != 1 || rate < Resampler::kLowestRate ||
        rate > Resampler::kHighestRate) {
      part_->stop();
      return no_audio(part_->name(), text("audio of ", rate, " Hz, ", event.number("width", 0), " bytes a sample, ",
                                          event.number("channels", 0), " channels"));
    }
    if (!resampler_.has_value() || resampler_->rate() != rate) resampler_.emplace(rate);
    const std::size_t before = made;
    const bool goes_on = give(event.payload, listener, made);
    if (made > before) deadline = Part::Clock::now() + Part::kTimeToAnswer;
    if (made > kMostSeconds * kSampleRate) {
      return part_->lose(failed({.where = {},
                                 .what = text("it spoke for ", kMostSeconds, " s about one sentence"),
                                 .expected = text("audio-stop"),
                                 .remedy = {}}));
    }
    if (!goes_on) {
      part_->stop();  // the rest of what it says is not wanted; a new process is there before it is needed
      return part_->is_own_process() ? part_->start() : Status();
    }
  }
  part_->praise();
  part_->rest();
  return {};
}

/// In pieces, so that a service's long chunks take no more memory than short ones. @param made  samples, added to.
/// @returns false if the listener wants no more
bool PartSpeaker::give(std::span<const char> bytes, Listener listener, std::size_t& made) {
  constexpr std::size_t kPiece = std::size_t{32} << 10U;
  while (!bytes.empty()) {
    const std::span<const char> piece = bytes.first(std::min(kPiece, bytes.size()));
    take_bytes(piece);
    made_.resize(resampler_->most_output(given_.size()));
    const std::size_t count = resampler_->run(given_, made_);
    made += count;
    if (!listener(std::span(made_).first(count))) return false;
    bytes = bytes.subspan(piece.size());
  }
  return true;
}

/// A chunk may end in the middle of a sample, whose second half begins the next one.
void PartSpeaker::take_bytes(std::span<const char> bytes) {
  const std::size_t carried = half_sample_.has_value() ? 1 : 0;
  given_.resize((carried + bytes.size()) / sizeof(Sample));
  if (!given_.empty()) {
    char* const to = reinterpret_cast<char*>(given_.data());
    if (carried > 0) to[0] = *half_sample_;
    half_sample_.reset();
    const std::size_t count = given_.size() * sizeof(Sample) - carried;
    std::copy_n(bytes.data(), count, to + carried);
    bytes = bytes.subspan(count);
  }
  if (!bytes.empty()) half_sample_ = bytes.front();
}

}  // namespace rill::apps
