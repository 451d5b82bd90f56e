// The operations on rows for CUDA, on pointers into device memory: what trainer/kernels/cpu/table.h is for the CPU, with the same masks.
// T is float, Bf16 or Fp16; everything is computed in fp32.
//
// Sums over rows go in a fixed order (partial sums of blocks in `workspace`, which a second kernel adds up), which depends on the number
// of rows and columns and on nothing else: the same input gives the same bits, on every GPU that rounds alike. Nothing here waits
// for the GPU, and any number of rows may be zero.
//
// `workspace`: device memory of the floats that the function beside says, free to use again for whatever follows on the stream.
// Gradients of parameters are fp32, are added to, and may be null, which leaves them out. Rows are contiguous unless a stride is
// given, and may be of any length up to kMaxNormColumns where LayerNorm is part of the operation; 16-byte accesses need pointers at
// multiples of 16 bytes and columns (and strides) at multiples of 8, otherwise elements are moved one by one.
#pragma once

#include <cstdint>

#include "trainer/kernels/activation.h"
#include "trainer/kernels/cpu/args.h"
#include "trainer/kernels/cuda/stream.h"
#include "trainer/kernels/pooling.h"

namespace berth::train::cuda {

constexpr int64_t kMaxNormColumns = 4096;

// out = LayerNorm(dropout(x) + residual), [rows, columns]. Throws Error(kBadInput) for more columns than kMaxNormColumns.
template <class T>
void add_norm_forward(const kernels::NormArgs<T>& args, const T* x, const T* residual, T* out, int64_t rows, Stream stream);

// dx and d_residual are written; without dropout they are equal, dx is left alone and may be null. gamma_grad and beta_grad [columns];
// bias_grad [columns] gets the column sums of the gradient of x, as it is before it is rounded to T: the bias of the linear
// layer before.
template <class T>
void add_norm_backward(const kernels::NormArgs<T>& args, const T* d_out, T* dx, T* d_residual, float* gamma_grad,
                       float* beta_grad, float* bias_grad, int64_t rows, float* workspace, Stream stream);
int64_t add_norm_backward_workspace(int64_t rows, int64_t columns);

// out = dropout(LayerNorm(sum of table rows)), and its backward down to the sum, d_sum [rows, columns] fp32.
template <class T>
void embed_forward(const kernels::NormArgs<T>& args, const kernels::EmbeddingArgs& tables, T* out, int64_t rows, Stream stream);
template <class T>
void embed_backward(const kernels::NormArgs<T>& args, const T* d_out, float* d_sum, float* gamma_grad, float* beta_grad,
                    int64_t rows, float* workspace, Stream stream);
int64_t embed_backward_workspace(int64_t rows, int64_t columns);

// grad[ids[r]] += x[r] for all rows, except where ids[r] == skipped (negative: nowhere). ids [rows], and `order` [rows]: all row
// numbers, those of one id side by side and ascending. Touches no other rows of grad.
void scatter_rows(const float* x, const int32_t* ids, const int32_t* order, int64_t rows, int64_t columns, int32_t skipped,
                  float* grad, float* workspace, Stream stream);
int64_t scatter_rows_workspace(int64_t rows, int64_t columns);

// out = dropout(x), and, being linear, its own backward.
template <class T>
void dropout_rows(const kernels::RowArgs& row_args, const kernels::DropoutArgs& dropout, const T* x, T* out, int64_t rows,
                  Stream stream);

// sums[c] += sum over rows of x[r * stride + c].
template <class T>
void add_column_sums(const T* x, int64_t rows, int64_t columns, int64_t stride, float* sums, float* workspace, Stream stream);
int64_t add_column_sums_workspace(int64_t rows, int64_t columns);

// out = f(x), count elements.
template <class T>
void activation_forward(Activation activation, const T* x, T* out, int64_t count, Stream stream);
// dx = d_out * f'(x), [rows, columns]; dx may be d_out. bias_grad [columns] gets the column sums of dx as it is before it is
// rounded to T: x is a linear layer's result with its bias.
template <class T>
void activation_backward(Activation activation, const T* d_out, const T* x, T* dx, float* bias_grad, int64_t rows,
                         int64_t columns, float* workspace, Stream stream);
int64_t activation_backward_workspace(int64_t rows, int64_t columns);

// A row for each sample out of its tokens' rows. The mean is summed in fp32; a column's greatest is the first of equals, and NaN where there
// is one.
struct PoolArgs {
  Pooling pooling;
  const int32_t* cu_seqlens;  // [samples + 1]: sample b has rows cu_seqlens[b] to cu_seqlens[b + 1], at least one
  int64_t samples, columns;
  int32_t* chosen;  // [samples, columns]: the row that each greatest is from, kept for backward; of the mean null
};
// x: all samples' rows; out [samples, columns].
template <class T>
void pool_forward(const PoolArgs& args, const T* x, T* out, Stream stream);
// dx: written, the rows of all samples.
template <class T>
void pool_backward(const PoolArgs& args, const T* d_out, T* dx, Stream stream);

// Cross entropy as Kernels::cross_entropy_sum (trainer/kernels/ops.h) has it; rows of label kIgnoreLabel take no part.
constexpr int64_t kIgnoreLabel = -100;
template <class T>
struct CrossEntropyArgs {
  const T* logits;  // [rows, classes]
  int64_t stride;   // of rows: at least `classes`; what lies between is neither read nor a class
  const int64_t* labels;
  int64_t rows, classes;
  float smoothing;
  float* log_sum_exp;              // [rows], kept for backward
  const float* weights = nullptr;  // [classes]; null: 1 each
};
// loss_sum: one number, written. workspace: a float for each row.
template <class T>
void cross_entropy_forward(const CrossEntropyArgs<T>& args, float* loss_sum, float* workspace, Stream stream);
// d_logits [rows, classes] with the stride of the logits, whose place it may take; zeros are written between rows. d_loss: the
// gradient of loss_sum, one number in device memory.
template <class T>
void cross_entropy_backward(const CrossEntropyArgs<T>& args, const float* d_loss, T* d_logits, Stream stream);

}  // namespace berth::train::cuda
