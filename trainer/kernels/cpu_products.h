// The products of linear layers on x86 CPUs with AVX-512, summed in fp32 and rounded once, by oneDNN's micro-kernels (brgemm) as libtorch exports
// them (ATen/native/CPUBlas.h).
//
// In bf16, with AVX512_BF16 or AMX: at::mm takes the same instructions, but compiles, and keeps, a kernel of 0.7 MB for each number of rows, which is
// another one in each batch, and of bf16 factors it makes no fp32 result: a weight's gradient would be rounded on its way to where it is
// added. In fp32 where the CPU is not Intel's: at::mm goes to MKL, which there takes AVX2.
#pragma once

#include "trainer/kernels/cpu/table.h"
#include "trainer/torch.h"

namespace berth::train::products {

// Whether products of rows of this type (kFloat, kBFloat16) are made here: tried once.
bool available(at::ScalarType type);

// Whether a product of rows of this type with weight [out, in] can be made, and is worth it.
bool takes(const at::Tensor& weight, at::ScalarType type);

// As Kernels' functions of these names; every tensor of one of the two types but grad, which is fp32; rows may be strided. The result does not
// depend on the number of threads, and a row's not on the others'.
at::Tensor linear_forward(const cpu::Table& table, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
void linear_backward_input(const cpu::Table& table, const at::Tensor& dy, const at::Tensor& weight, const at::Tensor& dx,
                           bool accumulate);
void linear_backward_weight(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& grad, bool accumulate);

}  // namespace berth::train::products
