// The products of linear layers whose rows are bf16, summed in fp32 and rounded once, by oneDNN's micro-kernels (brgemm) as libtorch exports them
// (ATen/native/CPUBlas.h), with AVX512_BF16 or AMX.
//
// at::mm takes the same instructions, but spends up to a fifth of a small product on packing its factors, and of bf16 factors it makes no fp32
// result: a weight's gradient would be rounded, written, read and widened on its way to where it is added.
#pragma once

#include "trainer/kernels/cpu/table.h"
#include "trainer/torch.h"

namespace berth::train::bf16 {

// Whether this CPU and this libtorch have them: tried once.
bool available();

// Whether a product with these is worth packing, and can be: weight [out, in].
bool takes(const at::Tensor& weight);

// As Kernels' functions of these names; every tensor bf16 but grad, which is fp32; rows may be strided. The result does not depend on the
// number of threads, and a row's not on the others'.
at::Tensor linear_forward(const cpu::Table& table, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
void linear_backward_input(const cpu::Table& table, const at::Tensor& dy, const at::Tensor& weight, const at::Tensor& dx,
                           bool accumulate);
void linear_backward_weight(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& grad, bool accumulate);

}  // namespace berth::train::bf16
