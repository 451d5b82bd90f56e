#include "trainer/optim/adamw_kernels.h"

#ifdef __x86_64__
#include <emmintrin.h>
#endif

#include <bit>
#include <cmath>

// From GCC 12 on, which knows these names. Not with the thread sanitizer, whose library is not there yet when the linker asks which of the
// copies to take.
#if defined(__x86_64__) && defined(__GNUC__) && __GNUC__ >= 12 && !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#define BERTH_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define BERTH_CLONES
#endif

namespace berth::train::kernels {

BERTH_CLONES double sum_of_squares(const float* x, int64_t n) {
  constexpr int kLanes = 16;  // independent sums, so that the loop vectorizes without reordering
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int j = 0; j < kLanes; ++j) lanes[j] += static_cast<double>(x[i + j]) * static_cast<double>(x[i + j]);
  double sum = 0;
  for (; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  for (double lane : lanes) sum += lane;
  return sum;
}

BERTH_CLONES void adamw(float* __restrict p, const float* __restrict g, float* __restrict m, float* __restrict v, int64_t n,
                        const AdamWScalars& s) {
  const AdamWScalars c = s;
  for (int64_t i = 0; i < n; ++i) {
    const float grad = g[i] * c.grad_scale;
    const float first = c.beta1 * m[i] + (1 - c.beta1) * grad;
    const float second = c.beta2 * v[i] + (1 - c.beta2) * grad * grad;
    m[i] = first;
    v[i] = second;
    p[i] = p[i] * c.shrink - c.step_size * first / (std::sqrt(second) * c.inverse_sqrt_correction2 + c.epsilon);
  }
}

namespace {

inline __attribute__((always_inline)) float direction(float p, float m, float v, const LambScalars& s) {
  return m * s.inverse_correction1 / (std::sqrt(v) * s.inverse_sqrt_correction2 + s.epsilon) + s.decay * p;
}

}  // namespace

BERTH_CLONES LambSums lamb_moments(const float* __restrict p, const float* __restrict g, float* __restrict m, float* __restrict v,
                                   int64_t n, const LambScalars& s) {
  const LambScalars c = s;
  constexpr int kLanes = 16;
  double weights[kLanes] = {}, directions[kLanes] = {};
  const auto element = [&](int64_t i, int lane) __attribute__((always_inline)) {
    const float grad = g[i] * c.grad_scale;
    m[i] = c.beta1 * m[i] + (1 - c.beta1) * grad;
    v[i] = c.beta2 * v[i] + (1 - c.beta2) * grad * grad;
    const double way = direction(p[i], m[i], v[i], c);
    weights[lane] += static_cast<double>(p[i]) * static_cast<double>(p[i]);
    directions[lane] += way * way;
  };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int j = 0; j < kLanes; ++j) element(i + j, j);
  for (; i < n; ++i) element(i, 0);
  LambSums sums{};
  for (int j = 0; j < kLanes; ++j) sums.weights += weights[j], sums.directions += directions[j];
  return sums;
}

BERTH_CLONES void lamb(float* __restrict p, const float* __restrict m, const float* __restrict v, int64_t n, const LambScalars& s,
                       float way) {
  const LambScalars c = s;
  for (int64_t i = 0; i < n; ++i) p[i] -= way * direction(p[i], m[i], v[i], c);
}

BERTH_CLONES void average(float* __restrict average, const float* __restrict p, int64_t n, float weight) {
  for (int64_t i = 0; i < n; ++i) average[i] += weight * (p[i] - average[i]);
}

namespace {

inline __attribute__((always_inline)) uint32_t bits_of_bf16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  return std::isnan(x) ? 0x7fc0u : (bits + 0x7fffu + ((bits >> 16) & 1)) >> 16;
}

// rounded[i] = round(p[i]), past the caches: nobody reads it before the next step, and a cache would read first what is overwritten.
template <class T, class Round>
inline __attribute__((always_inline)) void round_all(T* __restrict rounded, const float* __restrict p, int64_t n, Round round) {
  int64_t i = 0;
#ifdef __x86_64__
  constexpr int64_t kBlock = 64;
  alignas(16) T block[kBlock];
  if (reinterpret_cast<uintptr_t>(rounded) % 16 == 0) {
    for (; i + kBlock <= n; i += kBlock) {
      for (int64_t j = 0; j < kBlock; ++j) block[j] = round(p[i + j]);
      const auto* from = reinterpret_cast<const __m128i*>(block);
      auto* to = reinterpret_cast<__m128i*>(rounded + i);
      for (int64_t j = 0; j < kBlock * static_cast<int64_t>(sizeof(T)) / 16; ++j)
        _mm_stream_si128(to + j, _mm_load_si128(from + j));
    }
    _mm_sfence();
  }
#endif
  for (; i < n; ++i) rounded[i] = round(p[i]);
}

}  // namespace

BERTH_CLONES void round_to_bf16(uint16_t* __restrict rounded, const float* __restrict p, int64_t n) {
  round_all(
      rounded, p, n, [](float x) __attribute__((always_inline)) { return static_cast<uint16_t>(bits_of_bf16(x)); });
}

BERTH_CLONES void round_to_bf16(float* __restrict rounded, const float* __restrict p, int64_t n) {
  round_all(
      rounded, p, n, [](float x) __attribute__((always_inline)) { return std::bit_cast<float>(bits_of_bf16(x) << 16); });
}

BERTH_CLONES void scale(float* p, int64_t n, float factor) {
  for (int64_t i = 0; i < n; ++i) p[i] *= factor;
}

}  // namespace berth::train::kernels
