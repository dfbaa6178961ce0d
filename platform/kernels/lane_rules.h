// The float half of every kernel set, written once over 16 lanes. A set's file defines, in an unnamed namespace,
// `Lanes` (16 floats) and `IntLanes` (16 int32) with the operations named below, and then includes this file inside
// that same unnamed namespace: so each set has its own copy, built with its own flags, and the linker can never hand
// code of one set to another. No #pragma once: each set's file includes it exactly once.
//
//   Lanes:    load(p), load_part(p, n) (zeros behind), store(v, p), store_part(v, p, n), all(x), multiply, add,
//   subtract,
//             divide, fma(a, b, c) = a b + c rounded once, larger(a, b) = a > b ? a : b (so of NaN and a number, in
//             this order, the number: what is looked for the largest of comes first), smaller, magnitude, sum_lanes,
//             largest_lane, swap_lanes<d>(a): lane i is lane i xor d of a, d = 1, 2, 4, 8
//   IntLanes: round(v) to nearest even, to_float(i), power_of_two(i) = 2^i, store_int8(i, p) and store_int16(i, p) (the
//             low parts), store_int32(i, p), load_int32(p), int_all(x), int_add(a, b), int_subtract(a, b),
//             over_256(a) = floor(a / 256), times_256(a)
//
// and kShift: 0, or 128 if its dot products read activations shifted up by that; kWideParts: whether its dot_wide reads
// numbers in two parts of a byte, 16 high ones and 16 low ones, 256 high + low, or as 16 of 16 bits.

/// exp(x) for x in [-87, 88], clamped to that. Error below 2 ulp; the same bits on every set.
/// Source: x = k ln 2 + r, |r| <= ln 2 / 2; exp(r) by its Taylor polynomial of degree 7 (rest below 6e-9 relative).
inline Lanes exp_lanes(Lanes x) {
  x = smaller(larger(x, all(-87.0F)), all(88.0F));
  const IntLanes k = round(multiply(x, all(1.44269504F)));
  const Lanes kf = to_float(k);
  Lanes r = fma(kf, all(-0.693359375F), x);  // ln 2 in two parts: the first has 9 bits, so k times it is exact
  r = fma(kf, all(2.12194440e-4F), r);
  Lanes p = all(1.0F / 5040.0F);
  p = fma(p, r, all(1.0F / 720.0F));
  p = fma(p, r, all(1.0F / 120.0F));
  p = fma(p, r, all(1.0F / 24.0F));
  p = fma(p, r, all(1.0F / 6.0F));
  p = fma(p, r, all(0.5F));
  p = fma(p, r, all(1.0F));
  p = fma(p, r, all(1.0F));
  return multiply(p, power_of_two(k));
}

/// Bytes by which whoever reads memory once, in order, runs ahead of itself: enough of them under way to cover the
/// latency of main memory, which the processor's own prefetching does not, as it stops at the end of every page.
/// Measured with AVX-512: at 2 to 4 KiB a matrix is read at 93 to 98% of a plain read's speed, without it at 67 to 77%.
constexpr std::size_t kReadAhead = 3072;

/// Calls step(offset, lanes in use) for every 16 floats of n.
template <typename Step>
inline void for_lanes(std::size_t n, Step step) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) step(i, std::size_t{16});
  if (i < n) step(i, n - i);
}

inline Lanes load_some(const float* p, std::size_t n) { return n == 16 ? load(p) : load_part(p, n); }
inline void store_some(Lanes v, float* p, std::size_t n) {
  if (n == 16) {
    store(v, p);
  } else {
    store_part(v, p, n);
  }
}

inline float exponentiate(float* scores, std::size_t n) {
  Lanes most = all(-0x1.fffffep127F);  // the least float
  for (std::size_t i = 0; i + 16 <= n; i += 16) most = larger(load(scores + i), most);
  float top = largest_lane(most);
  for (std::size_t i = n / 16 * 16; i < n; ++i) top = scores[i] > top ? scores[i] : top;

  Lanes sum = all(0.0F);
  const Lanes shift = all(top);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const Lanes e = exp_lanes(subtract(load(scores + i), shift));
    store(e, scores + i);
    sum = add(sum, e);
  }
  if (i < n) {
    store_part(exp_lanes(subtract(load_part(scores + i, n - i), shift)), scores + i, n - i);
    sum = add(sum, load_part(scores + i, n - i));  // loaded anew: the lanes behind the end count as zero
  }
  return sum_lanes(sum);
}

inline void rms_normalize(const float* x, const float* gain, std::size_t n, float epsilon, float* out) {
  Lanes squares = all(0.0F);
  for_lanes(n, [&](std::size_t i, std::size_t used) {
    const Lanes v = load_some(x + i, used);
    squares = fma(v, v, squares);
  });
  const float mean = sum_lanes(squares) / static_cast<float>(n);
  const Lanes factor = all(1.0F / std::sqrt(mean + epsilon));
  for_lanes(n, [&](std::size_t i, std::size_t used) {
    store_some(multiply(multiply(load_some(x + i, used), factor), load_some(gain + i, used)), out + i, used);
  });
}

