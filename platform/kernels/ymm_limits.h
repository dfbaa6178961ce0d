// The limits that `rill bench` measures, for the two 256-bit sets. To be included once, inside a set's unnamed
// namespace, after ymm.h and the set's peak_step(sum, weights, x).

std::uint64_t read_bytes(const std::byte* bytes, std::size_t size) {
  constexpr std::size_t kSums = 8;
  __m256i sums[kSums];
  for (auto& sum : sums) sum = _mm256_setzero_si256();
  for (std::size_t i = 0; i < size; i += kSums * sizeof(__m256i)) {
    for (std::size_t k = 0; k < kSums; ++k) {
      sums[k] = _mm256_add_epi64(sums[k], load_bytes(bytes + i + k * sizeof(__m256i)));
    }
  }
  for (std::size_t k = 1; k < kSums; ++k) sums[0] = _mm256_add_epi64(sums[0], sums[k]);
  alignas(32) std::uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sums[0]);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

std::uint64_t dot_products(std::uint64_t rounds) {
  constexpr std::size_t kSums = 12;  // and two or three operands: all of the 16 registers
  __m256i sums[kSums];
  // Told that a register may have changed, the compiler neither merges equal sums nor takes a step out of the loop.
  for (auto& sum : sums) {
    sum = _mm256_setzero_si256();
    __asm__ volatile("" : "+x"(sum));
  }
  __m256i weights = _mm256_set1_epi8(1);
  const __m256i x = _mm256_set1_epi8(1);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    for (auto& sum : sums) {
      __asm__ volatile("" : "+x"(weights));
      sum = peak_step(sum, weights, x);
    }
  }
  for (auto& sum : sums) __asm__ volatile("" : : "x"(sum));
  return rounds * kSums * sizeof(__m256i);
}
