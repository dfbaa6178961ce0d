#pragma once
// The protocol of pipes: a turn a line. Lines of a descriptor in one fixed buffer.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace rill::apps {

class LineReader {
 public:
  static constexpr std::size_t kLongestLine = std::size_t{256} * 1024;

  /// Asks what the descriptor is: before a sandbox is closed.
  /// @param descriptor  borrowed
  /// @param longest     bytes of the longest line that is taken, its end included
  explicit LineReader(int descriptor, std::size_t longest = kLongestLine);

  enum class Outcome : std::uint8_t { kLine, kTooLong, kEnd, kFailed };
  /// The next line without its end (a newline, or the two characters of other systems); borrowed until the next call.
  /// Of one that is too long nothing is kept. A last line needs no end. SIGTERM is an end, too. After
  /// kFailed errno says why nothing could be read.
  Outcome next(std::string_view& line);

  std::size_t longest() const { return buffer_.size(); }

 private:
  int descriptor_;
  bool is_terminal_;
  std::unique_ptr<char[]> memory_;  // not filled: its pages are taken when a line needs them
  std::span<char> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace rill::apps
