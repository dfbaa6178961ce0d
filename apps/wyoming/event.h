#pragma once
// Events of the Wyoming protocol, which the parts of a voice assistant speak over TCP:
//
//   {"type": "transcript", "data_length": 17, "payload_length": 0}\n      one line of JSON
//   {"text": "hello"}                                                     data_length bytes of JSON
//   ...                                                                   payload_length bytes, audio for instance
//
// Whatever comes from the other side is untrusted: each part has a limit, and what is over it is an error.

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "platform/status.h"

namespace rill::apps {

/// One event. Its data is an object in all cases.
struct WyomingEvent {
  std::string type;
  nlohmann::json data = nlohmann::json::object();
  std::span<const char> payload;  ///< borrowed from the reader until its next call; empty where payloads are skipped

  /// A string of the data; empty if there is none by that name.
  std::string text(std::string_view key = "text") const;
  /// A whole number of the data, 0 or more, if there is one by that name.
  std::optional<std::uint64_t> whole(std::string_view key) const;
  /// The same; `otherwise` if there is none, or it is below 0 or above 2^31 - 1.
  std::uint32_t number(std::string_view key, std::uint32_t otherwise) const;
};

/// An event as bytes. Text that is no UTF-8 is mended.
std::string to_bytes(std::string_view type, const nlohmann::json& data, std::span<const char> payload = {});

/// Takes a stream of bytes apart into events, in one buffer whose size never changes.
class WyomingReader {
 public:
  static constexpr std::size_t kLongestHeader = std::size_t{32} * 1024;
  static constexpr std::size_t kMostData = std::size_t{64} * 1024;
  /// Of objects and arrays inside one another, the outermost included: copying and writing JSON recurse, and a stranger
  /// must not choose how deep the stack grows.
  static constexpr int kMostLevels = 32;
  /// Of its first line and of its data: one in memory takes up to forty times the two bytes of its text.
  static constexpr std::size_t kMostValues = 8192;
  static constexpr std::size_t kMostBytesPerValue = 200;
  static constexpr std::size_t kMostSkipped = std::size_t{16} * 1024 * 1024;

  /// @param most_payload  bytes of a payload that are kept for the caller; 0: payloads are read and dropped, up to
  ///                      kMostSkipped of one
  explicit WyomingReader(std::size_t most_payload, std::size_t most_values = kMostValues);
  /// Its buffer. Beside it an event takes up to kMostBytesPerValue of each value, and twice its text.
  static constexpr std::size_t bytes(std::size_t most_payload) { return kLongestHeader + kMostData + most_payload; }

  /// Where the next bytes of the stream go: never empty once next() has said that it needs more.
  std::span<char> room();
  /// `bytes` of room() were filled.
  void filled(std::size_t bytes) { end_ += bytes; }
  /// The next event, or none until more bytes come.
  /// kBadInput, with what was wrong, for what is no event; there is no going on after that.
  Result<std::optional<WyomingEvent>> next();

 private:
  Status read_header(std::string_view line);
  Status read_data(std::string_view bytes);

  std::size_t most_payload_;
  std::size_t most_values_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;              // of what has not been used
  std::size_t end_ = 0;                // of what was filled
  std::size_t scanned_ = 0;            // bytes from begin_ that hold no end of a line
  std::size_t skip_ = 0;               // bytes of a payload that are still to be dropped
  std::optional<WyomingEvent> event_;  // whose header has been read, and whose rest has not
  std::size_t data_bytes_ = 0;
  std::size_t payload_bytes_ = 0;
};

}  // namespace rill::apps
