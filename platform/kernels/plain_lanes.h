// 16 lanes as plain arrays, for the sets whose float part is scalar: `scalar`, which defines what all others equal, and
// 32-bit ARM's, whose vector registers flush denormals. To be included once, inside a set's unnamed namespace (see
// lane_rules.h).

struct Lanes {
  float v[16];
};
struct IntLanes {
  std::int32_t v[16];
};

template <typename Function>
inline Lanes each(Function function) {
  Lanes r;
  for (int i = 0; i < 16; ++i) r.v[i] = function(i);
  return r;
}

inline Lanes load(const float* p) {
  return each([&](int i) { return p[i]; });
}
inline Lanes load_part(const float* p, std::size_t n) {
  return each([&](int i) { return static_cast<std::size_t>(i) < n ? p[i] : 0.0F; });
}
inline void store(const Lanes& a, float* p) { std::copy_n(a.v, 16, p); }
inline void store_part(const Lanes& a, float* p, std::size_t n) { std::copy_n(a.v, n, p); }
inline Lanes all(float x) {
  return each([&](int) { return x; });
}
inline Lanes multiply(const Lanes& a, const Lanes& b) {
  return each([&](int i) { return a.v[i] * b.v[i]; });
}
inline Lanes add(const Lanes& a, const Lanes& b) {
  return each([&](int i) { return a.v[i] + b.v[i]; });
}
inline Lanes subtract(const Lanes& a, const Lanes& b) {
  return each([&](int i) { return a.v[i] - b.v[i]; });
}
inline Lanes divide(const Lanes& a, const Lanes& b) {
  return each([&](int i) { return a.v[i] / b.v[i]; });
}
inline Lanes fma(const Lanes& a, const Lanes& b, const Lanes& c) {
  return each([&](int i) { return std::fma(a.v[i], b.v[i], c.v[i]); });
}
inline Lanes larger(const Lanes& a, const Lanes& b) {
  return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Lanes smaller(const Lanes& a, const Lanes& b) {
  return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Lanes magnitude(const Lanes& a) {
  return each([&](int i) { return std::fabs(a.v[i]); });
}
template <int kDistance>
inline Lanes swap_lanes(const Lanes& a) {
  return each([&](int i) { return a.v[i ^ kDistance]; });
}
inline float sum_lanes(Lanes a) {
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) a.v[i] += a.v[i + width];
  }
  return a.v[0];
}
inline float largest_lane(const Lanes& a) { return *std::max_element(a.v, a.v + 16); }

template <typename Function>
inline IntLanes each_int(Function function) {
  IntLanes r;
  for (int i = 0; i < 16; ++i) r.v[i] = function(i);
  return r;
}

inline IntLanes int_all(std::int32_t x) {
  return each_int([&](int) { return x; });
}
inline IntLanes int_add(const IntLanes& a, const IntLanes& b) {
  return each_int([&](int i) { return a.v[i] + b.v[i]; });
}
inline IntLanes int_subtract(const IntLanes& a, const IntLanes& b) {
  return each_int([&](int i) { return a.v[i] - b.v[i]; });
}
inline IntLanes over_256(const IntLanes& a) {
  return each_int([&](int i) { return a.v[i] >> 8; });
}
inline IntLanes times_256(const IntLanes& a) {
  return each_int([&](int i) { return a.v[i] * 256; });
}
/// To nearest even for |x| < 2^22: adding 1.5 * 2^23 leaves the integer in the low bits of the sum.
inline IntLanes round(const Lanes& a) {
  constexpr float kMagic = 12582912.0F;
  return each_int(
      [&](int i) { return std::bit_cast<std::int32_t>(a.v[i] + kMagic) - std::bit_cast<std::int32_t>(kMagic); });
}
inline Lanes to_float(const IntLanes& a) {
  return each([&](int i) { return static_cast<float>(a.v[i]); });
}
inline Lanes power_of_two(const IntLanes& a) {
  return each([&](int i) { return std::bit_cast<float>((a.v[i] + 127) << 23); });
}
inline void store_int8(const IntLanes& a, std::int8_t* p) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<std::int8_t>(a.v[i]);
}
[[maybe_unused]] inline void store_int16(const IntLanes& a, std::int8_t* p) {
  for (int i = 0; i < 16; ++i) {
    const auto element = static_cast<std::int16_t>(a.v[i]);
    std::memcpy(p + 2 * i, &element, sizeof element);
  }
}
inline void store_int32(const IntLanes& a, std::int32_t* p) { std::copy_n(a.v, 16, p); }
inline IntLanes load_int32(const std::int32_t* p) {
  return each_int([&](int i) { return p[i]; });
}
