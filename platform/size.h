#pragma once
// Sizes that come from headers: arithmetic that remembers whether it wrapped. Write the formula as on paper, check
// once.

#include <cstddef>
#include <cstdint>

namespace rill {

/// A number of bytes or elements; `wrapped` once any step of its computation did not fit 64 bits.
struct Size {
  std::uint64_t value = 0;
  bool wrapped = false;

  constexpr Size() = default;
  constexpr Size(std::uint64_t v) : value(v) {}  // NOLINT(google-explicit-constructor): formulas mix both
};

constexpr Size operator*(Size a, Size b) {
  Size product;
  product.wrapped = __builtin_mul_overflow(a.value, b.value, &product.value) || a.wrapped || b.wrapped;
  return product;
}

constexpr Size operator+(Size a, Size b) {
  Size sum;
  sum.wrapped = __builtin_add_overflow(a.value, b.value, &sum.value) || a.wrapped || b.wrapped;
  return sum;
}

/// a / step, rounded up. step > 0.
constexpr Size divide_up(Size a, std::uint64_t step) {
  Size quotient = a.value / step + (a.value % step != 0 ? 1 : 0);
  quotient.wrapped = a.wrapped;
  return quotient;
}

/// The least multiple of step that is not below a. step > 0.
constexpr Size round_up(Size a, std::uint64_t step) { return divide_up(a, step) * Size(step); }

/// The same for sizes that have been checked already.
constexpr std::size_t round_up(std::size_t a, std::size_t step) { return (a + step - 1) / step * step; }

/// True if [offset, offset + size) lies in a section of `end` bytes. Never adds, so never wraps.
constexpr bool fits(Size size, std::uint64_t offset, std::uint64_t end) {
  return !size.wrapped && offset <= end && size.value <= end - offset;
}

}  // namespace rill
