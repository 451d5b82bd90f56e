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

}  // namespace berth::train
