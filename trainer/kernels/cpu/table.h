// The CPU kernels as plain functions on pointers, compiled once per instruction set (see CMakeLists.txt) and chosen when the
// program starts. Everything is computed in fp32; T is the type that rows are kept in. Functions with `begin, end` do a part of
// the work: parts may run on any thread, and the result does not depend on how the work was cut unless a comment says so.
//
// This header is also included by code compiled for newer processors than the one at hand: no inline functions with external
// linkage here.
#pragma once

#include <cstdint>

#include "trainer/kernels/cpu/args.h"

namespace berth::train::cpu {

using kernels::Bf16;
using kernels::DropoutArgs;
using kernels::EmbeddingArgs;
using kernels::NormArgs;
using kernels::RowArgs;

// q [queries, H], k and v [T, H] with row strides; sample b has tokens [cu_seqlens[b], cu_seqlens[b + 1]). weights: for sample b
// and head h, at (weight_offsets[b] + h * queries of b * pitch): [queries of b, pitch], negative where dropped.
template <class T>
struct AttentionArgs {
  const T *q, *k, *v;
  int64_t q_stride, k_stride, v_stride;
  const int32_t* cu_seqlens;
  const int64_t* samples;
  const int64_t* weight_offsets;
  int64_t heads, head_size;
  bool first_query_only;
  DropoutArgs dropout;
  T* weights;
};

// Gradients of q, k and v, with row strides: written, not added to.
template <class T>
struct AttentionGradients {
  T *dq, *dk, *dv;
  int64_t q_stride, k_stride, v_stride;
};

// Cross entropy as Kernels::cross_entropy_sum (trainer/kernels/ops.h) has it.
template <class T>
struct CrossEntropyArgs {
  const T* logits;  // [rows, classes]
  const int64_t* labels;
  const float* weights;  // [classes]; null: 1 each
  int64_t classes, ignored;
  float smoothing, mean_weight;
  float *greatest, *inverse_sum;  // [rows], kept for backward: of the logits, and of their exponentials relative to it
};

template <class T>
struct TypedTable {
  // Parts are (sample, head) pairs: b * heads + h. scratch: attention_scratch() floats, 64-byte aligned, of the thread's own.
  void (*attention_forward)(const AttentionArgs<T>& args, T* out, int64_t out_stride, int64_t begin, int64_t end, float* scratch);
  // d_out has row stride heads * head_size.
  void (*attention_backward)(const AttentionArgs<T>& args, const T* d_out, const AttentionGradients<T>& grads, int64_t begin,
                             int64_t end, float* scratch);

  // out = LayerNorm(dropout(x) + residual); parts are rows. scratch: columns + 16 floats.
  void (*add_norm_forward)(const NormArgs<T>& args, const T* x, const T* residual, T* out, int64_t begin, int64_t end,
                           float* scratch);
  // gamma_grad and beta_grad [H] are added to: by the part's rows, so threads need their own. scratch: 2 * (columns + 16) floats.
  void (*add_norm_backward)(const NormArgs<T>& args, const T* d_out, T* dx, T* d_residual, float* gamma_grad, float* beta_grad,
                            int64_t begin, int64_t end, float* scratch);
  // out = dropout(LayerNorm(sum of table rows)), and its backward down to the sum (fp32).
  void (*embed_forward)(const NormArgs<T>& args, const EmbeddingArgs& tables, T* out, int64_t begin, int64_t end, float* scratch);
  void (*embed_backward)(const NormArgs<T>& args, const T* d_out, float* d_sum, float* gamma_grad, float* beta_grad,
                         int64_t begin, int64_t end, float* scratch);

  // out = dropout(x), and, being linear, its own backward. Parts are rows.
  void (*dropout)(const RowArgs& rows, const DropoutArgs& dropout, const T* x, T* out, int64_t begin, int64_t end);

  // out = f(x), and x becomes f'(x). Parts are elements. activation: an Activation as int.
  void (*activation_forward)(int activation, T* x_then_derivative, T* out, int64_t begin, int64_t end);
  // dx = d_out * derivative
  void (*activation_backward)(const T* d_out, const T* derivative, T* dx, int64_t begin, int64_t end);

  // losses [rows]: 0 where a row takes no part. Parts are rows, as in backward, where d_loss is the gradient of their sum.
  void (*cross_entropy_forward)(const CrossEntropyArgs<T>& args, float* losses, int64_t begin, int64_t end);
  void (*cross_entropy_backward)(const CrossEntropyArgs<T>& args, float d_loss, T* d_logits, int64_t begin, int64_t end);

  // sums[c] += sum over rows of x[r, c]; parts are columns.
  void (*add_column_sums)(const T* x, int64_t rows, int64_t stride, float* sums, int64_t begin, int64_t end);

  // y (+)= sums + bias, rounded once, of `rows` rows with these strides; bias [columns], null: none.
  void (*round_products)(const float* sums, int64_t sums_stride, const T* bias, bool accumulate, T* y, int64_t y_stride,
                         int64_t rows, int64_t columns);
};

struct Table {
  const char* name;
  TypedTable<float> f32;
  TypedTable<Bf16> bf16;
  // grad[ids[r], c] += x[r, c] for rows in order, except where ids[r] == skipped; parts are columns.
  void (*scatter_rows)(const float* x, const int32_t* ids, int64_t rows, int64_t columns, int32_t skipped, float* grad,
                       int64_t begin, int64_t end);
};

constexpr int64_t kAttentionQueryBlock = 32;  // queries whose weights are in scratch at a time

// Floats of scratch that attention needs for samples of up to max_tokens.
int64_t attention_scratch(int64_t max_tokens, int64_t head_size);

// One per instruction set.
extern const Table kTable_generic, kTable_avx2, kTable_avx512;

}  // namespace berth::train::cpu
