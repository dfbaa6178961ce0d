#include "apps/progress.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "apps/shown_text.h"

namespace rill::apps {

Progress::Progress(std::string_view what, std::string_view unit)
    : what_(what), unit_(unit), is_terminal_(can_rewrite_a_line(stderr)) {}

Progress::~Progress() { wipe(); }

void Progress::wipe() {
  if (std::exchange(printed_, false)) std::fputs("\r\x1b[K", stderr);
}

void Progress::update(std::uint64_t done, std::uint64_t total) {
  if (!is_terminal_) return;
  const Clock::time_point now = Clock::now();
  if (!before_.has_value()) {
    before_ = done;
    start_ = last_ = now;
  }
  if (now - last_ < std::chrono::milliseconds(100) || total == 0) return;
  last_ = now;
  printed_ = true;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const bool is_bytes = unit_ == "bytes";
  const double rate = static_cast<double>(done - std::min(done, *before_)) / seconds;
  const double left = rate > 0 ? static_cast<double>(total - done) / rate : 0;
  std::fprintf(stderr, "\r\x1b[K%.*s: %3.0f%%  %.1f %.*s/s  %.0f s left", static_cast<int>(what_.size()), what_.data(),
               100.0 * static_cast<double>(done) / static_cast<double>(total), is_bytes ? rate / 1e6 : rate,
               is_bytes ? 2 : static_cast<int>(unit_.size()), is_bytes ? "MB" : unit_.data(), left);
  std::fflush(stderr);
}

}  // namespace rill::apps
