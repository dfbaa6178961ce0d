#pragma once
// How anything in Rill says that it failed: a Status with an exit code and one sentence, or a Result that holds a value
// or such a Status. Neither ever allocates, so an error may be reported from inside the token loop. No exceptions cross
// a library boundary and nothing aborts on input.

#include <array>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

namespace rill {

/// Why a call failed. The values are the process's exit codes.
enum class Code : std::uint8_t { kOk = 0, kFailed = 1, kUsage = 2, kOverBudget = 3, kBadInput = 4 };

/// A short text in place: what does not fit is cut and ends in "...".
template <std::size_t kCapacity>
class FixedText {
 public:
  void append(std::string_view part) {
    const std::size_t room = kCapacity - size_;
    const std::size_t taken = part.size() < room ? part.size() : room;
    if (taken > 0) std::memcpy(characters_.data() + size_, part.data(), taken);  // an empty part may have no place
    size_ += taken;
    if (taken < part.size()) std::memcpy(characters_.data() + kCapacity - 3, "...", 3);
  }
  std::string_view view() const { return {characters_.data(), size_}; }
  bool empty() const { return size_ == 0; }

 private:
  std::array<char, kCapacity> characters_{};
  std::size_t size_ = 0;
};

using Text = FixedText<256>;

namespace detail {
inline void append_part(Text& out, std::string_view part) { out.append(part); }
inline void append_part(Text& out, const char* part) { out.append(part); }
inline void append_part(Text& out, char part) { out.append({&part, 1}); }
template <std::size_t kCapacity>
void append_part(Text& out, const FixedText<kCapacity>& part) {
  out.append(part.view());
}
template <typename Number>
requires std::integral<Number> || std::floating_point<Number>
void append_part(Text& out, Number number) {
  std::array<char, 40> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  out.append({digits.data(), static_cast<std::size_t>(end.ptr - digits.data())});
}
}  // namespace detail

/// Joins strings and numbers into one text, without an allocation.
template <typename... Parts>
Text text(const Parts&... parts) {
  Text out;
  (detail::append_part(out, parts), ...);
  return out;
}

/// The four parts of a failure's sentence. Empty parts are left out.
struct Report {
  Text where;     ///< file, section, offset, tensor, option
  Text what;      ///< what was found
  Text expected;  ///< what should have been there
  Text remedy;    ///< what its reader can do next
};

/// Ok, or a code and a sentence: "where: what, expected ...; remedy".
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, const Report& report);

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  std::string_view message() const { return message_.view(); }

 private:
  Code code_ = Code::kOk;
  FixedText<640> message_;
};

inline Status failed(const Report& report) { return {Code::kFailed, report}; }
inline Status bad_usage(const Report& report) { return {Code::kUsage, report}; }
inline Status over_budget(const Report& report) { return {Code::kOverBudget, report}; }
inline Status bad_input(const Report& report) { return {Code::kBadInput, report}; }
/// A failed system call: `what` it was for, and the reason that the system gave in errno.
/// @param remedy  where the reason alone does not say it
/// @param code    kFailed, or whose fault it is
Status system_failure(const Text& where, std::string_view what, const Text& remedy = {}, Code code = Code::kFailed);

/// A value, or the Status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}      // NOLINT(google-explicit-constructor): `return value;`
  Result(const Status& status) : status_(status) {}  // NOLINT(google-explicit-constructor): `return bad_input(...);`

  bool ok() const { return value_.has_value(); }
  explicit operator bool() const { return ok(); }
  /// Legal always; ok() says Ok.
  const Status& status() const { return status_; }
  /// Legal only when ok().
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return std::move(*value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T&& operator*() && { return std::move(*value_); }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace rill

/// Leaves the function with the status of `expression` if that is not ok.
#define RILL_TRY(expression)                                            \
  do {                                                                  \
    if (::rill::Status rill_status = (expression); !rill_status.ok()) { \
      return rill_status;                                               \
    }                                                                   \
  } while (false)

#define RILL_JOIN_INNER(a, b) a##b
#define RILL_JOIN(a, b) RILL_JOIN_INNER(a, b)
/// `RILL_ASSIGN(auto file, MappedFile::open(path));` declares the value, or leaves the function with the status.
#define RILL_ASSIGN(declaration, expression) \
  RILL_ASSIGN_INNER(RILL_JOIN(rill_result_, __LINE__), declaration, expression)
#define RILL_ASSIGN_INNER(result, declaration, expression) \
  auto result = (expression);                              \
  if (!(result).ok()) return (result).status();            \
  declaration = std::move(result).value()
