#include "trainer/model/losses.h"

#include "data/pipeline/batch.h"

namespace berth::train {

at::Tensor cross_entropy_sum(const at::Tensor& logits, const at::Tensor& labels, double smoothing) {
  const at::Tensor log_p = at::log_softmax(logits.to(at::kFloat), -1);
  const at::Tensor nll = at::nll_loss(log_p, labels, {}, at::Reduction::Sum, data::kIgnoreIndex);
  if (smoothing == 0) return nll;
  const at::Tensor valid = labels.ne(data::kIgnoreIndex).to(at::kFloat).unsqueeze(-1);
  return (1 - smoothing) * nll - smoothing / static_cast<double>(logits.size(-1)) * (log_p * valid).sum();
}

at::Tensor squared_error_sum(const at::Tensor& logits, const at::Tensor& targets) {
  return at::mse_loss(logits.to(at::kFloat), targets, at::Reduction::Sum) / static_cast<double>(logits.size(-1));
}

at::Tensor binary_cross_entropy_sum(const at::Tensor& logits, const at::Tensor& targets) {
  return at::binary_cross_entropy_with_logits(logits.to(at::kFloat), targets, {}, {}, at::Reduction::Sum) /
         static_cast<double>(logits.size(-1));
}

}  // namespace berth::train
