// Samples of several rows, packed end to end: their rows side by side in a grid, or pooled. No device is waited for, and no sum depends on
// an order of threads.
#pragma once

#include "trainer/model/config.h"
#include "trainer/torch.h"

namespace berth::train {

// How many rows each sample has: cu [B + 1], as data::Batch::cu_samples -> [B] int64.
at::Tensor row_counts(const at::Tensor& cu);

// rows [N, C] -> [B, width, C] in fp32: those of sample b at [b, 0], [b, 1], …, and `fill` behind them. No sample has more than `width`.
at::Tensor padded_rows(const at::Tensor& rows, const at::Tensor& cu, int64_t width, double fill);

// The logits of documents from those of their windows, [N, C] -> [B, C] fp32: the mean, the largest of each column, or the first window's.
at::Tensor pool_documents(const at::Tensor& rows, const at::Tensor& cu, int64_t most_rows, DocumentPooling pooling);

}  // namespace berth::train
