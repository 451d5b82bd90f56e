// The matrix products of a linear layer y = x W^T + b, W [out, in], all of one type. (For gradients of parameters: Kernels.)
#pragma once

#include "trainer/torch.h"

namespace berth::train {

// x [N, in], weight [out, in], bias [out] -> [N, out].
at::Tensor linear_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// dx (+)= dy weight; dy [N, out] -> dx [N, in].
void linear_backward_input(const at::Tensor& dy, const at::Tensor& weight, const at::Tensor& dx, bool accumulate);

}  // namespace berth::train
