// AdamW and LAMB where the host does not wait: what its kernels take, and what they leave on the device (trainer/optim/adamw.h). Plain structs, for
// every compiler.
#pragma once

#include <cstdint>

namespace berth::train::kernels {

constexpr int kMostRates = 64;  // groups of parameters by learning rate
struct AdamWNumbers {
  double rates[kMostRates];  // learning rate of each group
  double weight_decay, beta1, beta2, epsilon;
  double max_grad_norm;               // 0: no clipping
  int32_t scale_growth_interval = 0;  // steps; 0: the loss is not scaled
  int32_t halts = 0;                  // whether no step updates anything after one that is not finite (but for the scale alone)
  double ema_decay = 0;               // of the averages of the values, where a bucket has them
};
// Backward of fp16 begins with the loss times `scale`, for gradients that would else round to zero. As torch.amp.GradScaler: half of it
// after a gradient that is not finite, twice after an interval of updates; berth's does not fall below 1.
struct LossScale {
  float scale;
  int32_t updates;  // since the scale has changed
};
struct StepScalars {
  double norm;           // of the whole gradient, unscaled, before clipping
  double loss;           // of all ranks, unscaled
  int64_t updates;       // made so far, this step's with them
  int32_t finite;        // whether norm and loss are, and no step has halted the others: if not, this step updates nothing
  int32_t overflowed;    // not finite, for the scale alone, which is now smaller
  int32_t halted;        // no step updates anything any more (AdamWNumbers::halts)
  LossScale loss_scale;  // of the next step
  // What the update multiplies with: as AdamWScalars (trainer/optim/adamw_kernels.h).
  float grad_scale, inverse_sqrt_correction2;
};
struct StepRate {
  float shrink, step_size, lr;
};
// What the update reads.
struct StepPlan : StepScalars {
  float inverse_correction1;
  StepRate rates[kMostRates];
};

// What becomes of a group of neighbouring elements: bits of its flag. Those from kRateShift on: which of the rates it learns at.
constexpr uint8_t kDecays = 1;      // shrinks by weight decay
constexpr uint8_t kHasMoments = 2;  // has had a gradient; one without has moments of zero, for good
constexpr int kRateShift = 2;

}  // namespace berth::train::kernels
