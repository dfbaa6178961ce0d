// What a stranger sends to `rill wyoming`, or a part of the voice answers: however the bytes arrive the events are the
// same, and what is sent back of them is an event again.

#include <algorithm>
#include <string>
#include <vector>

#include "apps/wyoming/event.h"
#include "tests/fuzz/target.h"

namespace {

using rill::apps::WyomingEvent;
using rill::apps::WyomingReader;
using rill::fuzz::require;

/// Each event as bytes; the last entry is the error, if there was one.
std::vector<std::string> read_all(std::string_view stream, std::size_t most_payload, std::size_t step) {
  WyomingReader reader(most_payload);
  std::vector<std::string> read;
  while (!stream.empty()) {
    const std::span<char> room = reader.room();
    require(!room.empty(), "there is room while an event is not whole");
    const std::size_t size = std::min({step, stream.size(), room.size()});
    std::copy_n(stream.begin(), size, room.begin());
    stream.remove_prefix(size);
    reader.filled(size);
    for (;;) {
      const auto event = reader.next();
      if (!event.ok()) {
        read.emplace_back(event.status().message());
        return read;
      }
      if (!event->has_value()) break;
      const WyomingEvent& e = **event;
      require(e.payload.size() <= most_payload, "a payload is no longer than was allowed");
      static_cast<void>(e.number("rate", 1));
      read.push_back(rill::apps::to_bytes(e.type, e.data, e.payload));
    }
  }
  return read;
}

void send_back(const std::string& bytes, std::size_t most_payload) {
  if (!bytes.starts_with('{')) return;  // an error
  const std::vector<std::string> again = read_all(bytes, most_payload, bytes.size());
  require(again.size() == 1, "an event that is sent is one event");
  // Text that is no UTF-8 grows when it is mended, perhaps past what a peer takes.
  require(again[0] == bytes || !again[0].starts_with('{'), "and says what was to be said");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view stream = rill::fuzz::text_of(data + 1, size - 1);
  const std::size_t step = 1 + data[0] % 64;
  for (const std::size_t most_payload : {std::size_t{0}, std::size_t{256}}) {
    const std::vector<std::string> whole = read_all(stream, most_payload, stream.size());
    require(read_all(stream, most_payload, step) == whole, "how the bytes arrive changes no event");
    for (const std::string& bytes : whole) send_back(bytes, most_payload);
  }
  return 0;
}
