#pragma once
// Speech to text and text to speech, as the voice loop uses them.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "apps/voice/audio.h"
#include "apps/voice/part.h"
#include "apps/voice/resampler.h"
#include "platform/function_ref.h"
#include "platform/status.h"

namespace rill::apps {

/// How Wyoming calls our own form of audio.
const nlohmann::json& audio_format();

/// Writes down what is said. One utterance at a time, heard while it is spoken.
class Recognizer {
 public:
  Recognizer() = default;
  Recognizer(const Recognizer&) = delete;
  Recognizer& operator=(const Recognizer&) = delete;
  virtual ~Recognizer() = default;
  virtual Status begin() = 0;
  virtual Status hear(std::span<const Sample> samples) = 0;
  /// The utterance is over. @returns its words, empty if there were none
  virtual Result<std::string> end() = 0;
};

/// Reads aloud.
class Speaker {
 public:
  /// Takes samples as they are made; false: no more are wanted.
  using Listener = FunctionRef<bool(std::span<const Sample> samples)>;

  Speaker() = default;
  Speaker(const Speaker&) = delete;
  Speaker& operator=(const Speaker&) = delete;
  virtual ~Speaker() = default;
  virtual Status say(std::string_view text, Listener listener) = 0;
};

/// Both over Wyoming: a process of ours or a service.
class PartRecognizer final : public Recognizer {
 public:
  explicit PartRecognizer(Part& part) : part_(&part) {}
  Status begin() override;
  Status hear(std::span<const Sample> samples) override;
  Result<std::string> end() override;

 private:
  Part* part_;
  bool is_open_ = false;
};

class PartSpeaker final : public Speaker {
 public:
  explicit PartSpeaker(Part& part) : part_(&part) {}
  Status say(std::string_view text, Listener listener) override;

 private:
  bool give(std::span<const char> bytes, Listener listener, std::size_t& made);
  void take_bytes(std::span<const char> bytes);

  Part* part_;
  std::optional<char> half_sample_;
  // Kept from sentence to sentence, so that memory is taken for the first one only.
  std::optional<Resampler> resampler_;
  std::vector<Sample> given_;
  std::vector<Sample> made_;
};

}  // namespace rill::apps
