// The operations of a BERT step on tensors, by device: what the model calls, and what each device has a Kernels for.
//
// Rows are kept in the compute type (fp32, or bf16 or fp16 where the device has it); everything is computed in fp32. Parameters of
// LayerNorm and their gradients are fp32. Gradients of parameters are added to; an undefined one (of a frozen parameter) is left
// out. The same inputs give the same bits. reference.h has the same operations in plain ATen.
#pragma once

#include <utility>

#include "trainer/kernels/activation.h"
#include "trainer/kernels/dropout.h"
#include "trainer/kernels/pooling.h"
#include "trainer/torch.h"

namespace berth::train {

// What attention needs to know of a packed batch of B sequences.
struct Segments {
  at::Tensor cu_seqlens;  // [B + 1] int32
  at::Tensor samples;     // [B] int64, their ids
  int64_t max_seqlen = 0;
  int64_t heads = 1;
  bool first_query_only = false;  // queries are those of each sequence's first token: [B, H] instead of [T, H]
};

// What backward needs of LayerNorm's forward pass.
struct NormState {
  at::Tensor normalized;  // [N, H], compute type
  at::Tensor rstd;        // [N] fp32
};

// Which row of a table each of N rows belongs to.
struct TableRows {
  at::Tensor ids;    // [N] int32, checked by the caller
  at::Tensor order;  // [N] int32: 0 to N - 1 sorted by id, rows of one id ascending, for devices that add those up together;
                     // undefined on the CPU
};

struct EmbeddingTables {
  at::Tensor words, positions, types;  // [*, H] fp32; types may be undefined, of no segments
  TableRows word_rows, position_rows, type_rows;
};

class Kernels {
 public:
  virtual ~Kernels() = default;

  // softmax(q k^T / sqrt(D)) v within each sequence and head; q [T or B, H], k, v [T, H], rows may be strided -> [T or B, H]. `kept`
  // is what the device's backward pass wants of it.
  virtual at::Tensor attention_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Segments& segments,
                                       const Dropout& dropout, at::Tensor& kept) const = 0;
  // Writes dq, dk, dv, shaped like q, k, v; rows may be strided. `out` is what the forward pass returned.
  virtual void attention_backward(const at::Tensor& d_out, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                  const at::Tensor& out, const at::Tensor& kept, const Segments& segments, const Dropout& dropout,
                                  const at::Tensor& dq, const at::Tensor& dk, const at::Tensor& dv) const = 0;

  // LayerNorm(dropout(x) + residual), [N, H]; gamma and beta [H] fp32.
  virtual at::Tensor add_norm_forward(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& gamma,
                                      const at::Tensor& beta, double eps, const Dropout& dropout, const RowIds& rows,
                                      NormState& state) const = 0;
  // Adds to gamma_grad, beta_grad and, for the bias of the linear layer that made x, the sums of dx's columns to bias_grad, [H]
  // fp32 each; returns the gradients of x and of the residual, which may be one tensor without dropout.
  virtual std::pair<at::Tensor, at::Tensor> add_norm_backward(const at::Tensor& d_out, const NormState& state,
                                                              const at::Tensor& gamma, const Dropout& dropout, const RowIds& rows,
                                                              const at::Tensor& gamma_grad, const at::Tensor& beta_grad,
                                                              const at::Tensor& bias_grad) const = 0;

  // dropout(LayerNorm(words + positions + types)), [N, H] in `type`.
  virtual at::Tensor embed_forward(const EmbeddingTables& tables, const at::Tensor& gamma, const at::Tensor& beta, double eps,
                                   const Dropout& dropout, const RowIds& rows, at::ScalarType type, NormState& state) const = 0;
  // The gradient of the sum of table rows, [N, H] fp32.
  virtual at::Tensor embed_backward(const at::Tensor& d_out, const NormState& state, const at::Tensor& gamma,
                                    const Dropout& dropout, const RowIds& rows, const at::Tensor& gamma_grad,
                                    const at::Tensor& beta_grad) const = 0;
  // grad[rows.ids[r]] += d[r], but not where that id is `skipped`; d [N, H] and grad [V, H] fp32. Touches only those rows.
  virtual void add_rows(const at::Tensor& d, const TableRows& rows, int64_t skipped, const at::Tensor& grad) const = 0;

  // f(x); x, contiguous, becomes what the backward pass wants of it.
  virtual at::Tensor activation_forward(const at::Tensor& x, Activation activation) const = 0;
  // The gradient of x; adds the sums of its columns to bias_grad [columns] fp32.
  virtual at::Tensor activation_backward(const at::Tensor& d_out, const at::Tensor& kept, Activation activation,
                                         const at::Tensor& bias_grad) const = 0;

  // [N, H]; also its own backward.
  virtual at::Tensor dropout_rows(const at::Tensor& x, const Dropout& dropout, const RowIds& rows) const = 0;

  // sums[c] += sum of x's column c; x [N, C], rows may be strided, sums [C] fp32.
  virtual void add_column_sums(const at::Tensor& x, const at::Tensor& sums) const = 0;

  // The type in which weight and bias are given to the products of activations in `type`: the same, or kFloat for values that are rounded to it,
  // where the device multiplies none of that type.
  virtual at::ScalarType weight_type(at::ScalarType type) const { return type; }
  // The products of a linear layer y = x W^T + b; x [N, in], y [N, out], of one type, weight [out, in] and bias [out] of its weight_type; rows may
  // be strided. Forward gives y; backward makes dx (+)= dy W and, for the weight, grad (+)= dy^T x, grad [out, in] fp32. By ATen, unless a
  // device has its own.
  virtual at::Tensor linear_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) const;
  virtual void linear_backward_input(const at::Tensor& dy, const at::Tensor& weight, const at::Tensor& dx, bool accumulate) const;
  virtual void linear_backward_weight(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& grad, bool accumulate) const;

  // A row for each sample out of its tokens' rows, x [T, H] -> [B, H], differentiable; cu_seqlens [B + 1] int32. Of equal greatest ones
  // the first has the gradient.
  virtual at::Tensor pool_tokens(const at::Tensor& x, const at::Tensor& cu_seqlens, Pooling pooling) const = 0;

  // Sum over rows of the cross entropy of logits [N, C] and labels [N] int64, fp32 scalar, differentiable. Rows labelled `ignored`
  // take no part. With weights w [C] fp32 (undefined: 1 each) and smoothing s, a row of label y has the loss
  // -(1 - s) * w[y] * log p[y] - s / C * sum over c of w[c] * log p[c], as torch.nn.CrossEntropyLoss.
  virtual at::Tensor cross_entropy_sum(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& weights,
                                       int64_t ignored, double smoothing) const = 0;
};

// Those of the tensor's device. Throws Error(kInternal) if this program has none.
const Kernels& kernels_of(const at::Tensor& tensor);
// To be called before the first use; `kernels` must live as long as the program.
void register_kernels(at::DeviceType device, const Kernels& kernels);

// Where packed rows go in a padded [B, width] grid: row r of sample b to b * width + r. lengths [B] int64, of `rows` in all ->
// [rows] int64. No device is waited for.
at::Tensor padded_places(const at::Tensor& lengths, int64_t width, int64_t rows);

}  // namespace berth::train
