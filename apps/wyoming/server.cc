#include "apps/wyoming/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>
#include <utility>

#include "apps/interrupt.h"
#include "apps/wyoming/socket.h"

namespace rill::apps {
namespace {

constexpr std::chrono::seconds kTimeToReadRefusal{2};
constexpr std::chrono::seconds kTimeToAsk{5};  // for whoever has no place
constexpr std::chrono::milliseconds kTimeUntilRoom{200};
constexpr std::size_t kOtherFiles = 32;

/// Raises the limit on open files if it is lower: poll() takes no more entries than that.
Status make_room_for_files(std::size_t count) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= count) return {};
  limit.rlim_cur = count;
  if (limit.rlim_max >= count && ::setrlimit(RLIMIT_NOFILE, &limit) == 0) return {};
  return failed({.where = text("--sessions"),
                 .what = text("the system lets this process open ", limit.rlim_max, " files"),
                 .expected = text("at least ", count),
                 .remedy = text("ask for fewer sessions, or raise the limit (ulimit -n)")});
}

/// Answers go out at once, and a client that lost its power leaves its place within two minutes.
void prepare(int client) {
  const auto set = [&](int level, int option, int value) {
    static_cast<void>(::setsockopt(client, level, option, &value, sizeof value));
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set(IPPROTO_TCP, TCP_KEEPCNT, 4);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 120'000);  // ms, for one that owes an acknowledgement, to whom no probe is sent
}

bool has_short_context(const WyomingEvent& event) {
  const auto found = event.data.find("context");
  return found == event.data.end() || found->dump().size() <= WyomingServer::kMostContext;
}

nlohmann::json context_of(const WyomingEvent& event) {
  const auto found = event.data.find("context");
  return found != event.data.end() && found->is_object() ? *found : nlohmann::json();
}

}  // namespace

