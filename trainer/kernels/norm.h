// LayerNorm with the dropout and the sum before or after it, on the CPU, in one pass over the rows each way. See reference.h for
// the operations.
#pragma once

#include "trainer/kernels/dispatch.h"

namespace berth::train {

// What backward needs of the forward pass.
struct NormState {
  at::Tensor normalized;  // [N, H], compute type
  at::Tensor rstd;        // [N] fp32
};

// LayerNorm(dropout(x) + residual), [N, H]; gamma and beta [H] fp32.
at::Tensor add_norm_forward(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& gamma, const at::Tensor& beta,
                            double eps, const Dropout& dropout, const RowIds& rows, NormState& state,
                            const cpu::Table& table = cpu::best_table());
// Adds to gamma_grad and beta_grad [H] (if defined); returns the gradients of x and of the residual, which are one tensor without
// dropout.
std::pair<at::Tensor, at::Tensor> add_norm_backward(const at::Tensor& d_out, const NormState& state, const at::Tensor& gamma,
                                                    const Dropout& dropout, const RowIds& rows, const at::Tensor& gamma_grad,
                                                    const at::Tensor& beta_grad, const cpu::Table& table = cpu::best_table());

struct EmbeddingTables {
  at::Tensor words, positions, types;           // [*, H] fp32
  at::Tensor word_ids, position_ids, type_ids;  // [N] int32, checked by the caller
};
// dropout(LayerNorm(words + positions + types)), [N, H] in `type`.
at::Tensor embed_forward(const EmbeddingTables& tables, const at::Tensor& gamma, const at::Tensor& beta, double eps,
                         const Dropout& dropout, const RowIds& rows, at::ScalarType type, NormState& state,
                         const cpu::Table& table = cpu::best_table());
// The gradient of the sum of table rows, [N, H] fp32.
at::Tensor embed_backward(const at::Tensor& d_out, const NormState& state, const at::Tensor& gamma, const Dropout& dropout,
                          const RowIds& rows, const at::Tensor& gamma_grad, const at::Tensor& beta_grad,
                          const cpu::Table& table = cpu::best_table());
// grad[ids[r]] += d[r], but not for ids[r] == skipped. Touches only those rows.
void scatter_rows(const at::Tensor& d, const at::Tensor& ids, int64_t skipped, const at::Tensor& grad,
                  const cpu::Table& table = cpu::best_table());

}  // namespace berth::train
