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
  void sum_bits(const at::Tensor& x, const at::Tensor& partials) const override;
  void decide(const at::Tensor& partials, const at::Tensor& loss, const kernels::AdamWNumbers& numbers,
              const at::Tensor& plan) const override;
  void update(const Bucket& bucket, const kernels::AdamWNumbers& numbers, const at::Tensor& plan) const override;
  void lamb_moments(const Bucket& bucket, const at::Tensor& segments, const kernels::AdamWNumbers& numbers,
                    const at::Tensor& plan, const at::Tensor& partials) const override;
  void lamb_sums(const at::Tensor& partials, const at::Tensor& ranges, const at::Tensor& sums) const override;
  void lamb_update(const Bucket& bucket, const at::Tensor& segments, const at::Tensor& sums, const kernels::AdamWNumbers& numbers,
                   const at::Tensor& plan) const override;

 private:
  Stream (*current_stream_)(at::Device);
};

}  // namespace berth::train::cuda
