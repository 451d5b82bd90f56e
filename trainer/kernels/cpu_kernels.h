// The operations on the CPU: checks shapes, cuts the work for threads, calls the kernels of one instruction set (cpu/).
//
// Attention keeps its weights in the compute type, negative where dropped: [queries, pitch] for each sample and head.
#pragma once

#include "trainer/kernels/compute.h"
#include "trainer/kernels/cpu_products.h"
#include "trainer/kernels/dispatch.h"
#include "trainer/kernels/ops.h"

namespace berth::train {

class CpuKernels final : public Kernels {
 public:
  // `bf16_products`: false, and products of bf16 are made in fp32, and rounded.
  explicit CpuKernels(const cpu::Table& table, bool bf16_products = cpu_multiplies_bf16())
      : table_(table), bf16_products_(bf16_products) {}

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
  at::ScalarType weight_type(at::ScalarType type) const override { return by_fp32(type) ? at::kFloat : type; }
  at::Tensor linear_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) const override;
  void linear_backward_input(const at::Tensor& dy, const at::Tensor& weight, const at::Tensor& dx,
                             bool accumulate) const override;
  void linear_backward_weight(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& grad, bool accumulate) const override;
  at::Tensor pool_tokens(const at::Tensor& x, const at::Tensor& cu_seqlens, Pooling pooling) const override;
  at::Tensor cross_entropy_sum(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& weights, int64_t ignored,
                               double smoothing) const override;

 private:
  bool by_fp32(at::ScalarType type) const { return type == at::kBFloat16 && !bf16_products_; }

  bool by_brgemm(const at::Tensor& rows, const at::Tensor& weight) const {
    return (bf16_products_ || rows.scalar_type() == at::kFloat) && products::takes(weight, rows.scalar_type()) &&
           products::available(rows.scalar_type());
  }

  const cpu::Table& table_;
  bool bf16_products_;
};

}  // namespace berth::train
