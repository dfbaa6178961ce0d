#include "apps/shown_text.h"

#include <unistd.h>

#include <cstdlib>

#include "core/utf8.h"

namespace rill::apps {

std::size_t control_bytes(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first == '\n' || first == '\t') return 0;
  if (first < 0x20 || first == 0x7F) return 1;
  const bool is_c1 = first == 0xC2 && text.size() > 1 && static_cast<unsigned char>(text[1]) < 0xA0;
  return is_c1 ? 2 : 0;
}

bool can_rewrite_a_line(std::FILE* out) {
  const char* const terminal = std::getenv("TERM");
  return ::isatty(::fileno(out)) == 1 && terminal != nullptr && std::string_view(terminal) != "dumb";
}

ShownText::ShownText(std::FILE* out) : ShownText(out, ::isatty(::fileno(out)) == 1) {}

void ShownText::write(std::string_view text) const {
  const auto put = [this](std::string_view part) { std::fwrite(part.data(), 1, part.size(), out_); };
  if (!is_terminal_) return put(text);
  std::size_t begin = 0;  // of what is not yet written
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t control = control_bytes(text.substr(i));
    if (control > 0) {
      put(text.substr(begin, i - begin));
      if (text[i] != '\r') put(kReplacementCharacter);
      begin = i + control;
    }
    i += control > 0 ? control : 1;
  }
  put(text.substr(begin));
}

std::string without_controls(std::string_view json) {
  std::string escaped;
  escaped.reserve(json.size());
  for (std::size_t i = 0; i < json.size();) {
    const std::size_t control = control_bytes(json.substr(i));
    if (control == 0) {
      escaped += json[i++];
      continue;
    }
    i += control;  // to behind its last byte, which is its number
    escaped += "\\u00";
    for (const int shift : {4, 0})
      escaped += "0123456789abcdef"[(static_cast<unsigned char>(json[i - 1]) >> shift) & 15];
  }
  return escaped;
}

void print_failure(std::string_view sentence, std::string_view behind) {
  const ShownText errors(stderr, /*is_terminal=*/true);  // looks alike wherever it goes
  errors.write("rill: ");
  errors.write(sentence);
  errors.write(behind);
  errors.write("\n");
}

}  // namespace rill::apps
