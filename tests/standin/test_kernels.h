// Kernels for the stand-ins' own tests.
#pragma once

#include "trainer/kernels/cuda/stream.h"

namespace berth::standin {

// out[i] = in[i] + 1 for i < n, a block for every 32.
void add_one(const float* in, float* out, int n, train::cuda::Stream stream);
// As add_one, but every block also writes out[0].
void add_one_with_a_race(const float* in, float* out, int n, train::cuda::Stream stream);

}  // namespace berth::standin
