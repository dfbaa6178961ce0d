#include "apps/wyoming/socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

namespace rill::apps {
namespace {

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Result<Addresses> look_up(const std::string& host, std::uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) {
    return failed({.where = text(host),
                   .what = text("the host was not found: ", ::gai_strerror(error)),
                   .expected = text("a name or an address"),
                   .remedy = {}});
  }
  return Addresses(found, &::freeaddrinfo);
}

std::uint16_t port_of(int file) {
  sockaddr_storage taken{};
  socklen_t size = sizeof taken;
  if (::getsockname(file, reinterpret_cast<sockaddr*>(&taken), &size) != 0) return 0;
  return ntohs(taken.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&taken)->sin6_port
                                           : reinterpret_cast<const sockaddr_in*>(&taken)->sin_port);
}

/// Waits for a connection under way. @returns 0, or the error.
int finish_connecting(int file, int wait_ms) {
  pollfd waiting{.fd = file, .events = POLLOUT, .revents = 0};
  const int ready = ::poll(&waiting, 1, wait_ms);
  if (ready < 0) return errno;
  if (ready == 0) return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(file, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

}  // namespace

Result<int> listen_on(const std::string& host, std::uint16_t port, std::string& address) {
  RILL_ASSIGN(const Addresses addresses, look_up(host, port, AI_PASSIVE));
  const int file = ::socket(addresses->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  const int buffer = kSocketBuffer;
  // The clients' sockets inherit the buffers: the system would make them larger for whoever sends much.
  if (file < 0 || ::setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::setsockopt(file, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) != 0 ||
      ::setsockopt(file, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer) != 0 ||
      ::bind(file, addresses->ai_addr, addresses->ai_addrlen) != 0 || ::listen(file, 16) != 0) {
    const Status status = system_failure(text(host, ":", port), "listening",
                                         errno == EADDRNOTAVAIL ? text("give --host an address of this machine")
                                         : errno == EACCES ? text("choose a --port above 1023, or start it as root")
                                                           : text("choose another --port, or end what listens there"));
    if (file >= 0) ::close(file);
    return status;
  }
  address = (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + std::to_string(port_of(file));
  return file;
}

Result<int> connect_to(const std::string& host, std::uint16_t port, int wait_ms) {
  RILL_ASSIGN(const Addresses addresses, look_up(host, port, 0));
  int error = 0;
  for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
    const int file = ::socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (file < 0) {
      error = errno;
      continue;
    }
    error = ::connect(file, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) error = finish_connecting(file, wait_ms);
    const int on = 1;
    if (error == 0 && ::setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0) return file;
    ::close(file);
  }
  errno = error;
  return system_failure(text(host, ":", port), "connecting", text("start the Wyoming service there, or name another"));
}

}  // namespace rill::apps
