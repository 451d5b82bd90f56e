// The three matrix products of a linear layer y = x W^T + b, W [out, in]. x and W share one type, fp32 or bf16; gradients of
// parameters are fp32 and are added to.
#pragma once

#include "trainer/torch.h"

namespace berth::train {

// x [N, in], weight [out, in], bias [out] fp32 -> [N, out], in x's type.
at::Tensor linear_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// dx (+)= dy weight; dy [N, out] -> dx [N, in].
void linear_backward_input(const at::Tensor& dy, const at::Tensor& weight, const at::Tensor& dx, bool accumulate);

// weight_grad += dy^T x, bias_grad += sum of dy's rows.
void linear_backward_weight(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight_grad);
void linear_backward_bias(const at::Tensor& dy, const at::Tensor& bias_grad);

}  // namespace berth::train
