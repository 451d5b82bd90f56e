// Losses as sums over the valid targets, never means: the caller divides by the number of valid targets of all ranks. Logits of
// any floating type; results are fp32 scalars.
#pragma once

#include "trainer/torch.h"

namespace berth::train {

// logits [N, C], labels [N] int64; labels of data::kIgnoreIndex take no part. With smoothing s > 0, a target's loss is
// (1 - s) * nll + s * mean over classes of -log p, as Hugging Face's LabelSmoother has it.
at::Tensor cross_entropy_sum(const at::Tensor& logits, const at::Tensor& labels, double smoothing);

// Squared errors, logits and targets [N, C], averaged over C.
at::Tensor squared_error_sum(const at::Tensor& logits, const at::Tensor& targets);

// Binary cross entropy of sigmoid(logits), [N, C] with targets 0 or 1, averaged over C.
at::Tensor binary_cross_entropy_sum(const at::Tensor& logits, const at::Tensor& targets);

}  // namespace berth::train
