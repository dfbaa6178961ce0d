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

Status system_failure(const Text& where, std::string_view what, const Text& remedy) {
  std::array<char, 128> buffer{};
  const int error = errno;
  return failed({.where = where,
                 .what = text(what, " failed: ", std::string_view(strerror_r(error, buffer.data(), buffer.size()))),
                 .expected = {},
                 .remedy = remedy});
}

}  // namespace rill
