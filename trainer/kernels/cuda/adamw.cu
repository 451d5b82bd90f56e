#include <cmath>

#include "trainer/kernels/cuda/adamw.h"
#include "trainer/kernels/cuda/device.cuh"

namespace berth::train::cuda {

using kernels::AdamWNumbers;
using kernels::kDecays;
using kernels::kHasMoments;
using kernels::StepScalars;

namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int64_t kPart = 16384;  // elements of a partial sum: fixed, so that sums are the same on every GPU

// The sum over the block, in thread 0.
__device__ double block_total(double x) {
  __shared__ double parts[kWarps];
  BERTH_UNROLL
  for (int distance = 16; distance > 0; distance /= 2) x += __shfl_xor_sync(kAllLanes, x, distance);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  if (threadIdx.x == 0)
    for (int i = 1; i < kWarps; ++i) x += parts[i];
  return x;
}

__device__ bool is_finite(double x) { return x - x == 0; }

__device__ void add_square(double& sum, float x) { sum += static_cast<double>(x) * static_cast<double>(x); }

// In double: fp32 would be as good for the norm, but would overflow where the CPU's sum does not.
__global__ void __launch_bounds__(kThreads) sum_squares_kernel(const float* x, int64_t n, double* partials) {
  const int64_t begin = blockIdx.x * kPart, end = begin + kPart < n ? begin + kPart : n;
  double sum = 0;
  for (int64_t i = begin + 4 * threadIdx.x; i < end; i += 4 * kThreads) {
    if (i + 4 <= end) {
      const Numbers<float, 4> four = load_vector<4>(x + i);
      BERTH_UNROLL
      for (int j = 0; j < 4; ++j) add_square(sum, four.at[j]);
    } else {
      for (int64_t j = i; j < end; ++j) add_square(sum, x[j]);
    }
  }
  sum = block_total(sum);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

// After a step whose loss is finite.
__device__ void adapt(kernels::LossScale& s, bool updated, int32_t growth_interval) {
  if (updated && ++s.updates < growth_interval) return;
  const float next = s.scale * (updated ? 2.f : 0.5f);
  if (is_finite(next) && next >= 1) s.scale = next;
  s.updates = 0;
}

__global__ void __launch_bounds__(kThreads)
    decide_kernel(const double* partials, int64_t count, const float* loss, AdamWNumbers numbers, StepScalars* scalars) {
  double squares = 0;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) squares += partials[i];
  squares = block_total(squares);
  if (threadIdx.x != 0) return;
  StepScalars s = *scalars;
  const bool scaled = numbers.scale_growth_interval > 0;
  const double scale = scaled ? s.loss_scale.scale : 1;
  s.norm = sqrt(squares) / scale;
  s.loss = loss[0];
  const bool finite = is_finite(s.norm) && is_finite(s.loss);
  s.overflowed = scale > 1 && !finite && is_finite(s.loss);
  if (scaled && is_finite(s.loss)) adapt(s.loss_scale, finite, numbers.scale_growth_interval);
  s.finite = !s.halted && finite;
  s.halted = s.halted || (numbers.halts && !finite && !s.overflowed);
  if (s.finite) {
    ++s.updates;
    const auto t = static_cast<double>(s.updates);
    const double limit = numbers.max_grad_norm, factor = limit / (s.norm + 1e-6);
    s.grad_scale = static_cast<float>((limit > 0 && factor < 1 ? factor : 1.0) / scale);
    s.shrink = static_cast<float>(1 - numbers.lr * numbers.weight_decay);
    s.step_size = static_cast<float>(numbers.lr / (1 - pow(numbers.beta1, t)));
    s.inverse_sqrt_correction2 = static_cast<float>(1 / sqrt(1 - pow(numbers.beta2, t)));
  }
  *scalars = s;
}

struct Betas {
  float beta1, beta2, epsilon;
};

// One element with moments, g being clipped. Written out in fused multiply-adds, of which no compiler has a choice: the same bits on
// every GPU, and those of a CPU that has them (trainer/optim/adamw_kernels.cc).
__device__ void update(float& p, float g, float& m, float& v, float shrink, const Betas& betas, const StepScalars& s) {
  m = fmaf(m, betas.beta1, (1 - betas.beta1) * g);
  v = fmaf(v, betas.beta2, (1 - betas.beta2) * g * g);
  p = fmaf(p, shrink, -(s.step_size * m / fmaf(sqrtf(v), s.inverse_sqrt_correction2, betas.epsilon)));
}

// A thread has four neighbouring elements: 16 bytes of each array. Bound by memory: 30 bytes an element with its copy, 4 divisions and
// square roots a thread beside them.
template <class T>
__global__ void __launch_bounds__(kThreads) adamw_kernel(AdamWBucket<T> bucket, Betas betas, const StepScalars* scalars) {
  const StepScalars s = *scalars;
  if (!s.finite) return;
  const auto begin = static_cast<uint32_t>(4 * (blockIdx.x * int64_t{kThreads} + threadIdx.x));
  const auto n = static_cast<uint32_t>(bucket.n), group = static_cast<uint32_t>(bucket.group);
  if (begin >= n) return;
  const auto shrink_of = [&](uint8_t flag) { return flag & kDecays ? s.shrink : 1.f; };

  const uint8_t flag = bucket.flags[begin / group];
  if (n - begin < 4 || (begin + 3) / group != begin / group) {  // the end, and where groups meet
    for (uint32_t i = begin; i < n && i < begin + 4; ++i) {
      const uint8_t own = bucket.flags[i / group];
      if (own & kHasMoments)
        update(bucket.values[i], bucket.grads[i] * s.grad_scale, bucket.first[i], bucket.second[i], shrink_of(own), betas, s);
      else
        bucket.values[i] *= shrink_of(own);
      if (bucket.copy != nullptr) from_float(bucket.values[i], bucket.copy[i]);
    }
    return;
  }
  if (!(flag & kHasMoments) && shrink_of(flag) == 1) return;

  Numbers<float, 4> p = load_vector<4>(bucket.values + begin);
  if (flag & kHasMoments) {
    const Numbers<float, 4> g = load_vector<4>(bucket.grads + begin);
    Numbers<float, 4> m = load_vector<4>(bucket.first + begin), v = load_vector<4>(bucket.second + begin);
    BERTH_UNROLL
    for (int j = 0; j < 4; ++j) update(p.at[j], g.at[j] * s.grad_scale, m.at[j], v.at[j], shrink_of(flag), betas, s);
    store_vector(bucket.first + begin, m);
    store_vector(bucket.second + begin, v);
  } else {
    BERTH_UNROLL
    for (int j = 0; j < 4; ++j) p.at[j] *= shrink_of(flag);
  }
  store_vector(bucket.values + begin, p);
  if (bucket.copy == nullptr) return;
  Numbers<T, 4> copy;
  BERTH_UNROLL
  for (int j = 0; j < 4; ++j) from_float(p.at[j], copy.at[j]);
  store_vector(bucket.copy + begin, copy);
}

dim3 blocks_for(int64_t n, int64_t elements) { return {static_cast<unsigned>((n + elements - 1) / elements)}; }

}  // namespace

