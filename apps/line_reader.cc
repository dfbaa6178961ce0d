#include "apps/line_reader.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "apps/interrupt.h"

namespace rill::apps {

LineReader::LineReader(int descriptor, std::size_t longest)
    : descriptor_(descriptor),
      is_terminal_(::isatty(descriptor) == 1),
      memory_(std::make_unique_for_overwrite<char[]>(longest)),
      buffer_(memory_.get(), longest) {}

LineReader::Outcome LineReader::next(std::string_view& line) {
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  bool too_long = false;
  for (std::size_t looked_at = 0;;) {
    const auto* const newline =
        static_cast<const char*>(std::memchr(buffer_.data() + looked_at, '\n', end_ - looked_at));
    if (newline != nullptr) {
      const auto size = static_cast<std::size_t>(newline - buffer_.data());
      begin_ = size + 1;
      line = {buffer_.data(), size > 0 && buffer_[size - 1] == '\r' ? size - 1 : size};
      return too_long ? Outcome::kTooLong : Outcome::kLine;
    }
    looked_at = end_;
    if (end_ == buffer_.size()) {
      too_long = true;
      end_ = looked_at = 0;
    }
    if (!wait_for_input(descriptor_)) return Outcome::kEnd;
    const ssize_t size = ::read(descriptor_, buffer_.data() + end_, buffer_.size() - end_);
    if (size < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    const bool is_hung_up = size < 0 && errno == EIO && is_terminal_;
    if (size < 0 && !is_hung_up) return Outcome::kFailed;
    if (size <= 0) {
      line = {buffer_.data(), end_};
      begin_ = end_;
      if (too_long) return Outcome::kTooLong;
      return line.empty() ? Outcome::kEnd : Outcome::kLine;
    }
    end_ += static_cast<std::size_t>(size);
  }
}

}  // namespace rill::apps
