// The products of linear layers by cuBLASLt, called as little as possible: ATen asks its heuristics before each product, which on an H200
// costs the host more than the launch.
#pragma once

#include <memory>

#include "trainer/kernels/gpu/kernels.h"

namespace berth::train::cuda {

// An algorithm is chosen by a product's shape alone, the number of tokens rounded up to one of 8 to 16 sizes an octave, so that the same
// shapes give the same bits in any run of the same cuBLASLt on the same GPU model, whatever ran before. Products of one stream share a
// workspace; they may be called from any thread. Throws an Error (kInternal) if cuBLASLt has no algorithm for a shape.
class CublasLtKernels final : public CudaKernels {
 public:
  explicit CublasLtKernels(Stream (*current_stream)(at::Device));
  ~CublasLtKernels() override;

  at::Tensor linear_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) const override;
  void linear_backward_input(const at::Tensor& dy, const at::Tensor& weight, const at::Tensor& dx,
                             bool accumulate) const override;
  void linear_backward_weight(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& grad, bool accumulate) const override;

 private:
  class Products;
  std::unique_ptr<Products> products_;
};

}  // namespace berth::train::cuda