std::string WyomingTurn::conversation() const {
  if (!context.is_object()) return {};
  const auto found = context.find("conversation_id");
  return found != context.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::array<ItemBeside, 2> WyomingServer::items(std::size_t connections) {
  return {{{"clients, at most", (connections + kMostCrowd) * kClientBytes}, {"a client's turn, at most", kTurnBytes}}};
}

Result<WyomingServer> WyomingServer::listen(Setting setting) {
  std::string address;
  RILL_TRY(make_room_for_files(setting.connections + kMostCrowd + kOtherFiles));
  RILL_ASSIGN(const int file, listen_on(setting.host, setting.port, address));
  return WyomingServer(file, std::move(address), std::move(setting));
}

WyomingServer::WyomingServer(int file, std::string address, Setting setting)
    : file_(file),
      address_(std::move(address)),
      setting_(std::move(setting)),
      connections_(setting_.connections + kMostCrowd) {}

WyomingServer::WyomingServer(WyomingServer&& other) noexcept
    : file_(std::exchange(other.file_, -1)),
      address_(std::move(other.address_)),
      setting_(std::move(other.setting_)),
      connections_(std::move(other.connections_)),
      last_served_(other.last_served_),
      accepts_from_(other.accepts_from_) {}

WyomingServer::~WyomingServer() {
  for (Connection& connection : connections_) close(connection);
  if (file_ >= 0) ::close(file_);
}

/// A client that is ahead of us waits: with a turn that is not taken, or replies that it has not read.
bool WyomingServer::wants_input(const Connection& connection) const {
  return connection.is_refused || (!connection.turn.has_value() && connection.unsent.size() < kMostUnsent / 2);
}

/// Who had no place gets the one that has become free.
void WyomingServer::admit_crowd() {
  for (Connection& waiting : std::span(connections_).subspan(setting_.connections)) {
    if (waiting.file < 0 || waiting.is_refused) continue;
    Connection* const place = free_place(/*is_crowd=*/false);
    if (place == nullptr) return;
    const std::uint64_t generation = place->generation + 1;
    *place = std::exchange(waiting, {});
    place->generation = generation;
    place->is_crowd = false;
  }
}

void WyomingServer::serve(int wait_ms) {
  admit_crowd();
  const bool accepts = std::chrono::steady_clock::now() >= accepts_from_;
  if (!accepts && (wait_ms < 0 || wait_ms > kTimeUntilRoom.count())) wait_ms = kTimeUntilRoom.count();
  std::vector<pollfd> files = {{.fd = accepts ? file_ : -1, .events = POLLIN, .revents = 0},
                               {.fd = termination_descriptor(), .events = POLLIN, .revents = 0}};
  bool has_deadline = false;
  for (const Connection& c : connections_) {
    const int input = wants_input(c) ? POLLIN : 0;
    files.push_back(
        {.fd = c.file, .events = static_cast<short>(input | (c.unsent.empty() ? 0 : POLLOUT)), .revents = 0});
    has_deadline |= c.file >= 0 && (c.is_refused || c.is_crowd);
  }
  if (has_deadline && wait_ms < 0) wait_ms = 200;
  if (::poll(files.data(), files.size(), wait_ms) < 0) {
    if (errno != EINTR) std::this_thread::sleep_for(kTimeUntilRoom);  // there is no room for that many files
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    Connection& connection = connections_[i];
    const int happened = files[i + 2].revents;
    if ((happened & POLLOUT) != 0) {
      flush(connection);
      if (connection.file >= 0 && connection.reader.has_value()) take_events(i);  // which may have waited for this
    }
    if ((happened & (POLLIN | POLLHUP | POLLERR)) != 0) receive(i);
    const bool is_leaving = connection.is_refused || connection.is_crowd;
    if (connection.file >= 0 && is_leaving && now >= connection.deadline) close(connection);
  }
  if ((files[0].revents & POLLIN) != 0) accept_one();
}

WyomingServer::Connection* WyomingServer::free_place(bool is_crowd) {
  const auto served = connections_.begin() + static_cast<std::ptrdiff_t>(setting_.connections);
  const auto begin = is_crowd ? served : connections_.begin();
  const auto end = is_crowd ? connections_.end() : served;
  const auto found = std::find_if(begin, end, [](const Connection& c) { return c.file < 0 && !c.is_answered; });
  return found == end ? nullptr : &*found;
}

/// Closes the connection that said nothing for longest, and gives its place; nullptr if none was idle for kMostIdle.
WyomingServer::Connection* WyomingServer::longest_idle() {
  Connection* longest = nullptr;
  for (Connection& c : std::span(connections_).first(setting_.connections)) {
    const bool is_idle =
        !c.is_answered && !c.turn.has_value() && std::chrono::steady_clock::now() - c.last_active >= kMostIdle;
    if (is_idle && (longest == nullptr || c.last_active < longest->last_active)) longest = &c;
  }
  if (longest != nullptr) close(*longest);
  return longest;
}

void WyomingServer::accept_one() {
  const int file = ::accept4(file_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (file < 0) {  // gone again before it was accepted; or the system has no room, and the listener stays readable
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
      accepts_from_ = std::chrono::steady_clock::now() + kTimeUntilRoom;
    }
    return;
  }
  prepare(file);
  Connection* place = free_place(/*is_crowd=*/false);
  if (place == nullptr) place = longest_idle();
  const bool is_full = place == nullptr;
  if (is_full) place = free_place(/*is_crowd=*/true);
  if (place == nullptr) {
    ::close(file);
    return;
  }
  const std::uint64_t generation = place->generation + 1;
  *place = Connection();
  place->file = file;
  place->generation = generation;
  place->last_active = std::chrono::steady_clock::now();
  place->is_crowd = is_full;
  place->deadline = place->last_active + kTimeToAsk;
  place->reader.emplace(/*most_payload=*/0, kMostValues);
  place->unsent.reserve(kMostUnsent);
}

void WyomingServer::refuse(Connection& connection, std::string_view sentence) {
  end_with(connection, to_bytes("error", {{"text", sentence}, {"code", "bad-event"}}));
}

/// As an answer, which clients that know no `error` here show as well: Home Assistant, for one.
void WyomingServer::turn_away(Connection& connection, nlohmann::json context) {
  nlohmann::json answer = {{"text", "All places for conversations are taken (" + std::to_string(setting_.connections) +
                                        "), and there is memory for no more; end one, or start the server with more "
                                        "--sessions"}};
  if (context.is_null()) context = std::move(connection.streamed_context);
  if (!context.is_null()) answer["context"] = std::move(context);
  end_with(connection, to_bytes("not-handled", answer));
}

/// Says the last thing, then reads what the client still sends until it closes: closing first could take it away.
void WyomingServer::end_with(Connection& connection, std::string_view bytes) {
  queue(connection, bytes);
  connection.is_refused = true;
  connection.turn.reset();
  connection.deadline = std::chrono::steady_clock::now() + kTimeToReadRefusal;
  if (connection.file >= 0 && connection.unsent.empty()) ::shutdown(connection.file, SHUT_WR);
}

void WyomingServer::close(Connection& connection) {
  if (connection.file >= 0) ::close(connection.file);
  connection.file = -1;
  connection.reader.reset();
  connection.unsent = {};
  connection.turn.reset();
  connection.streamed.reset();
  connection.streamed_context = {};
}

void WyomingServer::receive(std::size_t index) {
  Connection& connection = connections_[index];
  if (connection.file < 0) return;
  char dropped[4096];
  const std::span<char> room = connection.is_refused ? std::span<char>(dropped) : connection.reader->room();
  const ssize_t size = ::recv(connection.file, room.data(), room.size(), 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) {
    close(connection);
    return;
  }
  if (connection.is_refused) return;
  connection.reader->filled(static_cast<std::size_t>(size));
  take_events(index);
}

void WyomingServer::take_events(std::size_t index) {
  Connection& connection = connections_[index];
  while (connection.file >= 0 && wants_input(connection) && !connection.is_refused) {
    const Result<std::optional<WyomingEvent>> event = connection.reader->next();
    if (!event.ok()) {
      refuse(connection, event.status().message());
      return;
    }
    if (!event->has_value()) return;
    connection.last_active = std::chrono::steady_clock::now();
    take(index, **event);
  }
}

void WyomingServer::take(std::size_t index, const WyomingEvent& event) {
  Connection& connection = connections_[index];
  if (event.type.starts_with("transcript") && !has_short_context(event)) {
    refuse(connection, "Wyoming event: its context is longer than " + std::to_string(kMostContext) + " bytes");
    return;
  }
  if (event.type == "describe") {
    queue(connection, to_bytes("info", setting_.info));
  } else if (event.type == "ping") {
    queue(connection, to_bytes("pong", {{"text", event.data.value("text", nlohmann::json())}}));
  } else if (connection.is_crowd) {
    // What comes in chunks is kept, as there may be a place by the time that it ends.
    if (event.type == "transcript-start" || event.type == "transcript-chunk") take_streamed(index, event);
    if (event.type == "transcript" || event.type == "transcript-stop") turn_away(connection, context_of(event));
  } else if (event.type == "intent") {
    queue(connection, to_bytes("not-handled", {{"text",
                                                "Rill answers what was said (transcript), not what was meant "
                                                "(intent)"}}));
  } else if (event.type == "transcript") {
    connection.streamed.reset();
    connection.turn = {.connection = index, .text = event.text(), .context = context_of(event)};
    if (connection.turn->context.is_null()) connection.turn->context = std::move(connection.streamed_context);
    connection.streamed_context = {};
  } else if (event.type.starts_with("transcript-")) {
    take_streamed(index, event);
  }  // what a newer client sends besides is dropped, as the protocol has it
}

/// transcript-start, -chunk and -stop. A client sends the whole `transcript` as well, which is answered; one that
/// leaves it out is answered at the stop.
void WyomingServer::take_streamed(std::size_t index, const WyomingEvent& event) {
  Connection& connection = connections_[index];
  if (event.type == "transcript-start") {
    connection.streamed.emplace().reserve(WyomingReader::kMostData);
    connection.streamed_context = context_of(event);
  } else if (event.type == "transcript-chunk" && connection.streamed.has_value()) {
    if (connection.streamed->size() + event.text().size() > WyomingReader::kMostData) {
      refuse(connection, "Wyoming event: the chunks of a transcript are longer than a transcript may be");
      return;
    }
    *connection.streamed += event.text();
  } else if (event.type == "transcript-stop" && connection.streamed.has_value()) {
    connection.turn = {.connection = index,
                       .text = std::move(*connection.streamed),
                       .context = std::exchange(connection.streamed_context, {})};
    connection.streamed.reset();
  }
}

std::optional<WyomingTurn> WyomingServer::next_turn() {
  for (std::size_t i = 1; i <= setting_.connections; ++i) {
    const std::size_t index = (last_served_ + i) % setting_.connections;
    Connection& connection = connections_[index];
    if (!connection.turn.has_value()) continue;
    last_served_ = index;
    connection.is_answered = true;
    return connection.turn;  // which stays there, so that the client's next events wait
  }
  return std::nullopt;
}

bool WyomingServer::send(std::size_t connection, std::string_view type, const nlohmann::json& data) {
  queue(connections_[connection], to_bytes(type, data));
  return is_open(connection);
}

void WyomingServer::finish(std::size_t index) {
  connections_[index].is_answered = false;
  connections_[index].turn.reset();
  connections_[index].last_active = std::chrono::steady_clock::now();
  if (is_open(index)) take_events(index);  // it may have sent more already
}

/// A client that lets more lie than kMostUnsent is let go.
void WyomingServer::queue(Connection& connection, std::string_view bytes) {
  if (connection.file < 0) return;
  if (connection.unsent.size() + bytes.size() > kMostUnsent) {
    close(connection);
    return;
  }
  connection.unsent += bytes;
  flush(connection);
}

void WyomingServer::flush(Connection& connection) {
  if (connection.file < 0 || connection.unsent.empty()) return;
  const ssize_t size = ::send(connection.file, connection.unsent.data(), connection.unsent.size(), MSG_NOSIGNAL);
  if (size < 0) {
    if (errno != EAGAIN && errno != EINTR) close(connection);
    return;
  }
  connection.unsent.erase(0, static_cast<std::size_t>(size));
  if (connection.is_refused && connection.unsent.empty()) ::shutdown(connection.file, SHUT_WR);
}

}  // namespace rill::apps
