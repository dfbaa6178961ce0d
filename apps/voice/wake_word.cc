#include "apps/voice/wake_word.h"

#include <algorithm>
#include <cctype>

#include "apps/voice/speech.h"

namespace rill::apps {
namespace {

constexpr std::uint64_t kHealthy = std::uint64_t{kSampleRate} * 10;  // a stream that held so long went well
constexpr int kMostEvents = 16;  // of one look: a service that talks without end is not listened to so

/// "hey_jarvis_v0.1" and "Hey Jarvis" are "hey jarvis": services write their words' names in more than one way.
std::string plain_name(std::string_view name) {
  std::string plain;
  for (const char c : name) {
    plain += c == '_' || c == '-' ? ' ' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  const std::size_t version = plain.rfind(" v");
  const bool has_version = version != std::string::npos && plain.size() > version + 2 &&
                           plain.find_first_not_of("0123456789.", version + 2) == std::string::npos;
  return has_version ? plain.substr(0, version) : plain;
}

const nlohmann::json* member(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

std::string text_of(const nlohmann::json& object, const char* key) {
  const nlohmann::json* const found = member(object, key);
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

/// The value of "wake", then of each one's "models": lists of objects, or whatever a stranger sends.
template <typename Take>
void for_each_model(const nlohmann::json& info, Take take) {
  const nlohmann::json* const programs = member(info, "wake");
  if (programs == nullptr || !programs->is_array()) return;
  for (const nlohmann::json& program : *programs) {
    const nlohmann::json* const models = program.is_object() ? member(program, "models") : nullptr;
    if (models == nullptr || !models->is_array()) continue;
    for (const nlohmann::json& model : *models) {
      if (model.is_object()) take(model);
    }
  }
}

}  // namespace

Status PartWakeWord::find_name(const nlohmann::json& info) {
  std::string known;
  const std::string wanted = plain_name(phrase_);
  for_each_model(info, [&](const nlohmann::json& model) {
    const std::string name = text_of(model, "name");
    known += (known.empty() ? "" : ", ") + name;
    if (phrase_.empty() || !name_.empty() || name.empty()) return;
    if (plain_name(name) == wanted || plain_name(text_of(model, "phrase")) == wanted) name_ = name;
  });
  if (known.empty()) {
    return failed({.where = text(part_->name()),
                   .what = text("it tells of no wake word"),
                   .expected = text("a wake-word service; openWakeWord's port is 10400"),
                   .remedy = {}});
  }
  if (!phrase_.empty() && name_.empty()) {
    return bad_usage({.where = text(part_->name()),
                      .what = text("it has no wake word \"", phrase_, "\""),
                      .expected = text("one of ", known),
                      .remedy = text("name one with --wake, or leave --wake out: then each of them wakes")});
  }
  return {};
}

Status PartWakeWord::check() {
  if (!part_->is_own_process()) {
    RILL_TRY(part_->send("describe", nlohmann::json::object()));
    const auto deadline = Part::Clock::now() + Part::kTimeToAnswer;
    for (;;) {
      RILL_ASSIGN(const WyomingEvent event, part_->receive(deadline));
      if (event.type != "info") continue;
      part_->praise();
      part_->rest();
      return find_name(event.data);
    }
  }
  name_ = phrase_;
  const std::vector<Sample> silence(kFrameSamples * 10);
  RILL_TRY(begin());
  RILL_TRY(hear(silence));
  RILL_TRY(part_->send("audio-stop", nlohmann::json::object()));
  const auto deadline = Part::Clock::now() + Part::kTimeToAnswer;
  for (;;) {
    RILL_ASSIGN(const WyomingEvent event, part_->receive(deadline));
    if (event.type == "not-detected" || event.type == "detection") {
      part_->praise();
      return {};
    }
    if (event.type == "error") {
      return bad_usage({.where = text("--wake"), .what = text(event.text()), .expected = {}, .remedy = {}});
    }
  }
}

Status PartWakeWord::begin() {
  heard_ = 0;
  nlohmann::json wanted = nlohmann::json::object();
  if (!name_.empty()) wanted["names"] = {name_};
  RILL_TRY(part_->send("detect", wanted));
  return part_->send("audio-start", audio_format());
}

Status PartWakeWord::hear(std::span<const Sample> samples) {
  nlohmann::json format = audio_format();
  format["timestamp"] = heard_ * 1000 / kSampleRate;  // comes back with the detection
  heard_ += samples.size();
  if (heard_ > kHealthy) part_->praise();
  return part_->send("audio-chunk", format, {reinterpret_cast<const char*>(samples.data()), samples.size_bytes()});
}

Result<std::optional<WakeWord::Detection>> PartWakeWord::detected() {
  for (int i = 0; i < kMostEvents; ++i) {
    RILL_ASSIGN(const std::optional<WyomingEvent> event, part_->next(std::chrono::milliseconds(0)));
    if (!event.has_value()) break;
    if (event->type == "error") {
      return part_->lose(failed({.where = {}, .what = text(event->text()), .expected = {}, .remedy = {}}));
    }
    if (event->type != "detection") continue;
    part_->praise();
    // The time of the piece that it was heard in; the network's and the service's own time have passed since.
    Detection detection{.name = event->text("name"), .samples = heard_};
    if (const auto at = event->whole("timestamp"); at.has_value() && *at < heard_ * 1000 / kSampleRate) {
      detection.samples = *at * kSampleRate / 1000;
    }
    return std::optional<Detection>(std::move(detection));
  }
  return std::optional<Detection>();
}

void PartWakeWord::rest() {
  if (part_->is_own_process() && !part_->send("audio-stop", nlohmann::json::object()).ok()) part_->stop();
  part_->rest();
}

}  // namespace rill::apps
