#include "platform/status.h"

#include <cerrno>
#include <cstring>

namespace rill {

Status::Status(Code code, const Report& report) : code_(code) {
  message_.append(report.where.view());
  if (!report.where.empty()) message_.append(": ");
  message_.append(report.what.view());
  if (!report.expected.empty()) {
    message_.append(", expected ");
    message_.append(report.expected.view());
  }
  if (!report.remedy.empty()) {
    message_.append("; ");
    message_.append(report.remedy.view());
  }
}

namespace {

/// What helps against a reason, wherever it was met; empty where that depends on the place.
std::string_view remedy_against(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "free some space there";
    case EFBIG:
      return "raise the limit on the size of files (ulimit -f), or choose a file system for larger ones";
    case EIO:
      return "the device may be failing: look at the system's log";
    case EMFILE:
    case ENFILE:
      return "raise the limit on open files (ulimit -n)";
    case ENOMEM:
      return "free some memory, or raise the limit on it (ulimit -v)";
    default:
      return {};
  }
}

}  // namespace

Status system_failure(const Text& where, std::string_view what, const Text& remedy, Code code) {
  std::array<char, 128> buffer{};
  const int error = errno;
  const std::string_view known = remedy_against(error);
  const Text reason = text(what, " failed: ", std::string_view(strerror_r(error, buffer.data(), buffer.size())));
  return {code, {.where = where, .what = reason, .expected = {}, .remedy = known.empty() ? remedy : text(known)}};
}

}  // namespace rill
