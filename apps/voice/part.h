#pragma once
// A part of the voice loop that lives in another process: ours, with a limit on its memory, or a Wyoming service on the
// network. Both speak Wyoming, so there is one client for both.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "apps/wyoming/event.h"
#include "platform/status.h"

namespace rill::apps {

/// Where a part is: "NAME", one of rill-speech's, or "wyoming:HOST:PORT".
struct PartAddress {
  std::string name;  ///< as written
  std::string host;  ///< empty: our own process
  std::uint16_t port = 0;

  /// kUsage for what is neither a name nor such an address.
  static Result<PartAddress> parse(const std::string& written, std::string_view option);
};

/// The connection. A part that dies or stops answering is started anew, later each time it happens again.
class Part {
 public:
  static constexpr std::size_t kMostPayload = std::size_t{2} << 20U;  ///< of what speaks: 21 s at 48 kHz in one event
  static constexpr std::chrono::milliseconds kFirstWait{100};
  static constexpr std::chrono::milliseconds kLongestWait{30'000};
  static constexpr std::chrono::seconds kTimeToAnswer{30};  ///< it may have to load its models first

  /// @param most_memory   bytes of data and stack that a process of ours may take; what needs more fails there
  /// @param most_payload  bytes of audio in one event; 0 for parts that send none
  Part(PartAddress address, std::uint64_t most_memory, std::size_t most_payload)
      : address_(std::move(address)), most_memory_(most_memory), most_payload_(most_payload) {}
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;
  ~Part() { stop(); }

  /// Connects, or starts the process, unless that is done. After failures it waits before it tries again, and fails at
  /// once until then.
  Status start();
  /// kFailed if the part is not there; it is then stopped, and the next start() makes it anew.
  Status send(std::string_view type, const nlohmann::json& data, std::span<const char> payload = {});
  using Clock = std::chrono::steady_clock;
  /// The next event. @param deadline  of the answer that it is a part of, so that one without an end is none; kFailed
  ///                                  after that, likewise
  Result<WyomingEvent> receive(Clock::time_point deadline);
  /// The next event if it comes within `wait`, else none. kFailed as send().
  Result<std::optional<WyomingEvent>> next(std::chrono::milliseconds wait);
  /// Ends the connection and the process; nothing it was about to say is heard.
  void stop();
  /// An exchange is over. A service may close the connection then, or keep what it has of it: a connection an exchange,
  /// as other clients have it. A process of ours stays.
  void rest() {
    if (!is_own_process()) stop();
  }
  /// Ends it for what it did, until the next start(). @returns `why`, with what happens next
  Status lose(const Status& why);
  /// A whole exchange went well: the next failure is the first again.
  void praise() {
    wait_ = kFirstWait;
    has_worked_ = true;
  }

  /// How long start() will still refuse to try again after a failure.
  std::chrono::milliseconds time_to_next_try() const;
  const std::string& name() const { return address_.name; }
  bool is_own_process() const { return address_.host.empty(); }
  pid_t process() const { return process_; }  ///< -1 if there is none
  std::uint64_t most_memory() const { return is_own_process() ? most_memory_ : 0; }
  std::uint32_t restarts() const { return restarts_; }

 private:
  Status spawn();

  PartAddress address_;
  std::uint64_t most_memory_;
  std::size_t most_payload_;
  int file_ = -1;
  pid_t process_ = -1;
  std::optional<WyomingReader> reader_;
  std::chrono::milliseconds wait_ = kFirstWait;
  std::chrono::steady_clock::time_point not_before_;
  std::uint32_t restarts_ = 0;
  bool has_worked_ = false;  // one that never did ends the program before there is anything to start anew
};

}  // namespace rill::apps
