#pragma once
// A server of the Wyoming protocol in the language model's place: it keeps the connections, answers what needs no model
// and hands out one turn at a time. One thread: whoever makes a reply calls serve() between two tokens, so that pings
// are answered and new connections are greeted while the model writes.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/plan_report.h"
#include "apps/wyoming/event.h"
#include "apps/wyoming/socket.h"
#include "platform/status.h"

namespace rill::apps {

/// Something said that wants a reply.
struct WyomingTurn {
  std::size_t connection = 0;
  std::string text;
  nlohmann::json context;  ///< as the client gave it; null if it gave none

  /// "conversation_id" of the context; empty if there is none.
  std::string conversation() const;
};

/// Connections and what they have said. What is kept of each is bounded, and part of a plan: one event, one turn and
/// kMostUnsent bytes that its client has not taken yet.
class WyomingServer {
 public:
  /// Of one event: a client says little, whatever it is built of.
  static constexpr std::size_t kMostValues = 512;
  static constexpr std::size_t kMostContext = std::size_t{4} * 1024;  ///< of a turn, as text
  static constexpr std::size_t kMostUnsent = std::size_t{256} * 1024;
  /// Connections beside those that are served: they are told what we are, and that there is no place.
  static constexpr std::size_t kMostCrowd = 2;
  static constexpr std::size_t kMostReply = WyomingReader::kMostData;
  static constexpr std::size_t kValuesBytes = kMostValues * WyomingReader::kMostBytesPerValue;
  /// What one client can take: the system's buffers of its socket, which doubles what it is asked for, the reader and
  /// an event in it, answers that are not read, a turn and one that comes in chunks, a context of each, and a
  /// conversation's id.
  static constexpr std::size_t kClientBytes =
      std::size_t{2} * 2 * kSocketBuffer + WyomingReader::bytes(0) + (kValuesBytes + 2 * WyomingReader::kMostData) +
      kMostUnsent + 2 * WyomingReader::kMostData + 2 * (kValuesBytes + kMostContext) + kMostContext;
  /// What the turn at hand can take besides: a copy of it, another event on its way, and the reply as text, twice, and
  /// as JSON, three times (as it is written, with its header, on its way out), where a byte may take six.
  static constexpr std::size_t kTurnBytes =
      2 * (kValuesBytes + 2 * WyomingReader::kMostData) + 2 * kMostReply + 3 * 6 * kMostReply;
  /// Without an event a connection may be given to another client, if there is no other place for it.
  static constexpr std::chrono::seconds kMostIdle{120};

  struct Setting {
    std::string host;
    std::uint16_t port = 0;       ///< 0: the system chooses
    std::size_t connections = 1;  ///< at a time; one more is refused
    nlohmann::json info;          ///< what `describe` is answered with
  };
  /// What the server takes at most, for a plan. @param connections  at a time
  static std::array<ItemBeside, 2> items(std::size_t connections);
  /// kFailed with the system's reason if the address cannot be had.
  static Result<WyomingServer> listen(Setting setting);

  WyomingServer(WyomingServer&& other) noexcept;
  WyomingServer& operator=(WyomingServer&&) = delete;
  WyomingServer(const WyomingServer&) = delete;
  WyomingServer& operator=(const WyomingServer&) = delete;
  ~WyomingServer();

  /// "127.0.0.1:10500", with the port that the system chose.
  const std::string& address() const { return address_; }

  /// Does what can be done without the model. @param wait_ms  for something to happen; -1: until it does, or SIGTERM
  void serve(int wait_ms);
  /// A turn that waits, each connection's in turn. Its connection gives no other one until finish().
  std::optional<WyomingTurn> next_turn();
  /// Sends an event to a turn's client. @returns false if the client is gone
  bool send(std::size_t connection, std::string_view type, const nlohmann::json& data);
  void finish(std::size_t connection);

  /// Counts up whenever the place `connection` is given to another client: 0 before the first.
  std::uint64_t generation(std::size_t connection) const { return connections_[connection].generation; }
  bool is_open(std::size_t connection) const { return connections_[connection].file >= 0; }

 private:
  struct Connection {
    int file = -1;
    bool is_crowd = false;     ///< has no place: a turn of it is not handled, and it closes by the deadline
    bool is_refused = false;   ///< only reads, to the end or the deadline, so that the refusal is not lost
    bool is_answered = false;  ///< between next_turn() and finish()
    std::chrono::steady_clock::time_point deadline;     ///< of those two
    std::chrono::steady_clock::time_point last_active;  ///< its last whole event, or the end of our answer
    std::uint64_t generation = 0;
    std::optional<WyomingReader> reader;
    std::string unsent;
    std::optional<WyomingTurn> turn;
    std::optional<std::string> streamed;  ///< chunks of a transcript whose `transcript` has not come
    nlohmann::json streamed_context;
  };

  WyomingServer(int file, std::string address, Setting setting);

  void accept_one();
  void admit_crowd();
  Connection* free_place(bool is_crowd);
  Connection* longest_idle();
  void refuse(Connection& connection, std::string_view sentence);
  void turn_away(Connection& connection, nlohmann::json context);
  void end_with(Connection& connection, std::string_view bytes);
  void close(Connection& connection);
  void receive(std::size_t index);
  void take_events(std::size_t index);
  void take(std::size_t index, const WyomingEvent& event);
  void take_streamed(std::size_t index, const WyomingEvent& event);
  void queue(Connection& connection, std::string_view bytes);
  void flush(Connection& connection);
  bool wants_input(const Connection& connection) const;

  int file_;
  std::string address_;
  Setting setting_;
  std::vector<Connection> connections_;  ///< setting_.connections places, then kMostCrowd
  std::size_t last_served_ = 0;
  std::chrono::steady_clock::time_point
      accepts_from_;  ///< later than now while the system has no room for a connection
};

}  // namespace rill::apps
