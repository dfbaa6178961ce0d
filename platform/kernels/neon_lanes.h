// What 64-bit ARM's sets share: 16 lanes as four vector registers, and lane_rules.h over them. Denormals are kept: FPCR
// is left as Linux hands it over. To be included once, inside a set's unnamed namespace.

struct Lanes {
  float32x4_t v[4];
};
struct IntLanes {
  int32x4_t v[4];
};

template <typename Function>
inline Lanes each(Function function) {
  return {{function(0), function(1), function(2), function(3)}};
}
template <typename Function>
inline IntLanes each_int(Function function) {
  return {{function(0), function(1), function(2), function(3)}};
}

inline Lanes load(const float* p) {
  return each([&](int k) { return vld1q_f32(p + 4 * k); });
}
inline Lanes load_part(const float* p, std::size_t n) {
  float lanes[16] = {};
  std::memcpy(lanes, p, n * sizeof *p);
  return load(lanes);
}
inline void store(Lanes a, float* p) {
  vst1q_f32(p, a.v[0]);  // no loop: an index that varies would keep the lanes in memory
  vst1q_f32(p + 4, a.v[1]);
  vst1q_f32(p + 8, a.v[2]);
  vst1q_f32(p + 12, a.v[3]);
}
inline void store_part(Lanes a, float* p, std::size_t n) {
  float lanes[16];
  store(a, lanes);
  std::memcpy(p, lanes, n * sizeof *p);
}
inline Lanes all(float x) {
  return each([&](int) { return vdupq_n_f32(x); });
}
inline Lanes multiply(Lanes a, Lanes b) {
  return each([&](int k) { return vmulq_f32(a.v[k], b.v[k]); });
}
inline Lanes add(Lanes a, Lanes b) {
  return each([&](int k) { return vaddq_f32(a.v[k], b.v[k]); });
}
inline Lanes subtract(Lanes a, Lanes b) {
  return each([&](int k) { return vsubq_f32(a.v[k], b.v[k]); });
}
inline Lanes divide(Lanes a, Lanes b) {
  return each([&](int k) { return vdivq_f32(a.v[k], b.v[k]); });
}
inline Lanes fma(Lanes a, Lanes b, Lanes c) {
  return each([&](int k) { return vfmaq_f32(c.v[k], a.v[k], b.v[k]); });
}
// Not fmax and fmin: those give NaN if either side is one, the rule gives b.
inline Lanes larger(Lanes a, Lanes b) {
  return each([&](int k) { return vbslq_f32(vcgtq_f32(a.v[k], b.v[k]), a.v[k], b.v[k]); });
}
inline Lanes smaller(Lanes a, Lanes b) {
  return each([&](int k) { return vbslq_f32(vcltq_f32(a.v[k], b.v[k]), a.v[k], b.v[k]); });
}
inline Lanes magnitude(Lanes a) {
  return each([&](int k) { return vabsq_f32(a.v[k]); });
}
template <int kDistance>
inline Lanes swap_lanes(Lanes a) {
  if constexpr (kDistance == 1) return each([&](int k) { return vrev64q_f32(a.v[k]); });
  if constexpr (kDistance == 2) return each([&](int k) { return vextq_f32(a.v[k], a.v[k], 2); });
  if constexpr (kDistance >= 4) return each([&](int k) { return a.v[k ^ (kDistance / 4)]; });
}
inline float sum_lanes(Lanes a) {
  const float32x4_t four = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
inline float largest_lane(Lanes a) {
  float lanes[16];
  store(a, lanes);
  float most = lanes[0];
  for (const float lane : lanes) most = most < lane ? lane : most;
  return most;
}

inline IntLanes int_all(std::int32_t x) {
  return each_int([&](int) { return vdupq_n_s32(x); });
}
inline IntLanes int_add(IntLanes a, IntLanes b) {
  return each_int([&](int k) { return vaddq_s32(a.v[k], b.v[k]); });
}
inline IntLanes int_subtract(IntLanes a, IntLanes b) {
  return each_int([&](int k) { return vsubq_s32(a.v[k], b.v[k]); });
}
inline IntLanes over_256(IntLanes a) {
  return each_int([&](int k) { return vshrq_n_s32(a.v[k], 8); });
}
inline IntLanes times_256(IntLanes a) {
  return each_int([&](int k) { return vshlq_n_s32(a.v[k], 8); });
}
inline IntLanes round(Lanes a) {
  return each_int([&](int k) { return vcvtnq_s32_f32(a.v[k]); });
}
inline Lanes to_float(IntLanes a) {
  return each([&](int k) { return vcvtq_f32_s32(a.v[k]); });
}
inline Lanes power_of_two(IntLanes a) {
  return each([&](int k) { return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(a.v[k], vdupq_n_s32(127)), 23)); });
}
inline void store_int8(IntLanes a, std::int8_t* p) {  // the low bytes, as they are
  const int16x8_t low = vcombine_s16(vmovn_s32(a.v[0]), vmovn_s32(a.v[1]));
  const int16x8_t high = vcombine_s16(vmovn_s32(a.v[2]), vmovn_s32(a.v[3]));
  vst1q_s8(p, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
}
[[maybe_unused]] inline void store_int16(IntLanes a, std::int8_t* p) {
  auto* const words = reinterpret_cast<std::int16_t*>(p);
  vst1q_s16(words, vcombine_s16(vmovn_s32(a.v[0]), vmovn_s32(a.v[1])));
  vst1q_s16(words + 8, vcombine_s16(vmovn_s32(a.v[2]), vmovn_s32(a.v[3])));
}
inline void store_int32(IntLanes a, std::int32_t* p) {
  vst1q_s32(p, a.v[0]);
  vst1q_s32(p + 4, a.v[1]);
  vst1q_s32(p + 8, a.v[2]);
  vst1q_s32(p + 12, a.v[3]);
}
inline IntLanes load_int32(const std::int32_t* p) {
  return each_int([&](int k) { return vld1q_s32(p + 4 * k); });
}

constexpr int kShift = 0;  // ARM multiplies signed by signed
constexpr std::size_t kBlocksTogether = 1;

#include "platform/kernels/lane_rules.h"

/// 16 binary16 scales, exactly.
inline Lanes load_scales(const std::byte* p) {
  const auto* const halves = reinterpret_cast<const std::uint16_t*>(p);
  return each([&](int k) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(halves + 4 * k))); });
}

/// Assembly once for each of twelve sums and as many registers beside them: what the peaks are made of.
#define RILL_TWELVE(step)                                                                                     \
  step(0, 16) step(1, 17) step(2, 18) step(3, 19) step(4, 20) step(5, 21) step(6, 22) step(7, 23) step(8, 24) \
      step(9, 25) step(10, 26) step(11, 27)