int64_t partial_sums(int64_t n) { return (n + kPart - 1) / kPart; }

void sum_squares(const float* x, int64_t n, double* partials, Stream stream) {
  if (n > 0) launch(sum_squares_kernel, blocks_for(n, kPart), kThreads, 0, stream, x, n, partials);
}

void decide_step(const double* partials, int64_t count, const float* loss, const AdamWNumbers& numbers, StepScalars* scalars,
                 Stream stream) {
  launch(decide_kernel, 1, kThreads, 0, stream, partials, count, loss, numbers, scalars);
}

template <class T>
void adamw(const AdamWBucket<T>& bucket, const AdamWNumbers& numbers, const StepScalars* scalars, Stream stream) {
  check_internal(bucket.n < int64_t{1} << 31 && bucket.group > 0, "a bucket of ", bucket.n, " elements in groups of ",
                 bucket.group);
  if (bucket.n == 0) return;
  const Betas betas{static_cast<float>(numbers.beta1), static_cast<float>(numbers.beta2), static_cast<float>(numbers.epsilon)};
  launch(adamw_kernel<T>, blocks_for(bucket.n, 4 * kThreads), kThreads, 0, stream, bucket, betas, scalars);
}

template void adamw(const AdamWBucket<Bf16>&, const AdamWNumbers&, const StepScalars*, Stream);
template void adamw(const AdamWBucket<Fp16>&, const AdamWNumbers&, const StepScalars*, Stream);

}  // namespace berth::train::cuda