inline void layer_normalize(const float* x, const float* gain, const float* bias, std::size_t n, float epsilon,
                            float* out) {
  Lanes total = all(0.0F);
  for_lanes(n, [&](std::size_t i, std::size_t used) { total = add(total, load_some(x + i, used)); });
  const Lanes mean = all(sum_lanes(total) / static_cast<float>(n));
  Lanes squares = all(0.0F);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const Lanes v = subtract(load(x + i), mean);
    squares = fma(v, v, squares);
  }
  if (i < n) {
    float tail[16];
    store_part(subtract(load_part(x + i, n - i), mean), tail, n - i);
    const Lanes v = load_part(tail, n - i);  // loaded anew: the lanes behind the end count as zero
    squares = fma(v, v, squares);
  }
  const Lanes factor = all(1.0F / std::sqrt(sum_lanes(squares) / static_cast<float>(n) + epsilon));
  for_lanes(n, [&](std::size_t at, std::size_t used) {
    const Lanes v = multiply(subtract(load_some(x + at, used), mean), factor);
    store_some(fma(v, load_some(gain + at, used), load_some(bias + at, used)), out + at, used);
  });
}

// Below this a run counts as zero: its scale's inverse would overflow, and nothing downstream could tell the
// difference.
constexpr float kLeastMagnitude = 1e-30F;

inline float largest_magnitude(const float* x, std::size_t n) {
  Lanes most = all(0.0F);
  for_lanes(n, [&](std::size_t i, std::size_t used) { most = larger(magnitude(load_some(x + i, used)), most); });
  return largest_lane(most);
}

/// 16 of n elements times a factor, zeros behind them, rounded and not beyond `most`. The clamp only matters for
/// infinities and NaN, which it turns into numbers that are the same on every set.
inline IntLanes scaled_integers(const float* x, std::size_t i, std::size_t n, Lanes factor, float most) {
  const std::size_t used = i >= n ? 0 : (n - i < 16 ? n - i : 16);
  return round(smaller(larger(multiply(load_some(x + i, used), factor), all(-most)), all(most)));
}

/// Quantises x[0, n) with one scale into [padded], the values shifted up by `shift`. @returns the scale
inline float quantize_run(const float* x, std::size_t n, std::size_t padded, int shift, std::int8_t* values) {
  const float top = largest_magnitude(x, n);
  const bool is_zero = !(top >= kLeastMagnitude);
  const Lanes factor = all(is_zero ? 0.0F : 127.0F / top);
  const IntLanes up = int_all(shift);
  for (std::size_t i = 0; i < padded; i += 16) {
    store_int8(int_add(scaled_integers(x, i, n, factor, 127.0F), up), values + i);
  }
  return is_zero ? 0.0F : top / 127.0F;
}

inline void quantize(const float* x, std::size_t n, const Activations& out) {
  const std::size_t group = out.group();
  for (std::size_t g = 0; g < out.groups; ++g) {
    const std::size_t begin = g * group < n ? g * group : n;
    const std::size_t used = n - begin < group ? n - begin : group;
    out.scales[g] = quantize_run(x + begin, used, group, kShift, out.values + g * group);
  }
}

inline float quantize_vector(const float* x, std::size_t n, std::size_t stride, std::int8_t* values) {
  return quantize_run(x, n, stride, 0, values);
}

/// 16 of a wide row's elements, as dot_wide reads them: as 16-bit numbers, or in two parts of a byte, 256 high + low.
inline void store_wide(IntLanes elements, std::int8_t* p) {
  if constexpr (kWideParts) {
    const IntLanes high = over_256(int_add(elements, int_all(128)));
    store_int8(high, p);
    store_int8(int_subtract(elements, times_256(high)), p + 16);
  } else {
    store_int16(elements, p);
  }
}

constexpr float kMostWide = 127.0F * 128.0F;  // times 128 times 1024 elements: just below 2^31
constexpr float kGreatest = 1e30F;            // beyond it, only a hostile file's numbers

/// Sums of what is stored; only a set that shifts tiles wants them.
struct WideSum {
  IntLanes lanes = int_all(0);

  void add(IntLanes elements) {
    if constexpr (kShift != 0) lanes = int_add(lanes, elements);
  }
  std::int32_t total() const {
    if constexpr (kShift == 0) return 0;
    std::int32_t parts[16];
    store_int32(lanes, parts);
    std::uint32_t sum = 0;
    for (const std::int32_t part : parts) sum += static_cast<std::uint32_t>(part);
    return static_cast<std::int32_t>(sum);
  }
};

