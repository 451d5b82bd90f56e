// The operations of a BERT layer in plain differentiable ATen: what the CPU kernels are tested against, and what other devices
// run. Statistics and dropout are fp32; results have the type of the inputs.
#pragma once

#include "trainer/kernels/activation.h"
#include "trainer/kernels/dropout.h"
#include "trainer/torch.h"

namespace berth::train {

// What attention needs to know of a packed batch of B samples.
struct Segments {
  at::Tensor cu_seqlens;  // [B + 1] int32
  at::Tensor samples;     // [B] int64, sample ids
  int64_t max_seqlen = 0;
  int64_t heads = 1;
  bool first_query_only = false;  // queries are those of each sample's first token: [B, H] instead of [T, H]
};

// Where packed rows go in a padded [B, width] grid: row r of sample b to b * width + r. lengths [B] int64, of
// `rows` in all -> [rows] int64. No device is waited for.
at::Tensor padded_places(const at::Tensor& lengths, int64_t width, int64_t rows);

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

at::Tensor dropout_reference(const at::Tensor& x, const Dropout& dropout, const RowIds& rows);  // [N, H]

}  // namespace berth::train
