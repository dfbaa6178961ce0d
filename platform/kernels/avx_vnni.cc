// AVX-VNNI: AVX2 with vpdpbusd, the dot product of four unsigned with four signed bytes.

#include <immintrin.h>

#include <cmath>
#include <cstring>

#include "platform/kernels/kernels.h"

namespace rill::kernels::avx_vnni {
namespace {

constexpr int kShift = 128;  // of activations: vpdpbusd's unsigned side

/// sum + dot products of four bytes each; x is shifted up by 128, so the sum must have begun at -128 times the sum of
/// the weights.
inline __m256i dot_bytes(__m256i sum, __m256i weights, __m256i x) { return _mm256_dpbusd_avx_epi32(sum, x, weights); }

constexpr int kRunTokens = 3;

#include "platform/kernels/ymm.h"

// One step of the peak: the instruction alone.
#define RILL_PEAK_STEP(n) "%{vex%} vpdpbusd %%ymm15, %%ymm15, %%ymm" #n "\n\t"

#include "platform/kernels/ymm_limits.h"

}  // namespace

extern const KernelSet kSet;
constinit const KernelSet kSet = RILL_KERNEL_ROW("avx_vnni", cpu_feature::kAvx2 | cpu_feature::kAvxVnni);

}  // namespace rill::kernels::avx_vnni
