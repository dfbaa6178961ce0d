// AVX-VNNI: AVX2 with vpdpbusd, the dot product of four unsigned with four signed bytes.

#include <immintrin.h>

#include <cmath>
#include <cstring>

#include "platform/kernels/kernels.h"

namespace rill::kernels::avx_vnni {
namespace {

/// sum + dot products of four bytes each, the weights shifted up by 128 to be unsigned: the sum must have begun at
/// -128 times the sum of x.
inline __m256i dot_bytes(__m256i sum, __m256i weights, __m256i x) {
  return _mm256_dpbusd_avx_epi32(sum, _mm256_xor_si256(weights, _mm256_set1_epi8(-128)), x);
}
inline std::int32_t first_sum(std::int32_t offset) { return offset; }

#include "platform/kernels/ymm.h"

// One step of the peak: the instruction alone.
#define RILL_PEAK_STEP(n) "%{vex%} vpdpbusd %%ymm15, %%ymm15, %%ymm" #n "\n\t"

#include "platform/kernels/ymm_limits.h"

}  // namespace

extern const KernelSet kSet;
constinit const KernelSet kSet = RILL_KERNEL_ROW("avx_vnni", cpu_feature::kAvx2 | cpu_feature::kAvxVnni);

}  // namespace rill::kernels::avx_vnni
