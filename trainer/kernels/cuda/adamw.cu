#include <cmath>

#include "trainer/kernels/cuda/adamw.cuh"

namespace berth::train::cuda {

using kernels::AdamWNumbers;
using kernels::kDecays;
using kernels::kHasMoments;
using kernels::kMostRates;
using kernels::kRateShift;
using kernels::StepPlan;
using kernels::StepRate;
using kernels::StepScalars;

namespace {

constexpr int kThreads = 256;
constexpr int64_t kPart = 16384;  // elements of a partial sum: fixed, so that sums are the same on every GPU

__device__ bool is_finite(double x) { return x - x == 0; }

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
  sum = block_total<kThreads>(sum);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads) sum_bits_kernel(const float* x, int64_t n, uint64_t* partials) {
  const int64_t begin = blockIdx.x * kPart, end = begin + kPart < n ? begin + kPart : n;
  uint64_t sum = 0;
  const auto add = [&](float low, float high, int64_t i) {
    sum += (uint64_t{bits_of(high)} << 32 | bits_of(low)) * static_cast<uint64_t>(i + 1);
  };
  for (int64_t i = begin + 4 * threadIdx.x; i < end; i += 4 * kThreads) {
    if (i + 4 <= end) {
      const Numbers<float, 4> four = load_vector<4>(x + i);
      add(four.at[0], four.at[1], i);
      add(four.at[2], four.at[3], i + 2);
    } else {
      add(x[i], x[i + 1], i);
    }
  }
  sum = block_total<kThreads>(sum);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

// After a step whose loss is finite.
__device__ void adapt(kernels::LossScale& s, bool updated, int32_t growth_interval) {
  if (updated && ++s.updates < growth_interval) return;
  const float next = s.scale * (updated ? 2.f : 0.5f);
  if (is_finite(next) && next >= 1) s.scale = next;
  s.updates = 0;
}

// `norm`: of the gradient, scaled as the loss was.
__device__ void decide(double norm, float loss, const AdamWNumbers& numbers, StepScalars& s) {
  const bool scaled = numbers.scale_growth_interval > 0;
  const double scale = scaled ? s.loss_scale.scale : 1;
  s.norm = norm / scale;
  s.loss = loss;
  const bool finite = is_finite(s.norm) && is_finite(s.loss);
  s.overflowed = scale > 1 && !finite && is_finite(s.loss);
  if (scaled && is_finite(s.loss)) adapt(s.loss_scale, finite, numbers.scale_growth_interval);
  s.finite = !s.halted && finite;
  s.halted = s.halted || (numbers.halts && !finite && !s.overflowed);
  if (!s.finite) return;
  ++s.updates;
  const double limit = numbers.max_grad_norm, factor = limit / (s.norm + 1e-6);
  s.grad_scale = static_cast<float>((limit > 0 && factor < 1 ? factor : 1.0) / scale);
  s.inverse_sqrt_correction2 = static_cast<float>(1 / sqrt(1 - pow(numbers.beta2, static_cast<double>(s.updates))));
}

__global__ void __launch_bounds__(kThreads)
    decide_kernel(const double* partials, int64_t count, const float* loss, AdamWNumbers numbers, StepPlan* plan) {
  static_assert(kMostRates <= kThreads);
  __shared__ double correction1;
  double squares = 0;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) squares += partials[i];
  squares = block_total<kThreads>(squares);
  if (threadIdx.x == 0) {
    StepScalars s = *plan;
    decide(sqrt(squares), loss[0], numbers, s);
    *static_cast<StepScalars*>(plan) = s;
    correction1 = 1 - pow(numbers.beta1, static_cast<double>(s.updates));
    plan->inverse_correction1 = static_cast<float>(1 / correction1);
  }
  __syncthreads();
  if (threadIdx.x >= kMostRates) return;
  const double lr = numbers.rates[threadIdx.x];
  plan->rates[threadIdx.x] = {static_cast<float>(1 - lr * numbers.weight_decay), static_cast<float>(lr / correction1),
                              static_cast<float>(lr)};
}

// One element with moments, g being clipped.
__device__ void update(float& p, float g, float& m, float& v, const StepRate& rate, const Factors& factors,
                       const StepScalars& s) {
  update_moments(g, m, v, factors);
  p = fmaf(p, rate.shrink, -(rate.step_size * m / fmaf(sqrtf(v), s.inverse_sqrt_correction2, factors.epsilon)));
}

// A thread has four neighbouring elements: 16 bytes of each array. Bound by memory: 30 bytes an element with its copy, 4 divisions and
// square roots a thread beside them.
template <class T>
__global__ void __launch_bounds__(kThreads) adamw_kernel(AdamWBucket<T> bucket, Factors factors, const StepPlan* plan) {
  const StepScalars s = *plan;
  if (!s.finite) return;
  const auto begin = static_cast<uint32_t>(4 * (blockIdx.x * int64_t{kThreads} + threadIdx.x));
  const auto n = static_cast<uint32_t>(bucket.n), group = static_cast<uint32_t>(bucket.group);
  if (begin >= n) return;
  const auto rate_of = [&](uint8_t flag) {
    StepRate rate = plan->rates[flag >> kRateShift];
    if (!(flag & kDecays)) rate.shrink = 1;
    return rate;
  };

  const uint8_t flag = bucket.flags[begin / group];
  if (n - begin < 4 || (begin + 3) / group != begin / group) {  // the end, and where groups meet
    for (uint32_t i = begin; i < n && i < begin + 4; ++i) {
      const uint8_t own = bucket.flags[i / group];
      const StepRate rate = rate_of(own);
      if (own & kHasMoments)
        update(bucket.values[i], bucket.grads[i] * s.grad_scale, bucket.first[i], bucket.second[i], rate, factors, s);
      else
        bucket.values[i] *= rate.shrink;
      if (bucket.average != nullptr) bucket.average[i] = averaged(bucket.average[i], bucket.values[i], factors);
      if (bucket.copy != nullptr) from_float(bucket.values[i], bucket.copy[i]);
    }
    return;
  }
  const StepRate rate = rate_of(flag);
  if (!(flag & kHasMoments) && rate.shrink == 1) return;

  Numbers<float, 4> p = load_vector<4>(bucket.values + begin);
  if (flag & kHasMoments) {
    const Numbers<float, 4> g = load_vector<4>(bucket.grads + begin);
    Numbers<float, 4> m = load_vector<4>(bucket.first + begin), v = load_vector<4>(bucket.second + begin);
    BERTH_UNROLL
    for (int j = 0; j < 4; ++j) update(p.at[j], g.at[j] * s.grad_scale, m.at[j], v.at[j], rate, factors, s);
    store_vector(bucket.first + begin, m);
    store_vector(bucket.second + begin, v);
  } else {
    BERTH_UNROLL
    for (int j = 0; j < 4; ++j) p.at[j] *= rate.shrink;
  }
  store_vector(bucket.values + begin, p);
  if (bucket.average != nullptr) {
    Numbers<float, 4> average = load_vector<4>(bucket.average + begin);
    BERTH_UNROLL
    for (int j = 0; j < 4; ++j) average.at[j] = averaged(average.at[j], p.at[j], factors);
    store_vector(bucket.average + begin, average);
  }
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

void sum_bits(const float* x, int64_t n, uint64_t* partials, Stream stream) {
  if (n > 0) launch(sum_bits_kernel, blocks_for(n, kPart), kThreads, 0, stream, x, n, partials);
}

void decide_step(const double* partials, int64_t count, const float* loss, const AdamWNumbers& numbers, StepPlan* plan,
                 Stream stream) {
  launch(decide_kernel, 1, kThreads, 0, stream, partials, count, loss, numbers, plan);
}

template <class T>
void adamw(const AdamWBucket<T>& bucket, const AdamWNumbers& numbers, const StepPlan* plan, Stream stream) {
  check_internal(bucket.n < int64_t{1} << 31 && bucket.group > 0, "a bucket of ", bucket.n, " elements in groups of ",
                 bucket.group);
  if (bucket.n == 0) return;
  launch(adamw_kernel<T>, blocks_for(bucket.n, 4 * kThreads), kThreads, 0, stream, bucket, Factors(numbers), plan);
}

template void adamw(const AdamWBucket<Bf16>&, const AdamWNumbers&, const StepPlan*, Stream);
template void adamw(const AdamWBucket<Fp16>&, const AdamWNumbers&, const StepPlan*, Stream);

}  // namespace berth::train::cuda
