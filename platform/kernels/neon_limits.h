// The peak that `rill bench` measures, for 64-bit ARM's sets. To be included once, inside a set's unnamed namespace,
// after RILL_PEAK, assembly of twelve steps that add products of v31's bytes to v0 to v11 (v16 to v27 are free), and
// kPeakStep, how many multiply-adds a step is. In assembly, as compilers take out of the loop what does not change in
// it.

std::uint64_t dot_products(std::uint64_t rounds) {
  for (std::uint64_t round = 0; round < rounds; ++round) {
    __asm__ volatile(RILL_PEAK
                     :
                     :
                     : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v16", "v17", "v18",
                       "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v31");
  }
  return rounds * 12 * kPeakStep;
}
