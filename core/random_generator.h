#pragma once
// The random generator of a stream. It is the standard's std::mt19937_64, number for number, written out because a
// stream's generator is saved with it: the standard library gives its state to iostreams only, which allocate, and each
// library lays it out as it likes.

#include <array>
#include <cstddef>
#include <cstdint>

namespace rill {

/// MT19937-64. Trivially copyable: its bytes are its state, on every machine with this byte order.
/// Source: Nishimura, "Tables of 64-bit Mersenne Twisters" (2000); the constants are those of ISO C++ [rand.predef].
class RandomGenerator {
 public:
  RandomGenerator() { seed(5489); }  // the standard's default

  void seed(std::uint64_t value);
  /// The next 64 bits. Every 312th call makes the next 312.
  std::uint64_t operator()();
  /// False for bytes that no generator has: the next call would read outside of it.
  bool is_sound() const { return next_ <= kWords; }

 private:
  static constexpr std::size_t kWords = 312;
  void renew();

  std::array<std::uint64_t, kWords> words_{};
  std::uint64_t next_ = kWords;  ///< the word that is given next; kWords: none is left
};

}  // namespace rill
