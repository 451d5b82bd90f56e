// What the optimizers' kernels share.
#pragma once

#include "trainer/kernels/cuda/adamw.h"
#include "trainer/kernels/cuda/device.cuh"

namespace berth::train::cuda {

// The sum over the block, of kThreads threads, in thread 0. All threads are to have read the last one's.
template <int kThreads, class T>
__device__ T block_total(T x) {
  __shared__ T parts[kThreads / 32];
  BERTH_UNROLL
  for (int distance = 16; distance > 0; distance /= 2) x += __shfl_xor_sync(kAllLanes, x, distance);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  if (threadIdx.x == 0)
    for (int i = 1; i < kThreads / 32; ++i) x += parts[i];
  return x;
}

__device__ inline void add_square(double& sum, float x) { sum += static_cast<double>(x) * static_cast<double>(x); }

// What does not change from step to step. `average`: 1 - the decay of the averages.
struct Factors {
  float beta1, beta2, epsilon, weight_decay, average;

  explicit Factors(const kernels::AdamWNumbers& numbers)
      : beta1(static_cast<float>(numbers.beta1)),
        beta2(static_cast<float>(numbers.beta2)),
        epsilon(static_cast<float>(numbers.epsilon)),
        weight_decay(static_cast<float>(numbers.weight_decay)),
        average(static_cast<float>(1 - numbers.ema_decay)) {}
};

// Moments after one more gradient, which is clipped. Here and below in fused multiply-adds, of which no compiler has a choice: the same bits
// on every GPU, and those of a CPU that has them (trainer/optim/adamw_kernels.cc).
__device__ inline void update_moments(float g, float& m, float& v, const Factors& factors) {
  m = fmaf(m, factors.beta1, (1 - factors.beta1) * g);
  v = fmaf(v, factors.beta2, (1 - factors.beta2) * g * g);
}

__device__ inline float averaged(float average, float value, const Factors& factors) {
  return fmaf(factors.average, value - average, average);
}

}  // namespace berth::train::cuda
