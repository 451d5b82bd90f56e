// Activations, plain dropout and column sums on the CPU.
#pragma once

#include "trainer/kernels/activation.h"
#include "trainer/kernels/dispatch.h"

namespace berth::train {

// Returns f(x) and overwrites x by f'(x); contiguous.
at::Tensor activation_forward(const at::Tensor& x_then_derivative, Activation activation,
                              const cpu::Table& table = cpu::best_table());
at::Tensor activation_backward(const at::Tensor& d_out, const at::Tensor& derivative,
                               const cpu::Table& table = cpu::best_table());

// [N, H]; also its own backward.
at::Tensor dropout_rows(const at::Tensor& x, const Dropout& dropout, const RowIds& rows,
                        const cpu::Table& table = cpu::best_table());

// sums[c] += sum of x's column c; x [N, C] of rows, sums [C] fp32.
void add_column_sums(const at::Tensor& x, const at::Tensor& sums, const cpu::Table& table = cpu::best_table());

}  // namespace berth::train
