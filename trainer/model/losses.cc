#include "trainer/model/losses.h"

#include "data/samples/batch.h"
#include "trainer/kernels/ops.h"
#include "trainer/model/ragged.h"

namespace berth::train {

at::Tensor cross_entropy_sum(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& weights, double smoothing) {
  return kernels_of(logits).cross_entropy_sum(logits, labels, weights, data::kIgnoreIndex, smoothing);
}

at::Tensor squared_error_sum(const at::Tensor& logits, const at::Tensor& targets) {
  return at::mse_loss(logits.to(at::kFloat), targets, at::Reduction::Sum) / static_cast<double>(logits.size(-1));
}

at::Tensor binary_cross_entropy_sum(const at::Tensor& logits, const at::Tensor& targets, const at::Tensor& pos_weight) {
  return at::binary_cross_entropy_with_logits(logits.to(at::kFloat), targets, {}, pos_weight, at::Reduction::Sum) /
         static_cast<double>(logits.size(-1));
}

at::Tensor span_cross_entropy_sum(const at::Tensor& logits, const at::Tensor& spans, const at::Tensor& cu_seqlens,
                                  int64_t max_seqlen) {
  // Absent tokens must have no share of the softmax.
  const at::Tensor padded = padded_rows(logits, cu_seqlens, max_seqlen, -std::numeric_limits<double>::infinity());
  const at::Tensor first = cross_entropy_sum(padded.select(2, 0), spans.select(1, 0), {}, 0);
  const at::Tensor last = cross_entropy_sum(padded.select(2, 1), spans.select(1, 1), {}, 0);
  return (first + last) / 2;
}

at::Tensor choice_cross_entropy_sum(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& cu_samples,
                                    int64_t most_choices, double smoothing) {
  const at::Tensor scores = padded_rows(logits, cu_samples, most_choices, -std::numeric_limits<double>::infinity()).squeeze(2);
  if (smoothing == 0) return cross_entropy_sum(scores, labels, {}, 0);
  const at::Tensor counts = row_counts(cu_samples).unsqueeze(1), log_p = scores.log_softmax(1);
  const at::Tensor present = at::arange(most_choices, counts.options()) < counts;
  const at::Tensor nll = -log_p.gather(1, labels.clamp_min(0).unsqueeze(1)),
                   spread = -at::where(present, log_p, 0).sum(1, /*keepdim=*/true) / counts;
  const at::Tensor losses = (1 - smoothing) * nll + smoothing * spread;
  return (losses.squeeze(1) * (labels != data::kIgnoreIndex)).sum();
}

}  // namespace berth::train
