// The optimizer's step on flat fp32 buckets, without a word to the host: sums of squares, the decision, the update. All pointers are
// the device's; arrays of floats begin at multiples of 16 bytes.
#pragma once

#include <cstdint>

#include "trainer/kernels/cpu/adamw_args.h"
#include "trainer/kernels/cpu/args.h"
#include "trainer/kernels/cuda/stream.h"

namespace berth::train::cuda {

// How many partial sums an array of n elements has.
int64_t partial_sums(int64_t n);
// partials [partial_sums(n)] = sums of squares of parts of x [n], in double, in an order that depends on n alone.
void sum_squares(const float* x, int64_t n, double* partials, Stream stream);
// partials [partial_sums(n)], whose sum mod 2^64 is that of w[i] (2 i + 1) over the 64-bit words w of x: a hash
// (trainer/run/replicas.h). n: even.
void sum_bits(const float* x, int64_t n, uint64_t* partials, Stream stream);

// The norm out of all arrays' partial sums, in their order, and, with loss [1], whether the step is finite; if so, one update more, and
// the numbers to make it with. Gradients are scaled as the loss was, `loss` is not. `plan` keeps `updates` and `loss_scale` from step
// to step.
void decide_step(const double* partials, int64_t count, const float* loss, const kernels::AdamWNumbers& numbers,
                 kernels::StepPlan* plan, Stream stream);

// A bucket of n elements. The element i does what flags[i / group] says.
template <class T>
struct AdamWBucket {
  float* values;
  const float* grads;
  float *first, *second;  // moments
  T* copy;                // of the values in the compute type, written along; may be null
  int64_t n;              // below 2^31
  const uint8_t* flags;   // [ceil(n / group)]
  int64_t group;
  float* average = nullptr;  // exponential moving average of the values, updated along; may be null
};

// The update that `plan` describes; nothing if the step is not finite. T: Bf16 or Fp16.
template <class T>
void adamw(const AdamWBucket<T>& bucket, const kernels::AdamWNumbers& numbers, const kernels::StepPlan* plan, Stream stream);

}  // namespace berth::train::cuda
