// Attention on packed rows, on a GPU: softmax(q k^T / sqrt(D)) v within each sample and head, of every token to every token. For the
// host; pointers are the device's, and everything is ordered by the stream.
//
// The same numbers as trainer/kernels/cpu up to rounding, with exactly its dropout masks; the same input gives the same bits on one
// GPU model, since no sum depends on the order in which blocks run.
#pragma once

#include <cstdint>

#include "trainer/kernels/cpu/args.h"
#include "trainer/kernels/cuda/stream.h"

namespace berth::train::cuda {

struct AttentionShape {
  const int32_t* cu_seqlens;  // [batch + 1]: sample b has tokens [cu_seqlens[b], cu_seqlens[b + 1]), at least one
  const int64_t* samples;     // [batch]: ids, for dropout; may be null without dropout
  int64_t batch, tokens;
  int64_t max_seqlen;  // of a sample; any length, or more than the longest
  int64_t heads, head_size;
  // The query of each sample is its first token's: q, out and their gradients have batch rows instead of tokens rows.
  bool first_query_only = false;
  kernels::DropoutArgs dropout{};
  // False: fp32 multiplications even where tensor cores could do bf16 and fp16 (from sm_80 on).
  bool tensor_cores = true;

  int64_t queries() const { return first_query_only ? batch : tokens; }
};

// Head sizes that the kernels below take.
inline bool attention_supported(int64_t head_size) { return head_size == 32 || head_size == 64; }

// What the caller gives room for.
inline int64_t attention_lse_size(const AttentionShape& shape) { return shape.heads * shape.queries(); }
inline int64_t attention_mask_size(const AttentionShape& shape) {
  if (shape.dropout.threshold == 0 || shape.first_query_only) return 0;
  return shape.heads * shape.tokens * ((shape.max_seqlen + 63) / 64);
}

// q [queries, heads * head_size], k and v [tokens, heads * head_size]. Rows lie `stride` elements apart and begin on 16 bytes: they
// may be slices of one [tokens, 3 * heads * head_size].
template <class T>
struct AttentionInputs {
  const T *q, *k, *v;
  int64_t q_stride, k_stride, v_stride;
};
template <class T>
struct AttentionGradients {
  T *dq, *dk, *dv;
  int64_t dq_stride, dk_stride, dv_stride;
};

// Writes out [queries, heads * head_size], and what backward needs: lse [heads, queries], the logarithm of the sum of the
// exponentials of a query's scores, and mask [heads, tokens, (max_seqlen + 63) / 64], the bits of the weights that dropout keeps, in
// an order of their own (attention_mask_size() words; null if that is 0). T: float, Bf16, Fp16; computed in fp32, but weights are
// rounded to T where tensor cores multiply them. Throws an Error (kInternal) for another head size, rows that do not begin on 16
// bytes, or a mask that is missing.
template <class T>
void attention_forward(const AttentionShape& shape, const AttentionInputs<T>& inputs, T* out, int64_t out_stride, float* lse,
                       uint64_t* mask, Stream stream);

// Writes dq, dk and dv, the gradients of the inputs, from that of out and from what forward wrote for the same shape. delta: workspace
// of lse's size.
template <class T>
void attention_backward(const AttentionShape& shape, const AttentionInputs<T>& inputs, const T* d_out, int64_t d_out_stride,
                        const T* out, int64_t out_stride, const float* lse, const uint64_t* mask,
                        const AttentionGradients<T>& gradients, float* delta, Stream stream);

}  // namespace berth::train::cuda
