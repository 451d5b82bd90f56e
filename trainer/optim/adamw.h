// AdamW over the flat buckets: one pass for the gradient norm, one fused pass for clipping, moments and update.
//
// The update is that of torch.optim.AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019), without
// decay on the parameters that say so (biases, LayerNorm):
//   p -= lr * decay * p
//   m = b1 m + (1 - b1) g
//   v = b2 v + (1 - b2) g^2
//   p -= lr / (1 - b1^t) * m / (sqrt(v / (1 - b2^t)) + eps)
//
// In a kRows bucket only rows that were ever touched are visited: a row without a gradient so far has zero moments, so it does
// not move, and with weight decay it only shrinks. The result is exactly that of the dense update.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "trainer/model/parameters.h"
#include "trainer/optim/adamw_options.h"

namespace berth::train {

class AdamW {
 public:
  AdamW(ParameterStore& parameters, AdamWOptions options);

  // The 2-norm of the whole gradient, summed in double in a fixed order: the same on all ranks and for any number of threads. Not
  // finite if any gradient is not. `touched` are the rows of the kRows bucket that may be non-zero.
  double gradient_norm(std::span<const int32_t> touched);

  // One update with learning rate `lr`; gradients are scaled as torch.nn.utils.clip_grad_norm_ does, given their `norm`.
  void step(double lr, double norm, std::span<const int32_t> touched);

  int64_t steps() const { return steps_; }

  // Moments by name, "exp_avg.<parameter>" and "exp_avg_sq.<parameter>": views, fp32, shaped like their parameter.
  std::vector<std::pair<std::string, at::Tensor>> state() const;
  // To be called after state() was written to: the number of updates made so far, and which rows were ever touched is found
  // again.
  void restored(int64_t steps);

 private:
  struct Moments {
    at::Tensor first, second;  // [n] flat, the slots of the bucket
  };
  void update_slot(const Bucket& bucket, const Moments& moments, const Parameter& parameter, double lr, double scale);
  void update_rows(const Bucket& bucket, const Moments& moments, const Parameter& parameter, double lr, double scale,
                   std::span<const int32_t> touched);

  ParameterStore& parameters_;
  AdamWOptions options_;
  std::vector<Moments> moments_;       // one a bucket; undefined tensors for frozen buckets
  std::vector<uint8_t> ever_touched_;  // of the kRows table, one byte a row
  int64_t steps_ = 0;
};

}  // namespace berth::train
