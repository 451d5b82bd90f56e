#include "trainer/optim/adamw_kernels.h"

#include <cmath>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
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

BERTH_CLONES void scale(float* p, int64_t n, float factor) {
  for (int64_t i = 0; i < n; ++i) p[i] *= factor;
}

}  // namespace berth::train::kernels