/// Calls run.operator()<n>(first) for `count` wide rows, kMost of them at a time and then the rest. kMost: 2 or 3.
template <std::size_t kMost, typename Run>
inline void for_runs(std::size_t count, Run run) {
  std::size_t first = 0;
  for (; first + kMost <= count; first += kMost) run.template operator()<kMost>(first);
  if constexpr (kMost > 2) {
    if (first + 2 == count) run.template operator()<2>(first);
  }
  if (first + 1 == count) run.template operator()<1>(first);
}

/// Where a sum of a wide row's products with shifted tiles begins, so that it ends without the shift.
[[maybe_unused]] inline std::int32_t less_shift(std::int32_t sum_of_elements) {
  return static_cast<std::int32_t>(0U -
                                   static_cast<std::uint32_t>(kShift) * static_cast<std::uint32_t>(sum_of_elements));
}

inline float quantize_query(const float* x, std::size_t n, std::size_t stride, std::size_t count, std::int8_t* values,
                            std::int32_t* sum) {
  const float top = largest_magnitude(x, n);
  const bool is_zero = !(top >= kLeastMagnitude && top <= kGreatest);
  const Lanes factor = all(is_zero ? 0.0F : kMostWide / top);
  WideSum elements;
  for (std::size_t i = 0; i < stride; i += 16, values += count * kWideBytes) {
    const IntLanes rounded = scaled_integers(x, i, n, factor, kMostWide);
    store_wide(rounded, values);
    elements.add(rounded);
  }
  *sum = elements.total();
  return is_zero ? 0.0F : top / kMostWide;
}

inline float weight_scale(const float* weights, std::size_t n) {
  Lanes most = all(0.0F);
  Lanes sum = all(0.0F);
  for_lanes(n, [&](std::size_t i, std::size_t used) {
    const Lanes v = load_some(weights + i, used);
    most = larger(v, most);
    sum = add(sum, v);
  });
  const float top = largest_lane(most);
  if (!(top >= kLeastMagnitude && top <= kGreatest)) return 0.0F;
  const float by_top = top / kMostWide;
  const float by_sum = sum_lanes(sum) * 0x1p-23F;
  return by_sum > by_top ? by_sum : by_top;
}

inline std::int32_t quantize_weights(const float* weights, std::size_t n, float scale, std::size_t first,
                                     std::size_t blocks, std::size_t count, std::int8_t* values) {
  const Lanes factor = all(scale > 0.0F ? 1.0F / scale : 0.0F);
  WideSum elements;
  std::size_t block = 0;
  const auto put = [&](IntLanes rounded) {
    store_wide(rounded, values + block * count * kWideBytes);
    elements.add(rounded);
    ++block;
  };
  while (block < first / 16) put(int_all(0));
  std::size_t i = 0;
  if (first % 16 != 0 && n > 0) {
    const std::size_t room = 16 - first % 16;
    i = n < room ? n : room;
    std::int32_t lanes[32] = {};
    store_int32(scaled_integers(weights, 0, i, factor, kMostWide), lanes + first % 16);
    put(load_int32(lanes));
  }
  for (; i < n; i += 16) put(scaled_integers(weights, i, n, factor, kMostWide));
  while (block < blocks) put(int_all(0));
  return elements.total();
}

inline void dequantize(const std::int32_t* x, float factor, std::size_t n, float* out) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store(multiply(to_float(load_int32(x + i)), all(factor)), out + i);
  for (; i < n; ++i) out[i] = static_cast<float>(x[i]) * factor;
}

inline void dequantize_each(const std::int32_t* x, const float* scales, float factor, std::size_t n, float* out) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    store(multiply(to_float(load_int32(x + i)), multiply(all(factor), load(scales + i))), out + i);
  }
  for (; i < n; ++i) out[i] = static_cast<float>(x[i]) * (factor * scales[i]);
}

inline Lanes negate(Lanes x) { return subtract(all(0.0F), x); }

/// x / (1 + exp(-slope x))
inline Lanes swish_lanes(Lanes x, float slope) {
  return divide(x, add(all(1.0F), exp_lanes(negate(multiply(x, all(slope))))));
}

/// erf(x) for x >= 0, within 1.5e-7. Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
inline Lanes erf_lanes(Lanes x) {
  const Lanes t = divide(all(1.0F), fma(all(0.3275911F), x, all(1.0F)));
  Lanes p = all(1.061405429F);
  p = fma(p, t, all(-1.453152027F));
  p = fma(p, t, all(1.421413741F));
  p = fma(p, t, all(-0.284496736F));
  p = fma(p, t, all(0.254829592F));
  return subtract(all(1.0F), multiply(multiply(p, t), exp_lanes(negate(multiply(x, x)))));
}

