// The operations of trainer/kernels/ops.h by the CUDA kernels (trainer/kernels/cuda), on tensors.
#pragma once

#include "trainer/kernels/cuda/stream.h"
#include "trainer/kernels/ops.h"

namespace berth::train::cuda {

// Rows are fp32, bf16 or fp16. Products are ATen's (for GPUs: products.h). Attention takes heads of up to 64 elements; those of other sizes than 32 and 64 are padded.
class CudaKernels : public Kernels {
 public:
  // `current_stream`: where work on a device goes.
  explicit CudaKernels(Stream (*current_stream)(at::Device)) : current_stream_(current_stream) {}

  at::Tensor attention_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Segments& segments,
                               const Dropout& dropout, at::Tensor& kept) const override;
  void attention_backward(const at::Tensor& d_out, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const at::Tensor& out, const at::Tensor& kept, const Segments& segments, const Dropout& dropout,
                          const at::Tensor& dq, const at::Tensor& dk, const at::Tensor& dv) const override;
  at::Tensor add_norm_forward(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& gamma, const at::Tensor& beta,
                              double eps, const Dropout& dropout, const RowIds& rows, NormState& state) const override;
  std::pair<at::Tensor, at::Tensor> add_norm_backward(const at::Tensor& d_out, const NormState& state, const at::Tensor& gamma,
                                                      const Dropout& dropout, const RowIds& rows, const at::Tensor& gamma_grad,
                                                      const at::Tensor& beta_grad, const at::Tensor& bias_grad) const override;
  at::Tensor embed_forward(const EmbeddingTables& tables, const at::Tensor& gamma, const at::Tensor& beta, double eps,
                           const Dropout& dropout, const RowIds& rows, at::ScalarType type, NormState& state) const override;
  at::Tensor embed_backward(const at::Tensor& d_out, const NormState& state, const at::Tensor& gamma, const Dropout& dropout,
                            const RowIds& rows, const at::Tensor& gamma_grad, const at::Tensor& beta_grad) const override;
  void add_rows(const at::Tensor& d, const TableRows& rows, int64_t skipped, const at::Tensor& grad) const override;
  at::Tensor activation_forward(const at::Tensor& x, Activation activation) const override;
  at::Tensor activation_backward(const at::Tensor& d_out, const at::Tensor& kept, Activation activation,
                                 const at::Tensor& bias_grad) const override;
  at::Tensor dropout_rows(const at::Tensor& x, const Dropout& dropout, const RowIds& rows) const override;
  void add_column_sums(const at::Tensor& x, const at::Tensor& sums) const override;
  at::Tensor pool_tokens(const at::Tensor& x, const at::Tensor& cu_seqlens, Pooling pooling) const override;
  at::Tensor cross_entropy_sum(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& weights, int64_t ignored,
                               double smoothing) const override;

 protected:
  Stream stream(const at::Tensor& tensor) const { return current_stream_(tensor.device()); }

 private:
  Stream (*current_stream_)(at::Device);
};

}  // namespace berth::train::cuda
