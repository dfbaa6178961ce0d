#pragma once
// Text of strangers (what a model says, what a service has heard) on its way to whoever reads it.

#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>

namespace rill::apps {

/// A pipe or a file gets every byte. A terminal gets no character that steers it, or a hostile model could name its
/// window, write over what stands there, or fill the clipboard.
class ShownText {
 public:
  /// Asks what `out` is: before a sandbox is closed. @param out  borrowed
  explicit ShownText(std::FILE* out);
  ShownText(std::FILE* out, bool is_terminal) : out_(out), is_terminal_(is_terminal) {}

  /// On a terminal carriage returns are left out, and control characters (U+0000 to 1F, 7F to 9F) but newline and tab
  /// are shown as U+FFFD. Allocates nothing, flushes nothing.
  /// @param text  whole UTF-8 characters
  void write(std::string_view text) const;

 private:
  std::FILE* out_;
  bool is_terminal_;
};

/// Whether what stands in a line can be taken back: a terminal, and none that only knows lines.
bool can_rewrite_a_line(std::FILE* out);

/// Bytes of the control character at the front of a text that is not empty: U+0000 to 1F, 7F to 9F, but newline and
/// tab; 0 if it is another.
std::size_t control_bytes(std::string_view text);

/// JSON without the control characters that it may hold as they are (U+007F to 9F), which steer terminals: escaped.
std::string without_controls(std::string_view json);

/// A failure's sentence on standard error, with "rill: " in front and `behind` after it; none of what it may quote of a
/// file or a service steers a terminal. In a sandbox too.
void print_failure(std::string_view sentence, std::string_view behind = {});

}  // namespace rill::apps