/// One function of the MLP for 16 lanes. x erf(x / sqrt 2) is even, so that the sign needs no care; and
/// (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)).
inline Lanes activate_lanes(ActivationFunction function, Lanes x, Lanes limit) {
  switch (function) {
    case ActivationFunction::kGelu: {
      const Lanes size = magnitude(x);
      return multiply(all(0.5F), fma(size, erf_lanes(multiply(size, all(0.70710678F))), x));
    }
    case ActivationFunction::kGeluTanh: {
      const Lanes u = multiply(x, fma(multiply(x, x), all(0.044715F), all(1.0F)));
      return divide(x, add(all(1.0F), exp_lanes(multiply(u, all(-1.59576912F)))));
    }
    case ActivationFunction::kClampedSwish:
      return swish_lanes(smaller(x, limit), 1.702F);
    case ActivationFunction::kSilu:
      break;
  }
  return swish_lanes(x, 1.0F);
}

inline void activate(ActivationFunction function, const float* x, std::size_t n, float limit, float* out) {
  for_lanes(n, [&](std::size_t i, std::size_t used) {
    store_some(activate_lanes(function, load_some(x + i, used), all(limit)), out + i, used);
  });
}

inline void activate_gated(ActivationFunction function, const float* gate, const float* up, std::size_t n, float limit,
                           float* out) {
  for_lanes(n, [&](std::size_t i, std::size_t used) {
    Lanes u = load_some(up + i, used);
    if (function == ActivationFunction::kClampedSwish) {
      u = add(smaller(larger(u, all(-limit)), all(limit)), all(1.0F));
    }
    store_some(multiply(activate_lanes(function, load_some(gate + i, used), all(limit)), u), out + i, used);
  });
}

/// Signs of a butterfly within 16 lanes: minus where the lane's index has the distance's bit.
template <int kDistance>
struct ButterflySigns {
  float sign[16] = {};
  constexpr ButterflySigns() {
    for (int i = 0; i < 16; ++i) sign[i] = (i & kDistance) == 0 ? 1.0F : -1.0F;
  }
};

/// Lanes i and i + kDistance become their sum and their difference, exactly as if added one by one.
template <int kDistance>
inline Lanes butterfly(Lanes a) {
  static constexpr ButterflySigns<kDistance> kSigns;
  return fma(a, load(kSigns.sign), swap_lanes<kDistance>(a));
}

inline void hadamard(std::size_t block, std::size_t n, float* x) {
  for (std::size_t i = 0; i < n; i += 16) {
    store(butterfly<8>(butterfly<4>(butterfly<2>(butterfly<1>(load(x + i))))), x + i);
  }
  for (std::size_t stride = 16; stride < block; stride *= 2) {
    for (std::size_t begin = 0; begin < n; begin += 2 * stride) {
      for (std::size_t i = begin; i < begin + stride; i += 16) {
        const Lanes a = load(x + i);
        const Lanes b = load(x + i + stride);
        store(add(a, b), x + i);
        store(subtract(a, b), x + i + stride);
      }
    }
  }
}

inline void soft_cap(float cap, std::size_t n, float* x) {
  const Lanes inverse = all(2.0F / cap);
  for_lanes(n, [&](std::size_t i, std::size_t used) {
    const Lanes e = exp_lanes(multiply(load_some(x + i, used), inverse));  // tanh(u) = 1 - 2 / (exp(2 u) + 1)
    const Lanes tanh = subtract(all(1.0F), divide(all(2.0F), add(e, all(1.0F))));
    store_some(multiply(all(cap), tanh), x + i, used);
  });
}

inline void rotate(const float* x, const float* cosines, const float* sines, std::size_t half, float* out) {
  for_lanes(half, [&](std::size_t i, std::size_t used) {
    const Lanes a = load_some(x + i, used);
    const Lanes b = load_some(x + half + i, used);
    const Lanes c = load_some(cosines + i, used);
    const Lanes s = load_some(sines + i, used);
    store_some(fma(a, c, subtract(all(0.0F), multiply(b, s))), out + i, used);
    store_some(fma(b, c, multiply(a, s)), out + half + i, used);
  });
}

inline void multiply_elements(const float* x, const float* y, std::size_t n, float* out) {
  for_lanes(n, [&](std::size_t i, std::size_t used) {
    store_some(multiply(load_some(x + i, used), load_some(y + i, used)), out + i, used);
  });
}

inline void add_arrays(const float* y, std::size_t n, float* x) {
  for_lanes(n, [&](std::size_t i, std::size_t used) {
    store_some(add(load_some(x + i, used), load_some(y + i, used)), x + i, used);
  });
}

inline void scale_array(float factor, std::size_t n, float* x) {
  for_lanes(n, [&](std::size_t i, std::size_t used) {
    store_some(multiply(load_some(x + i, used), all(factor)), x + i, used);
  });
}
