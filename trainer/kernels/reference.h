// The operations of a BERT layer in plain differentiable ATen, on the CPU: what the kernels are tested against. Statistics and
// dropout are fp32; results have the type of the inputs.
#pragma once

#include "trainer/kernels/ops.h"

namespace berth::train {

// softmax(q k^T / sqrt(D)) v within each sample and head; q [T or B, H], k, v [T, H] -> [T or B, H].
at::Tensor attention_reference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Segments& segments,
                               const Dropout& dropout);

// LayerNorm(dropout(x) + residual), [N, H].
at::Tensor add_norm_reference(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& gamma, const at::Tensor& beta,
                              double eps, const Dropout& dropout, const RowIds& rows);

// dropout(LayerNorm(x)), [N, H].
at::Tensor norm_reference(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta, double eps,
                          const Dropout& dropout, const RowIds& rows);

at::Tensor activation_reference(const at::Tensor& x, Activation activation);

// See Kernels; what the CPU runs, too.
at::Tensor pool_tokens_reference(const at::Tensor& x, const at::Tensor& cu_seqlens, Pooling pooling);
at::Tensor cross_entropy_sum_reference(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& weights,
                                       int64_t ignored, double smoothing);

at::Tensor dropout_reference(const at::Tensor& x, const Dropout& dropout, const RowIds& rows);  // [N, H]

}  // namespace berth::train
