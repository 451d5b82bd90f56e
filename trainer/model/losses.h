// Losses as sums over the valid targets, never means: the caller divides by the number of valid targets of all ranks. Logits of
// any floating type; results are fp32 scalars.
#pragma once

#include "trainer/torch.h"

namespace berth::train {

// logits [N, C], labels [N] int64; labels of data::kIgnoreIndex take no part. weights [C] fp32 (undefined: 1 each) and smoothing as
// Kernels::cross_entropy_sum has them; without weights that is Hugging Face's LabelSmoother.
at::Tensor cross_entropy_sum(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& weights, double smoothing);

// Squared errors, logits and targets [N, C], averaged over C.
at::Tensor squared_error_sum(const at::Tensor& logits, const at::Tensor& targets);

// Binary cross entropy of sigmoid(logits), [N, C] with targets 0 or 1, averaged over C. What targets of 1 add is multiplied by
// pos_weight [C] fp32 (undefined: 1 each), as torch.nn.BCEWithLogitsLoss has it.
at::Tensor binary_cross_entropy_sum(const at::Tensor& logits, const at::Tensor& targets, const at::Tensor& pos_weight);

// Extractive answers: logits [T, 2] of a packed batch, spans [B, 2] int64 (first and last token within the sample, or
// kIgnoreIndex). The mean of the two cross entropies over the sample's own tokens, summed over samples. cu_seqlens [B + 1].
at::Tensor span_cross_entropy_sum(const at::Tensor& logits, const at::Tensor& spans, const at::Tensor& cu_seqlens,
                                  int64_t max_seqlen);

// Multiple choice: logits [S, 1] of all choices, labels [B] int64 (which of a sample's own choices, or kIgnoreIndex), cu_samples [B + 1].
// A sample's loss is the cross entropy over its own choices; smoothing is cross_entropy_sum's, over these.
at::Tensor choice_cross_entropy_sum(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& cu_samples,
                                    int64_t most_choices, double smoothing);

}  // namespace berth::train
