// The limits that `rill bench` measures, for the two 256-bit sets. To be included once, inside a set's unnamed
// namespace, after ymm.h and the set's RILL_PEAK_STEP(n): assembly that adds dot products of ymm15 to ymm<n>, 0 to 11;
// ymm14 is free.

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

// In assembly: compilers move the sums about, and take out of the loop what does not change in it. What is in the
// registers does not matter.
std::uint64_t dot_products(std::uint64_t rounds) {
  for (std::uint64_t round = 0; round < rounds; ++round) {
    __asm__ volatile(RILL_PEAK_STEP(0) RILL_PEAK_STEP(1) RILL_PEAK_STEP(2) RILL_PEAK_STEP(3) RILL_PEAK_STEP(4)
                         RILL_PEAK_STEP(5) RILL_PEAK_STEP(6) RILL_PEAK_STEP(7) RILL_PEAK_STEP(8) RILL_PEAK_STEP(9)
                             RILL_PEAK_STEP(10) RILL_PEAK_STEP(11)
                     :
                     :
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
                       "xmm14", "xmm15");
  }
  return rounds * 12 * sizeof(__m256i);
}
