// The optimizer's kernels (trainer/kernels/cuda/adamw.h) on tensors.
#pragma once

#include "trainer/kernels/cuda/stream.h"
#include "trainer/kernels/optimizer.h"

namespace berth::train::cuda {

class CudaOptimizer final : public OptimizerKernels {
 public:
  // `current_stream`: where work on a device goes.
  explicit CudaOptimizer(Stream (*current_stream)(at::Device)) : current_stream_(current_stream) {}

  int64_t partial_sums(int64_t n) const override;
  void sum_squares(const at::Tensor& x, const at::Tensor& partials) const override;
  void decide(const at::Tensor& partials, const at::Tensor& loss, const kernels::AdamWNumbers& numbers,
              const at::Tensor& scalars) const override;
  void update(const Bucket& bucket, const kernels::AdamWNumbers& numbers, const at::Tensor& scalars) const override;

 private:
  Stream (*current_stream_)(at::Device);
};

}  // namespace berth::train::cuda
