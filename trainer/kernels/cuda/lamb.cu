#include <cmath>

#include "trainer/kernels/cuda/adamw.cuh"
#include "trainer/kernels/cuda/lamb.h"

namespace berth::train::cuda {

using kernels::AdamWNumbers;
using kernels::kDecays;
using kernels::kHasMoments;
using kernels::kRateShift;
using kernels::StepPlan;

namespace {

constexpr int kThreads = 256;

// Of one element, before learning rate and trust ratio.
__device__ float direction(float p, float m, float v, float decay, const Factors& factors, const StepPlan& plan) {
  const float adam = m * plan.inverse_correction1 / fmaf(sqrtf(v), plan.inverse_sqrt_correction2, factors.epsilon);
  return fmaf(decay, p, adam);
}

template <class T>
__global__ void __launch_bounds__(kThreads) lamb_moments_kernel(AdamWBucket<T> bucket, const LambSegment* segments,
                                                                Factors factors, const StepPlan* plan, double* partials) {
  if (!plan->finite) return;
  const LambSegment segment = segments[blockIdx.x];
  double weights = 0, directions = 0;
  for (int32_t i = segment.begin + static_cast<int32_t>(threadIdx.x); i < segment.end; i += kThreads) {
    const uint8_t flag = bucket.flags[i / bucket.group];
    const float p = bucket.values[i], decay = flag & kDecays ? factors.weight_decay : 0;
    float m = 0, v = 0;
    if (flag & kHasMoments) {
      m = bucket.first[i], v = bucket.second[i];
      update_moments(bucket.grads[i] * plan->grad_scale, m, v, factors);
      bucket.first[i] = m, bucket.second[i] = v;
    }
    add_square(weights, p);
    add_square(directions, direction(p, m, v, decay, factors, *plan));
  }
  weights = block_total<kThreads>(weights);
  __syncthreads();
  directions = block_total<kThreads>(directions);
  if (threadIdx.x != 0) return;
  partials[2 * blockIdx.x] = weights;
  partials[2 * blockIdx.x + 1] = directions;
}

__global__ void __launch_bounds__(kThreads) lamb_sums_kernel(const double* partials, const int32_t* ranges, double* sums) {
  for (int which = 0; which < 2; ++which) {
    double sum = 0;
    for (int32_t i = ranges[blockIdx.x] + static_cast<int32_t>(threadIdx.x); i < ranges[blockIdx.x + 1]; i += kThreads)
      sum += partials[2 * i + which];
    sum = block_total<kThreads>(sum);
    if (threadIdx.x == 0) sums[2 * blockIdx.x + which] = sum;
    __syncthreads();
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    lamb_update_kernel(AdamWBucket<T> bucket, const LambSegment* segments, Factors factors, const StepPlan* plan,
                       const double* sums, int32_t ranks, int32_t parameters) {
  if (!plan->finite) return;
  const LambSegment segment = segments[blockIdx.x];
  __shared__ float trust_ratio;
  if (threadIdx.x == 0) {
    double weights = 0, directions = 0;
    for (int32_t rank = 0; rank < ranks; ++rank) {
      const int64_t at = 2 * (int64_t{rank} * parameters + segment.parameter);
      weights += sums[at], directions += sums[at + 1];
    }
    const bool adapts = bucket.flags[segment.begin / bucket.group] & kDecays && weights > 0 && directions > 0;
    trust_ratio = adapts ? static_cast<float>(sqrt(weights) / sqrt(directions)) : 1;
  }
  __syncthreads();
  for (int32_t i = segment.begin + static_cast<int32_t>(threadIdx.x); i < segment.end; i += kThreads) {
    const uint8_t flag = bucket.flags[i / bucket.group];
    const bool moves = flag & kHasMoments;
    const float decay = flag & kDecays ? factors.weight_decay : 0;
    if (!moves && decay == 0) continue;
    float p = bucket.values[i];
    const float way = direction(p, moves ? bucket.first[i] : 0, moves ? bucket.second[i] : 0, decay, factors, *plan);
    p = fmaf(-plan->rates[flag >> kRateShift].lr * trust_ratio, way, p);
    bucket.values[i] = p;
    if (bucket.average != nullptr) bucket.average[i] = averaged(bucket.average[i], p, factors);
    if (bucket.copy != nullptr) from_float(p, bucket.copy[i]);
  }
}

}  // namespace

template <class T>
void lamb_moments(const AdamWBucket<T>& bucket, const LambSegment* segments, int64_t count, const AdamWNumbers& numbers,
                  const StepPlan* plan, double* partials, Stream stream) {
  if (count > 0)
    launch(lamb_moments_kernel<T>, static_cast<unsigned>(count), kThreads, 0, stream, bucket, segments, Factors(numbers), plan,
           partials);
}

void lamb_sums(const double* partials, const int32_t* ranges, int64_t parameters, double* sums, Stream stream) {
  launch(lamb_sums_kernel, static_cast<unsigned>(parameters), kThreads, 0, stream, partials, ranges, sums);
}

template <class T>
void lamb_update(const AdamWBucket<T>& bucket, const LambSegment* segments, int64_t count, const AdamWNumbers& numbers,
                 const StepPlan* plan, const double* sums, int32_t ranks, int32_t parameters, Stream stream) {
  if (count > 0)
    launch(lamb_update_kernel<T>, static_cast<unsigned>(count), kThreads, 0, stream, bucket, segments, Factors(numbers), plan,
           sums, ranks, parameters);
}

template void lamb_moments(const AdamWBucket<Bf16>&, const LambSegment*, int64_t, const AdamWNumbers&, const StepPlan*, double*,
                           Stream);
template void lamb_moments(const AdamWBucket<Fp16>&, const LambSegment*, int64_t, const AdamWNumbers&, const StepPlan*, double*,
                           Stream);
template void lamb_update(const AdamWBucket<Bf16>&, const LambSegment*, int64_t, const AdamWNumbers&, const StepPlan*,
                          const double*, int32_t, int32_t, Stream);
template void lamb_update(const AdamWBucket<Fp16>&, const LambSegment*, int64_t, const AdamWNumbers&, const StepPlan*,
                          const double*, int32_t, int32_t, Stream);

}  // namespace berth::train::cuda
