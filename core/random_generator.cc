#include "core/random_generator.h"

namespace rill {

void RandomGenerator::seed(std::uint64_t value) {
  words_[0] = value;
  for (std::size_t i = 1; i < kWords; ++i) {
    words_[i] = 6364136223846793005U * (words_[i - 1] ^ (words_[i - 1] >> 62U)) + i;
  }
  next_ = kWords;
}

void RandomGenerator::renew() {
  constexpr std::size_t kMiddle = 156;
  constexpr std::uint64_t kUpper = ~std::uint64_t{0} << 31U;
  for (std::size_t i = 0; i < kWords; ++i) {
    const std::uint64_t joined = (words_[i] & kUpper) | (words_[(i + 1) % kWords] & ~kUpper);
    words_[i] = words_[(i + kMiddle) % kWords] ^ (joined >> 1U) ^ ((joined & 1U) != 0 ? 0xb5026f5aa96619e9U : 0U);
  }
  next_ = 0;
}

std::uint64_t RandomGenerator::operator()() {
  if (next_ >= kWords) renew();
  std::uint64_t word = words_[static_cast<std::size_t>(next_++)];
  word ^= (word >> 29U) & 0x5555555555555555U;
  word ^= (word << 17U) & 0x71d67fffeda60000U;
  word ^= (word << 37U) & 0xfff7eee000000000U;
  return word ^ (word >> 43U);
}

}  // namespace rill
