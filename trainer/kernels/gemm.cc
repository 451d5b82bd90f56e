#include "trainer/kernels/gemm.h"

namespace berth::train {

at::Tensor linear_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::addmm(bias, x, weight.t());
}

void linear_backward_input(const at::Tensor& dy, const at::Tensor& weight, const at::Tensor& dx, bool accumulate) {
  if (accumulate)
    dx.addmm_(dy, weight);
  else
    at::mm_out(const_cast<at::Tensor&>(dx), dy, weight);
}

}  // namespace berth::train
