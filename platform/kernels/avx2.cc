// AVX2 with FMA and F16C: 256-bit registers, no dot product of bytes.

#include <immintrin.h>

#include <cmath>
#include <cstring>

#include "platform/kernels/kernels.h"

namespace rill::kernels::avx2 {
namespace {

/// sum + dot products of four signed bytes each. vpmaddubsw adds two products in 16 bits with saturation; with the
/// weights' magnitude as its unsigned side they stay below 2 * 128 * 127 = 32512, so nothing saturates.
inline __m256i dot_bytes(__m256i sum, __m256i weights, __m256i x) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
constexpr int kShift = 0;  // signed times signed needs no correction

constexpr int kRunTokens = 2;

#include "platform/kernels/ymm.h"

// One step of the peak: the three instructions that a dot product of bytes takes at least. The kernels' own takes two
// more, for the signs.
#define RILL_PEAK_STEP(n)                    \
  "vpmaddubsw %%ymm15, %%ymm15, %%ymm14\n\t" \
  "vpmaddwd %%ymm15, %%ymm14, %%ymm14\n\t"   \
  "vpaddd %%ymm14, %%ymm" #n ", %%ymm" #n "\n\t"

#include "platform/kernels/ymm_limits.h"

}  // namespace

extern const KernelSet kSet;
constinit const KernelSet kSet = RILL_KERNEL_ROW("avx2", cpu_feature::kAvx2);

}  // namespace rill::kernels::avx2
