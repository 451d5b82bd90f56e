// LAMB's update of flat fp32 buckets (trainer/optim/lamb.h): two passes over each bucket, between which the norms of each parameter are
// summed, in a fixed order. Bound by memory: a pass reads values and both moments, the first the gradients, too.
#pragma once

#include "trainer/kernels/cuda/adamw.h"

namespace berth::train::cuda {

// What a block works on: elements of one parameter, of its bucket.
struct LambSegment {
  int32_t begin, end, parameter;
};

// Moments of the bucket's `count` segments, and for each two partial sums of squares: of the weights, of the update's direction.
template <class T>
void lamb_moments(const AdamWBucket<T>& bucket, const LambSegment* segments, int64_t count, const kernels::AdamWNumbers& numbers,
                  const kernels::StepPlan* plan, double* partials, Stream stream);

// sums [parameters, 2] of the partial sums [*, 2] number ranges[p] to ranges[p + 1] of each parameter p.
void lamb_sums(const double* partials, const int32_t* ranges, int64_t parameters, double* sums, Stream stream);

// The update, given `sums` [ranks, parameters, 2], which are added up.
template <class T>
void lamb_update(const AdamWBucket<T>& bucket, const LambSegment* segments, int64_t count, const kernels::AdamWNumbers& numbers,
                 const kernels::StepPlan* plan, const double* sums, int32_t ranks, int32_t parameters, Stream stream);

}  // namespace berth::train::cuda
