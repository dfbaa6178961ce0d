#pragma once
// What wakes the assistant while nobody talks with it.

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "apps/voice/audio.h"
#include "apps/voice/part.h"
#include "platform/status.h"

namespace rill::apps {

/// Listens for a word. Has a thread of its own to be slow on: neither audio nor the model waits for it.
class WakeWord {
 public:
  struct Detection {
    std::string name;           ///< of the word, as its detector has it; may be empty
    std::uint64_t samples = 0;  ///< since begin(), up to which it was heard
  };

  WakeWord() = default;
  WakeWord(const WakeWord&) = delete;
  WakeWord& operator=(const WakeWord&) = delete;
  virtual ~WakeWord() = default;
  /// What is heard from here on is a stream of its own.
  virtual Status begin() = 0;
  virtual Status hear(std::span<const Sample> samples) = 0;
  /// The word, if it was in what was heard since begin(). Does not wait for it.
  virtual Result<std::optional<Detection>> detected() = 0;
  /// Nothing more is heard until begin().
  virtual void rest() = 0;
  /// How long begin() is in vain after a failure.
  virtual std::chrono::milliseconds time_to_next_try() const { return {}; }
};

/// Over Wyoming: PocketSphinx's keyphrase search in a process of ours, or a service such as openWakeWord.
class PartWakeWord final : public WakeWord {
 public:
  /// @param phrase  what to listen for; empty: any word that the service knows
  PartWakeWord(Part& part, std::string phrase) : part_(&part), phrase_(std::move(phrase)) {}

  /// Asks the part whether it can listen for the phrase. kUsage if it does not know it, with what it knows.
  Status check();

  Status begin() override;
  Status hear(std::span<const Sample> samples) override;
  Result<std::optional<Detection>> detected() override;
  void rest() override;
  std::chrono::milliseconds time_to_next_try() const override { return part_->time_to_next_try(); }

 private:
  Status find_name(const nlohmann::json& info);

  Part* part_;
  std::string phrase_;
  std::string name_;  ///< the phrase as the part writes it
  std::uint64_t heard_ = 0;
};

}  // namespace rill::apps
