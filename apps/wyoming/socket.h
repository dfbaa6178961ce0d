#pragma once
// TCP as the Wyoming protocol's two sides need it.

#include <cstdint>
#include <string>

#include "platform/status.h"

namespace rill::apps {

/// Bytes that are asked for each of the two buffers of a client's socket, which the system doubles.
inline constexpr int kSocketBuffer = 64 * 1024;

/// A socket that listens; the caller's to close. @param address  becomes "HOST:PORT" with the port that was taken
/// kFailed with the system's reason, the address named.
Result<int> listen_on(const std::string& host, std::uint16_t port, std::string& address);

/// A connected socket; the caller's to close. @param wait_ms  for the connection
Result<int> connect_to(const std::string& host, std::uint16_t port, int wait_ms);

}  // namespace rill::apps
