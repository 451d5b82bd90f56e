#include "trainer/kernels/gemm.h"

#include "trainer/kernels/pointwise.h"

namespace berth::train {

at::Tensor linear_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::addmm(bias.to(x.scalar_type()), x, weight.t());
}

void linear_backward_input(const at::Tensor& dy, const at::Tensor& weight, const at::Tensor& dx, bool accumulate) {
  if (accumulate)
    dx.addmm_(dy, weight);
  else
    at::mm_out(const_cast<at::Tensor&>(dx), dy, weight);
}

void linear_backward_weight(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight_grad) {
  if (dy.scalar_type() == at::kFloat)
    weight_grad.addmm_(dy.t(), x);
  else
    weight_grad.add_(at::mm(dy.t(), x));
}

void linear_backward_bias(const at::Tensor& dy, const at::Tensor& bias_grad) {
  if (dy.is_cpu())
    add_column_sums(dy, bias_grad);
  else
    bias_grad.add_(dy.sum(0, false, at::kFloat));
}

}  // namespace berth::train
